//! What a filter declares about itself in a comment.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// With this comment, on a line of its own, a filter declares that it reads the request from
/// its standard input if the variable `CONSTELLATION_EVENT` is `stdin`.
const READS_STDIN: &str = "constellation: reads stdin";

/// How many bytes of a filter are searched for the comment.
const HEAD: u64 = 4096;

/// How many lines of a filter are searched for the comment.
const LINES: usize = 20;

/// Whether the filter declares that it reads its standard input.
///
/// # Errors
/// Fails if the filter cannot be read.
pub(super) fn reads_stdin(filter: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    File::open(filter)?.take(HEAD).read_to_end(&mut head)?;
    let mut lines = head.split(|&byte| byte == b'\n').take(LINES);
    Ok(lines.any(declares))
}

fn declares(line: &[u8]) -> bool {
    let line = String::from_utf8_lossy(line);
    let Some(comment) = line.trim().strip_prefix('#') else {
        return false;
    };
    let words: Vec<&str> = comment.trim_start_matches('#').split_whitespace().collect();
    words.join(" ").eq_ignore_ascii_case(READS_STDIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(text: &str) -> bool {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        reads_stdin(file.path()).unwrap()
    }

    #[test]
    fn only_a_comment_in_the_first_lines_declares_that_a_filter_reads_stdin() {
        for text in [
            "#!/bin/sh\n# constellation: reads stdin\ncat",
            "#!/usr/bin/env python3\r\n\r\n  ## Constellation:  reads\tstdin \r\n",
            &format!("#!/bin/sh\n{}# constellation: reads stdin", "\n".repeat(18)),
        ] {
            assert!(declared(text), "{text}");
        }
        for text in [
            "",
            "#!/bin/sh\ncat",
            "echo '# constellation: reads stdin'",
            "constellation: reads stdin",
            "# constellation: reads stdin?",
            "# constellation: never reads stdin",
            "# it is no constellation: reads stdin",
            &format!("#!/bin/sh\n{}# constellation: reads stdin", "\n".repeat(19)),
            &format!("#{}\n# constellation: reads stdin", "x".repeat(4096)),
        ] {
            assert!(!declared(text), "{text}");
        }
        assert!(reads_stdin(Path::new("/nowhere")).is_err());
    }
}
