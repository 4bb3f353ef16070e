//! For tests: what is logged.

use std::fs;
use std::sync::Mutex;

/// What this thread logs meanwhile, at the usual level.
pub(crate) fn logged(work: impl FnOnce()) -> String {
    let log = tempfile::NamedTempFile::new().unwrap();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(Mutex::new(log.reopen().unwrap()))
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    fs::read_to_string(log.path()).unwrap()
}
