//! [`load`]: the report of the last run, as it was written.

use std::io::{self, Read};
use std::path::Path;

use constellation_shared::regular_file;

use crate::report::document::Document;

/// The largest report that is read, in bytes; one of ours has a tenth of that.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Reads the last report; `None` if there is none.
///
/// # Errors
/// If reading fails, or if the file is not a report.
pub(crate) fn load(path: &Path) -> io::Result<Option<Document>> {
    let file = match regular_file::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = Vec::new();
    file.take(LARGEST).read_to_end(&mut text)?;
    Ok(Some(serde_json::from_slice(&text)?))
}
