//! The filter through which git shows our scripts and keeps its own: a changed tracked file
//! would stop the station's daily `git pull`.
//!
//! `smudge` prints our copy wherever git writes such a file, `clean` HEAD's wherever git
//! compares one. Where our copy or HEAD's is gone, both hand on what they are given, so
//! that git works on as if there were no filter.

use std::path::Path;

/// The filter's name.
const NAME: &str = "constellation-sync";

/// The lines of `.git/config`; `copies` holds our scripts by their paths in the work tree.
pub(crate) fn driver(copies: &Path) -> String {
    // git gives the path in the work tree for %f, in single quotes.
    format!(
        "[filter \"{NAME}\"]\n\
         \tsmudge = \"cat -- '{}'/%f 2>/dev/null || cat\"\n\
         \tclean = \"git cat-file blob HEAD:%f 2>/dev/null || cat\"\n",
        copies.display()
    )
}

/// The lines of `.git/info/attributes`.
pub(crate) fn attributes<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names
        .map(|name| format!("/{name} filter={NAME}\n"))
        .collect()
}

/// The lines of `.git/info/exclude`.
pub(crate) fn exclude<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("/{name}\n")).collect()
}

/// The content without these lines; none where they are not in it.
pub(crate) fn cut(content: &[u8], lines: &str) -> Option<Vec<u8>> {
    let lines = lines.as_bytes();
    let at = content
        .windows(lines.len().max(1))
        .position(|window| window == lines)?;
    let (before, behind) = content.split_at_checked(at)?;
    Some([before, behind.get(lines.len()..)?].concat())
}
