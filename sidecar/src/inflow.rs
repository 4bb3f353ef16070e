//! The way of events into the local strfry: admission, then the gate, then the import,
//! each at work while it is open.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;

use crate::intake::{Admission, Admitted, Gate, Line};
use crate::strfry::import::{Import, ImportError, Imported};

/// How many batches of lines may wait for strfry.
const WAITING_LINES: usize = 16;

type Ended = (Imported, Result<(), ImportError>);

/// An open way into the database.
#[derive(Debug)]
pub struct Inflow {
    /// Where events are handed in. The way stays open for as long as a clone is held.
    pub admission: Arc<Admission>,
    gate: JoinHandle<Gate>,
    import: JoinHandle<Ended>,
    /// How the import ended, where it did so by itself.
    broken: Option<Ended>,
}

impl Inflow {
    /// Opens a way through this gate, which knows what has passed it before.
    pub fn open(
        (admission, mut verified): (Arc<Admission>, mpsc::Receiver<Vec<Admitted>>),
        mut gate: Gate,
        import: Import,
    ) -> Self {
        let (line_sender, lines) = mpsc::channel::<Vec<Line>>(WAITING_LINES);
        let gate = tokio::spawn(async move {
            while let Some(batch) = verified.recv().await {
                if line_sender.send(gate.pass(batch)).await.is_err() {
                    break;
                }
            }
            gate
        });
        Self {
            admission,
            gate,
            import: tokio::spawn(import.run(lines)),
            broken: None,
        }
    }

    /// Ends where the import breaks while the way is open.
    pub async fn breaks(&mut self) {
        if self.broken.is_none() {
            let ended = (&mut self.import).await;
            self.broken = Some(ended.unwrap_or_else(|error| cut_off(&error)));
        }
    }

    /// Closes the way once what is on it has arrived, or given up after `patience` where
    /// there is one. Everybody else must have let go of the admission.
    ///
    /// # Errors
    /// [`ImportError`], beside what became of the events.
    pub async fn close(
        self,
        patience: Option<Duration>,
    ) -> (Gate, Imported, Result<(), ImportError>) {
        let Self {
            admission,
            gate,
            mut import,
            broken,
        } = self;
        drop(admission);
        let ended = match (broken, patience) {
            (Some(ended), _) => Ok(ended),
            (None, None) => import.await,
            (None, Some(patience)) => match timeout(patience, &mut import).await {
                Ok(ended) => ended,
                Err(_) => {
                    import.abort();
                    import.await
                }
            },
        };
        let (imported, result) = ended.unwrap_or_else(|error| cut_off(&error));
        (gate.await.unwrap_or_default(), imported, result)
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
