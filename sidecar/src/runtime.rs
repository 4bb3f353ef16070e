//! The threads that wait for the network.

use std::io;
use std::panic;
use std::thread;

use tokio::runtime::{Builder, Runtime};

/// How many there are at the most; verification has threads of its own.
const MOST_WORKERS: usize = 4;

/// The system gives no threads or files.
#[derive(Debug, thiserror::Error)]
#[error(
    "the system gives it no threads or files to begin with; check `ulimit -u`, `ulimit -n` and the free memory"
)]
pub struct NoRuntime(#[source] io::Error);

/// Starts them.
///
/// # Errors
/// [`NoRuntime`], also where tokio panics: of a thread or a socket that it is not given it
/// makes no error.
pub(crate) fn start() -> Result<Runtime, NoRuntime> {
    let workers = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MOST_WORKERS);
    let says = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let built = panic::catch_unwind(|| {
        Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_all()
            .build()
    });
    panic::set_hook(says);
    built
        .unwrap_or_else(|panic| Err(io::Error::other(words(panic.as_ref()))))
        .map_err(NoRuntime)
}

/// What was said in a panic.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    match panic.downcast_ref::<String>() {
        Some(words) => words.clone(),
        None => panic
            .downcast_ref::<&str>()
            .map_or_else(String::new, ToString::to_string),
    }
}
