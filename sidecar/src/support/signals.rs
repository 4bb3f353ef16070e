//! The signals that interrupt a run.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Resolves at the first SIGINT or SIGTERM that arrives after this call. Must be called within a
/// tokio runtime.
pub(crate) fn interruption() -> impl Future<Output = ()> {
    let caught = |kind| signal(kind).ok();
    let (interrupt, terminate) = (
        caught(SignalKind::interrupt()),
        caught(SignalKind::terminate()),
    );
    let wait = async |signal: Option<Signal>| match signal {
        Some(mut signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    };
    async move {
        tokio::select! {
            () = wait(interrupt) => {}
            () = wait(terminate) => {}
        }
    }
}
