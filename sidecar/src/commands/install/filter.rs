//! The git filter that puts our scripts into the work tree while git still sees its own: a changed
//! tracked file would stop the station's daily `git pull`.
//!
//! `smudge` prints our copy whenever git writes such a file, and `clean` prints HEAD's whenever git
//! compares one. If our copy or HEAD's is missing, both pass on what they are given, so that git
//! works as if there were no filter.

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

/// The content without these lines; `None` if they are not in it.
pub(crate) fn cut(content: &[u8], lines: &str) -> Option<Vec<u8>> {
    let lines = lines.as_bytes();
    let at = content
        .windows(lines.len().max(1))
        .position(|window| window == lines)?;
    let (before, behind) = content.split_at_checked(at)?;
    Some([before, behind.get(lines.len()..)?].concat())
}
