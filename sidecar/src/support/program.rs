//! Whether a file is a program.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Whether this is a file that somebody may execute.
pub(crate) fn is_program(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
