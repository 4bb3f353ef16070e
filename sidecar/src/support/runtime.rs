//! The tokio runtime.

use std::any::Any;
use std::io;
use std::panic;
use std::sync::mpsc;
use std::thread;

use tokio::runtime::{Builder, Runtime};

/// How many worker threads there are at most. Most of the work is verification, which has threads
/// of its own, and malloc keeps memory for each thread: with half a million events, two threads
/// need 8 % less memory than four.
const MOST_WORKERS: usize = 2;

/// The system refuses the threads or files that the runtime needs.
#[derive(Debug, thiserror::Error)]
#[error(
    "the system gives it no threads or files to begin with; check `ulimit -u`, `ulimit -n` and the free memory"
)]
pub(crate) struct NoRuntime(#[source] io::Error);

/// Starts the runtime.
///
/// # Errors
/// [`NoRuntime`]. tokio panics if it cannot get a thread or a socket, and then waits for ever for
/// the threads that it has already started. So it is started on a separate thread, for which
/// nobody waits.
pub(crate) fn start() -> Result<Runtime, NoRuntime> {
    let workers = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MOST_WORKERS);
    let (sender, built) = mpsc::channel();
    let panics = sender.clone();
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let _ = panics.send(Err(io::Error::other(message(panic.payload()))));
    }));
    let started = thread::Builder::new().spawn(move || {
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_all()
            .build();
        let _ = sender.send(runtime);
    });
    let built = started.and_then(|_| {
        built
            .recv()
            .unwrap_or_else(|gone| Err(io::Error::other(gone)))
    });
    panic::set_hook(hook);
    built.map_err(NoRuntime)
}

/// The message of a panic.
fn message(panic: &dyn Any) -> String {
    match panic.downcast_ref::<String>() {
        Some(message) => message.clone(),
        None => panic
            .downcast_ref::<&str>()
            .map_or_else(String::new, ToString::to_string),
    }
}
