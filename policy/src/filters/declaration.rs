//! What a filter says of itself in a comment.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// By this comment, on a line of its own, a filter says that it reads the request from its
/// standard input where the variable `CONSTELLATION_EVENT` is `stdin`.
const READS_STDIN: &str = "constellation: reads stdin";

/// How much of a filter is looked at, in bytes and in lines.
const HEAD: u64 = 4096;
const LINES: usize = 20;

/// Whether the filter says that it reads its standard input.
///
/// # Errors
/// Those of reading it.
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
    fn a_filter_declares_in_a_comment_of_its_first_lines_that_it_reads_stdin() {
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
