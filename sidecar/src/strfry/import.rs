//! [`Import`]: feeds events to `strfry import` and keeps track of what happens to each.
//!
//! strfry commits every second or every 10,000 events and then prints how many (`Writer: …`); it
//! names the events that it rejects (`--show-rejected`). Until then a line is kept here. If the
//! strfry process ends early, it is replaced, and the new one gets the lines that may not have
//! been committed.
//!
//! A line may wait here for minutes, behind a strfry that hangs or to be fed again. So whether its
//! author is blocked is asked once more right before it is written.

mod child;
mod feeding;
mod queue;
mod result;
mod sample;
#[cfg(test)]
mod tests;

use std::mem;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use constellation_shared::counted;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::strfry::Strfry;
use crate::strfry::output::{Said, Written};
use child::{Account, Running, kind_of, listen, next_said};
use queue::Queue;
use sample::Sample;

pub(crate) use feeding::BlockedAuthors;
pub(crate) use queue::Line;
pub(crate) use result::{ImportError, Imported, Withdrawn};

/// How many bytes of uncommitted lines are kept at most.
const MOST_ON_ITS_WAY: usize = 12 * 1024 * 1024;

/// After how many strfry processes in a row that ended without committing anything the import
/// fails.
const MOST_BARREN: u32 = 3;

/// How often a run accepts that strfry finds a line too long. Each time lowers the longest length
/// that is fed, so that only a malicious sender needs more.
const MOST_TOO_LONG: u32 = 64;

/// How long strfry may take to end after its input is closed, before it is killed.
const EXIT_PATIENCE: Duration = Duration::from_secs(5);

/// The import of one run.
pub(crate) struct Import {
    strfry: Strfry,
    verify: bool,
    /// Whom to ask before lines are written; `None` if nobody can be blocked.
    blocked: Option<Arc<dyn BlockedAuthors>>,
    running: Option<Running>,
    queue: Queue,
    /// Events that strfry says it has.
    sample: Sample,
    /// The length of the shortest line that strfry found too long, in bytes.
    shortest_too_long: usize,
    /// How often strfry found a line too long.
    times_too_long: u32,
    /// How many lines the running process was given.
    given: u64,
    /// The number, from 1, of the line that the running process found too long.
    too_long: Option<u64>,
    barren: u32,
    /// Whether the running process did not accept all lines.
    is_cut_off: bool,
    /// What the running process was given and has reported.
    account: Account,
    /// How many lines earlier processes could not parse.
    unparsable: u64,
    imported: Imported,
}

/// strfry writes this character as `\\u007f` when it computes an id, unlike NIP-01.
const DEL: char = '\u{7f}';

/// What is added to strfry's reason for rejecting an event that holds [`DEL`].
const HOLDS_DEL: &str = ": it holds the character DEL (0x7f), which strfry hashes in its own way; without --verify it comes in";

/// How a process ended.
struct ProcessEnd {
    /// Its exit status, in words.
    status: String,
    /// Its last messages.
    words: String,
}

impl Import {
    /// An import that starts strfry with the first event. If `verify` is set, strfry verifies the
    /// events once more.
    pub(crate) fn new(strfry: Strfry, verify: bool) -> Self {
        Self {
            strfry,
            verify,
            blocked: None,
            running: None,
            queue: Queue::default(),
            sample: Sample::default(),
            shortest_too_long: usize::MAX,
            times_too_long: 0,
            given: 0,
            too_long: None,
            barren: 0,
            is_cut_off: false,
            account: Account::default(),
            unparsable: 0,
            imported: Imported::default(),
        }
    }

    /// Has it asked, before lines are written, which of their authors are blocked.
    pub(crate) fn asking(mut self, blocked: Arc<dyn BlockedAuthors>) -> Self {
        self.blocked = Some(blocked);
        self
    }

    /// Feeds all lines until the sender is dropped, then waits until strfry has stored them.
    ///
    /// # Errors
    /// [`ImportError`], beside the numbers of events until then.
    pub(crate) async fn run(
        mut self,
        mut lines: mpsc::Receiver<Vec<Line>>,
    ) -> (Imported, Result<(), ImportError>) {
        let result = match self.feed_all(&mut lines).await {
            Ok(()) => self.look_for_sample().await,
            broken => broken,
        };
        (self.imported, result)
    }

