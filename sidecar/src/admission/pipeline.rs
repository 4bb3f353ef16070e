//! The way of events into the local strfry: admission, then the gate, then the import,
//! each at work while it is open.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;
use tracing::error;

use crate::admission::gate::{Admitted, Gate};
use crate::admission::intake::Admission;
use crate::strfry::import::{Import, ImportError, Imported, Line};

/// How many batches of lines may wait for strfry.
const WAITING_LINES: usize = 16;

/// How long an interrupted run waits for strfry to store what it was given.
const LAST_PATIENCE: Duration = Duration::from_secs(10);

/// How far the work on an open way came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// To its end.
    Done,
    /// A signal came.
    Interrupted,
    /// strfry takes nothing more.
    Broken,
}

/// What became of what took the way, once it is closed.
#[derive(Debug)]
pub(crate) struct PipelineResult {
    /// Who has passed.
    pub gate: Gate,
    /// What strfry made of it.
    pub imported: Imported,
    /// Whether strfry took all of it.
    pub result: Result<(), ImportError>,
    /// Whether a signal kept the rest from being waited for.
    pub interrupted: bool,
}

type Ended = (Imported, Result<(), ImportError>);

/// An open way into the database.
#[derive(Debug)]
pub(crate) struct Pipeline {
    /// Where events are handed in. The way stays open for as long as a clone is held.
    pub admission: Arc<Admission>,
    /// Its gate in the end; none where it could not go on.
    gate: JoinHandle<Option<Gate>>,
    import: JoinHandle<Ended>,
    /// How the import ended, where it did so by itself.
    broken: Option<Ended>,
}

impl Pipeline {
    /// Opens a way through this gate, which knows what has passed it before.
    pub(crate) fn open(
        (admission, mut verified): (Arc<Admission>, mpsc::Receiver<Vec<Admitted>>),
        mut gate: Gate,
        import: Import,
    ) -> Self {
        let (line_sender, lines) = mpsc::channel::<Vec<Line>>(WAITING_LINES);
        let gate = tokio::spawn(async move {
            while let Some(batch) = verified.recv().await {
                if gate.is_due() {
                    let refreshed = tokio::task::spawn_blocking(move || {
                        gate.refresh();
                        gate
                    });
                    match refreshed.await {
                        Ok(refreshed) => gate = refreshed,
                        // Nobody passes a gate that does not know who is blocked.
                        Err(error) => {
                            error!("the import ended unexpectedly: {error}");
                            return None;
                        }
                    }
                }
                if line_sender.send(gate.pass(batch)).await.is_err() {
                    break;
                }
            }
            Some(gate)
        });
        Self {
            admission,
            gate,
            import: tokio::spawn(import.run(lines)),
            broken: None,
        }
    }

    /// Does the work whose events take this way, until it is done, a signal comes, or strfry
    /// takes nothing more.
    pub(crate) async fn run<W: Future>(
        &mut self,
        work: W,
        interruption: Pin<&mut impl Future<Output = ()>>,
    ) -> (Option<W::Output>, Step) {
        tokio::select! {
            output = work => (Some(output), Step::Done),
            () = interruption => (None, Step::Interrupted),
            () = self.breaks() => (None, Step::Broken),
        }
    }

    /// Ends where the import breaks while the way is open.
    async fn breaks(&mut self) {
        if self.broken.is_none() {
            let ended = (&mut self.import).await;
            self.broken = Some(ended.unwrap_or_else(|error| cut_off(&error)));
        }
    }

    /// Closes the way once what is on it has arrived; after an interruption that is not
    /// waited for long. Everybody else must have let go of the admission.
    pub(crate) async fn close(self, interruption: impl Future<Output = ()>) -> PipelineResult {
        let Self {
            admission,
            gate,
            mut import,
            broken,
        } = self;
        // Kept until here: without it the import ends with the last session, and may be
        // seen to end first.
        drop(admission);
        let mut interrupted = false;
        let ended = match broken {
            Some(ended) => Ok(ended),
            None => tokio::select! {
                ended = &mut import => ended,
                () = interruption => {
                    interrupted = true;
                    match timeout(LAST_PATIENCE, &mut import).await {
                        Ok(ended) => ended,
                        Err(_) => {
                            import.abort();
                            import.await
                        }
                    }
                }
            },
        };
        let (imported, result) = ended.unwrap_or_else(|error| cut_off(&error));
        let gate = gate.await.ok().flatten();
        // What came after its end is lost, so the run is no success.
        let result = match gate {
            None => result.and(Err(ImportError::Vanished)),
            Some(_) => result,
        };
        PipelineResult {
            gate: gate.unwrap_or_default(),
            imported,
            result,
            interrupted,
        }
    }
}

fn cut_off(error: &JoinError) -> Ended {
    let result = match error.is_cancelled() {
        // By an interruption; what it had stored stays, uncounted.
        true => Ok(()),
        false => Err(ImportError::Vanished),
    };
    (Imported::default(), result)
}
