//! [`LogLevel`]: how much is logged, which may change while the program runs.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{Handle, Layer};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt};

use crate::stderr::Stderr;

/// Sets how much is logged.
#[derive(Debug, Clone)]
pub struct LogLevel(Option<Handle<LevelFilter, Registry>>);

impl LogLevel {
    /// Starts logging to stderr, which ends up in strfry's log.
    pub(crate) fn start(level: LevelFilter) -> Self {
        let (filter, handle) = Layer::new(level);
        let lines = fmt::layer()
            .with_writer(|| Stderr)
            .with_ansi(false)
            .without_time()
            // Otherwise it reports a closed stderr on stderr, which panics: strfry gives us a
            // stderr of our own and ignores SIGPIPE.
            .log_internal_errors(false);
        tracing_subscriber::registry()
            .with(filter)
            .with(lines)
            .init();
        Self(Some(handle))
    }

    /// Logs as much as this from now on.
    pub fn set(&self, level: LevelFilter) {
        if let Some(handle) = &self.0 {
            // It only fails if nothing is logged any more.
            let _ = handle.reload(level);
        }
    }
}
