//! The threads that wait for the network.

use std::any::Any;
use std::io;
use std::panic;
use std::sync::mpsc;
use std::thread;

use tokio::runtime::{Builder, Runtime};

/// How many there are at the most: verification, which is most of the work, has threads of
/// its own, and each thread costs memory that malloc keeps for it (half a million events:
/// 8 % less with two than with four).
const MOST_WORKERS: usize = 2;

/// The system gives no threads or files.
#[derive(Debug, thiserror::Error)]
#[error(
    "the system gives it no threads or files to begin with; check `ulimit -u`, `ulimit -n` and the free memory"
)]
pub(crate) struct NoRuntime(#[source] io::Error);

/// Starts them.
///
/// # Errors
/// [`NoRuntime`], also where tokio panics: of a thread or a socket that it is not given it
/// makes no error. It then waits for ever for the threads that it was given before; so
/// another thread has it do that, which nobody waits for.
pub(crate) fn start() -> Result<Runtime, NoRuntime> {
    let workers = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MOST_WORKERS);
    let (sender, built) = mpsc::channel();
    let panics = sender.clone();
    let says = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let _ = panics.send(Err(io::Error::other(words(panic.payload()))));
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
    panic::set_hook(says);
    built.map_err(NoRuntime)
}

/// What was said in a panic.
fn words(panic: &dyn Any) -> String {
    match panic.downcast_ref::<String>() {
        Some(words) => words.clone(),
        None => panic
            .downcast_ref::<&str>()
            .map_or_else(String::new, ToString::to_string),
    }
}