    async fn feed_all(&mut self, lines: &mut mpsc::Receiver<Vec<Line>>) -> Result<(), ImportError> {
        loop {
            if self.queue.bytes() >= MOST_ON_ITS_WAY {
                match timeout(self.strfry.patience, next_said(&mut self.running)).await {
                    Ok(Some(said)) => self.hear(said),
                    // strfry has made no progress for minutes, or has ended.
                    Ok(None) | Err(_) => self.replace().await?,
                }
                continue;
            }
            let is_heard = self.queue.len() > 0 && self.running.is_some();
            tokio::select! {
                batch = lines.recv() => match batch {
                    Some(batch) => self.feed(batch).await?,
                    None => return self.finish().await,
                },
                said = next_said(&mut self.running), if is_heard => match said {
                    Some(said) => self.hear(said),
                    // It may be long until there is another line to notice it by.
                    None => self.replace().await?,
                },
            }
            self.hear_what_was_said();
        }
    }

    fn start(&mut self) -> Result<(), ImportError> {
        let mut command = self.strfry.command();
        command.args(["import", "--show-rejected"]);
        if !self.verify {
            command.arg("--no-verify");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().map_err(ImportError::Start)?;
        let stdin = child.stdin.take();
        let stderr = child.stderr.take();
        self.account = Account::default();
        self.given = 0;
        self.is_cut_off = false;
        self.queue.all_wait();
        let (sender, said) = mpsc::unbounded_channel();
        let messages = tokio::spawn(listen(stderr, sender));
        self.running = Some(Running {
            child,
            stdin,
            said,
            messages,
        });
        Ok(())
    }

    fn hear_what_was_said(&mut self) {
        while let Some(Ok(said)) = self.running.as_mut().map(|running| running.said.try_recv()) {
            self.hear(said);
        }
    }

    fn hear(&mut self, said: Said) {
        match said {
            Said::Written(written) => {
                self.account.written.add(written);
                self.imported.written.add(written);
                for line in self.queue.store(written.total()) {
                    self.sample.see(&line);
                    self.barren = 0;
                }
            }
            Said::Rejected(id, reason) => {
                debug!("strfry rejected event {id}: {reason}");
                self.account.rejected += 1;
                let line = self.queue.reject(id);
                let holds_del = line.is_some_and(|line| line.json.contains(DEL));
                let mut kind = kind_of(&reason);
                if holds_del {
                    kind.push_str(HOLDS_DEL);
                }
                *self.imported.rejected.entry(kind).or_default() += 1;
            }
            Said::Unparsable => self.account.unparsable += 1,
            Said::TooLong(number) => self.too_long = Some(number),
            Said::Done {
                processed,
                added,
                rejected,
                dups,
            } => {
                let sum = self.account.processed.unwrap_or_default();
                self.account.processed = Some(sum.saturating_add(processed));
                self.believe(added, rejected, dups);
            }
        }
    }

    /// Takes the numbers of a summary, which cover all lines of one process. An older strfry whose
    /// progress messages are different gives no other numbers.
    fn believe(&mut self, added: u64, rejected: u64, dups: u64) {
        let said = mem::take(&mut self.account.written);
        let rejections = mem::take(&mut self.account.rejected);
        let written = &mut self.imported.written;
        written.add(Written {
            added: added.saturating_sub(said.added),
            dups: dups.saturating_sub(said.dups),
            ..Written::default()
        });
        let unnamed = rejected.saturating_sub(rejections);
        if unnamed > 0 {
            let reason = "it does not say why".to_owned();
            let sum = self.imported.rejected.entry(reason).or_default();
            *sum = sum.saturating_add(unnamed);
        }
    }

    /// Checks that a process that ended normally read exactly what it was given.
    fn settle(&mut self, processed: u64) -> Result<(), ImportError> {
        let unparsable = self.unparsable + self.account.unparsable;
        if unparsable > 0 {
            return Err(ImportError::Garbled(unparsable));
        }
        if processed != self.account.fed {
            return Err(ImportError::Miscounted {
                fed: self.account.fed,
                read: processed,
            });
        }
        for line in mem::take(&mut self.queue).store(u64::MAX) {
            self.sample.see(&line);
        }
        Ok(())
    }

    /// Closes strfry's input and waits until it has stored everything.
    async fn finish(&mut self) -> Result<(), ImportError> {
        loop {
            let Some(running) = &mut self.running else {
                return Ok(());
            };
            running.stdin = None;
            while let Ok(Some(said)) =
                timeout(self.strfry.patience, next_said(&mut self.running)).await
            {
                self.hear(said);
            }
            // Lines that did not reach this process are given to another one.
            if let Some(processed) = self.account.processed
                && !self.is_cut_off
            {
                if let Some(mut running) = self.running.take() {
                    let _ = timeout(self.strfry.patience, running.child.wait()).await;
                }
                return self.settle(processed);
            }
            self.replace().await?;
        }
    }

    /// Ends the process, and gives the lines that it may not have stored to a new one.
    async fn replace(&mut self) -> Result<(), ImportError> {
        loop {
            let ProcessEnd { status, words } = self.end_process().await;
            if !self.leave_out_too_long() {
                self.imported.replaced_children += 1;
                self.barren += 1;
                if self.barren >= MOST_BARREN {
                    // A process that ends normally each time does not get its input.
                    if let Some(read) = self.account.processed {
                        let fed = self.account.fed;
                        return Err(ImportError::Miscounted { fed, read });
                    }
                    return Err(ImportError::Dies {
                        deaths: self.barren,
                        status,
                        words,
                    });
                }
                warn!(
                    "strfry import ended early, {status}: {words}; {} are fed again",
                    counted(self.queue.len() as u64, "event")
                );
            }
            self.start()?;
            self.withdraw_blocked().await?;
            if self.write().await? {
                return Ok(());
            }
        }
    }

    /// Drops the line that strfry named as too long, and all lines that are at least as long.
    /// Returns whether strfry named one.
    fn leave_out_too_long(&mut self) -> bool {
        let Some(number) = self.too_long.take() else {
            return false;
        };
        // strfry has read none of the lines after it, so all of them are still here.
        let after = self.given.checked_sub(number);
        let line = after.and_then(|after| self.queue.given_before_last(after));
        let Some(Line { id, json, .. }) = line.filter(|_| self.times_too_long < MOST_TOO_LONG)
        else {
            return false;
        };
        warn!(
            "event {id} is left out: its {} bytes are more than strfry's events.maxEventSize, which was read otherwise here: constellation-sync doctor",
            json.len()
        );
        self.times_too_long += 1;
        self.shortest_too_long = json.len();
        let left_out = self.queue.leave_out(self.shortest_too_long);
        self.imported.too_long += left_out;
        self.imported.events = self.imported.events.saturating_sub(left_out);
        true
    }

    /// Waits for the process to end, or kills it.
    async fn end_process(&mut self) -> ProcessEnd {
        let Some(mut running) = self.running.take() else {
            return ProcessEnd {
                status: "not running".to_owned(),
                words: String::new(),
            };
        };
        running.stdin = None;
        // It may be ending by itself; if it hangs, it is killed.
        let ended = timeout(
            EXIT_PATIENCE.min(self.strfry.patience),
            running.child.wait(),
        )
        .await;
        let hung = ended.is_err();
        let status = match ended {
            Ok(status) => status,
            Err(_) => {
                let _ = running.child.start_kill();
                running.child.wait().await
            }
        };
        let words = running.messages.await.unwrap_or_default();
        while let Ok(said) = running.said.try_recv() {
            self.hear(said);
        }
        // The last line may have been cut in half when the pipe was closed.
        let halves = u64::from(self.is_cut_off);
        self.unparsable += self.account.unparsable.saturating_sub(halves);
        let status = status.map_or_else(
            |error| error.to_string(),
            |status: ExitStatus| status.to_string(),
        );
        let status = if hung {
            format!("hung and was killed ({status})")
        } else {
            status
        };
        ProcessEnd {
            status,
            words: Vec::from(words).join(" / "),
        }
    }
}
