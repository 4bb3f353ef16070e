//! [`Pipeline`]: the tasks that take events into the local strfry. Admission hands verified
//! events to the gate, the gate hands each one once to the import.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;

use crate::admission::gate::{Admitted, Gate};
use crate::admission::intake::Admission;
use crate::strfry::import::{Import, ImportError, Imported, Line};

/// How many batches of lines may wait for strfry.
const WAITING_LINES: usize = 16;

/// How long an interrupted run waits for strfry to store what it was given.
const INTERRUPTED_PATIENCE: Duration = Duration::from_secs(10);

/// How the work that fed a pipeline ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It was completed.
    Done,
    /// A signal interrupted it.
    Interrupted,
    /// The import ended, so that strfry takes no more events.
    Broken,
}

/// What a closed pipeline leaves behind.
#[derive(Debug)]
pub(crate) struct PipelineResult {
    /// The gate, with the ids of all events that passed it.
    pub gate: Gate,
    /// What strfry did with the events.
    pub imported: Imported,
    /// Whether strfry took every event that passed the gate.
    pub result: Result<(), ImportError>,
    /// Whether a signal ended the work, or the wait for strfry after it.
    pub interrupted: bool,
}

/// How an import ended, and what it had stored until then.
type Ended = (Imported, Result<(), ImportError>);

/// A running pipeline into the database.
#[derive(Debug)]
pub(crate) struct Pipeline {
    /// Where events enter. The pipeline stays open for as long as somebody holds a clone.
    pub admission: Arc<Admission>,
    /// Returns the gate at the end, or `None` if it could not learn who is blocked.
    gate: JoinHandle<Option<Gate>>,
    import: JoinHandle<Ended>,
    /// How the import ended, if it ended before the pipeline was closed.
    broken: Option<Ended>,
}

impl Pipeline {
    /// Starts the tasks. `gate` may already know events that passed earlier.
    pub(crate) fn open(
        (admission, mut verified): (Arc<Admission>, mpsc::Receiver<Vec<Admitted>>),
        mut gate: Gate,
        import: Import,
    ) -> Self {
        let (line_sender, lines) = mpsc::channel::<Vec<Line>>(WAITING_LINES);
        let verdicts = gate.verdicts().cloned();
        let import = match verdicts.clone() {
            Some(verdicts) => import.asking(Arc::new(verdicts)),
            None => import,
        };
        let gate = tokio::spawn(async move {
            while let Some(batch) = verified.recv().await {
                let passed = match &verdicts {
                    // Without knowing who is blocked, no event may pass.
                    Some(verdicts) => gate.pass(batch, Some(&*verdicts.current().await?)),
                    None => gate.pass(batch, None),
                };
                if line_sender.send(passed).await.is_err() {
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

    /// Does the work that feeds the pipeline until the work is done, a signal arrives, or the
    /// import ends.
    pub(crate) async fn run<W: Future>(
        &mut self,
        work: W,
        interruption: Pin<&mut impl Future<Output = ()>>,
    ) -> (Option<W::Output>, Step) {
        tokio::select! {
            output = work => (Some(output), Step::Done),
            () = interruption => (None, Step::Interrupted),
            () = self.broken() => (None, Step::Broken),
        }
    }

    /// Resolves when the import ends while the pipeline is still open.
    async fn broken(&mut self) {
        if self.broken.is_none() {
            let ended = (&mut self.import).await;
            self.broken = Some(ended.unwrap_or_else(|error| cut_off(&error)));
        }
    }

    /// Closes the pipeline after work that ended with `step`, and waits until strfry has stored
    /// what was fed; after an interruption only for a short time. Nobody else may hold a clone
    /// of the admission any more.
    pub(crate) async fn close(
        self,
        step: Step,
        interruption: impl Future<Output = ()>,
    ) -> PipelineResult {
        let Self {
            admission,
            gate,
            mut import,
            broken,
        } = self;
        // Dropped only here: otherwise the import would end with the last session, and could
        // be taken for broken.
        drop(admission);
        let was_interrupted = step == Step::Interrupted;
        let signal = async {
            if !was_interrupted {
                interruption.await;
            }
        };
        let mut cut_short = false;
        let ended = match broken {
            Some(ended) => Ok(ended),
            None => tokio::select! {
                ended = &mut import => ended,
                () = signal => {
                    cut_short = true;
                    match timeout(INTERRUPTED_PATIENCE, &mut import).await {
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
        // Events that arrived after the gate had ended are lost, so this is no success.
        let result = match gate {
            None => result.and(Err(ImportError::Vanished)),
            Some(_) => result,
        };
        let mut gate = gate.unwrap_or_default();
        gate.take_back(&imported.withdrawn);
        PipelineResult {
            gate,
            imported,
            result,
            interrupted: was_interrupted || cut_short,
        }
    }
}

/// How an import ended whose task was aborted or panicked.
fn cut_off(error: &JoinError) -> Ended {
    let result = if error.is_cancelled() {
        // An interruption aborted it; what strfry stored stays there, uncounted.
        Ok(())
    } else {
        Err(ImportError::Vanished)
    };
    (Imported::default(), result)
}
