//! Feeding events to `strfry import`, and knowing what became of each.
//!
//! strfry commits every second or every 10,000 events and then says how many
//! (`Writer: …`); it names those it refuses (`--show-rejected`). Until then a line is
//! kept here: a child that dies is replaced, and gets what it may not have committed
//! once more.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::mem;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use constellation_shared::EventId;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::strfry::Strfry;
use crate::strfry::output::{self, Said, Written};

/// How much may be on its way into the database, in bytes.
const MOST_ON_ITS_WAY: usize = 12 * 1024 * 1024;

/// How many children may die one after another without having committed anything.
const MOST_BARREN: u32 = 3;

/// How often a run may learn from strfry that a line is too long: each time shortens what is
/// fed, so that more are needed only where somebody wants them to be.
const MOST_TOO_LONG: u32 = 64;

/// How long a strfry may take to end that has no more input.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How many lines of stderr are kept to explain a death.
const KEPT_WORDS: usize = 5;

/// The longest line of stderr that is looked at, in bytes.
const LONGEST_WORDS: u64 = 4096;

/// A line for strfry's import, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// The event's id.
    pub id: EventId,
    /// Its JSON, without a newline.
    pub json: String,
}

/// What became of everything that was fed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Imported {
    /// Lines fed.
    pub events: u64,
    /// What was written, by strfry's account.
    pub written: Written,
    /// How many were refused by strfry, by its reason.
    pub rejected: BTreeMap<String, u64>,
    /// How many lines strfry found longer than its `events.maxEventSize`, which we had
    /// taken for larger.
    pub too_long: u64,
    /// How many children had to be replaced.
    pub replaced_children: u32,
}

impl Imported {
    /// How many strfry refused.
    pub(crate) fn rejected_count(&self) -> u64 {
        let counts = self.rejected.values().copied();
        counts.fold(0, u64::saturating_add)
    }

    /// Adds what became of others.
    pub(crate) fn add(&mut self, others: Self) {
        self.events += others.events;
        self.written.add(others.written);
        for (reason, count) in others.rejected {
            let sum = self.rejected.entry(reason).or_default();
            *sum = sum.saturating_add(count);
        }
        self.too_long = self.too_long.saturating_add(others.too_long);
        self.replaced_children += others.replaced_children;
    }
}

/// Why not everything that was fed is in the database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    /// It could not be started.
    #[error("strfry import could not be started")]
    Start(#[source] io::Error),
    /// The task that feeds it ended: a fault of ours.
    #[error("the import ended unexpectedly")]
    Vanished,
    /// It dies each time.
    #[error("strfry import ended {deaths} times without storing anything, {status}: {words}")]
    Dies {
        /// How often.
        deaths: u32,
        /// How it ended last.
        status: String,
        /// Its last words.
        words: String,
    },
    /// It ended in order and read more or less than it was given, so that nobody knows which
    /// events it has.
    #[error("strfry import read {read} of the {fed} events that it was given")]
    Miscounted {
        /// How many lines it was given.
        fed: u64,
        /// How many it read, by its own account.
        read: u64,
    },
    /// It was given events and read something else.
    #[error("strfry import read {0} lines that were not the events that it was given")]
    Garbled(u64),
}

impl ImportError {
    /// What a captain can do about it.
    pub(crate) const fn remedy(&self) -> &'static str {
        match self {
            Self::Miscounted { .. } | Self::Garbled(_) => {
                "check what stands between us and strfry: a wrapper must hand its input on as it is (`exec strfry \"$@\"`, `docker exec -i`); then run again"
            }
            Self::Start(_) | Self::Vanished | Self::Dies { .. } => {
                "check the free disk space, dbParams.mapsize and the owner of strfry-db, then run again"
            }
        }
    }
}

/// A running `strfry import`.
struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    said: mpsc::UnboundedReceiver<Said>,
    words: JoinHandle<VecDeque<String>>,
}

/// What one child was given, and what it said of it.
#[derive(Debug, Default)]
struct Account {
    /// Lines given.
    fed: u64,
    /// Lines that it read, once it has summed them up.
    processed: Option<u64>,
    written: Written,
    /// How many it rejected by name.
    rejected: u64,
    /// How many lines it could not read.
    unparsable: u64,
}

/// Feeds one run's events.
pub(crate) struct Import {
    strfry: Strfry,
    verify: bool,
    running: Option<Running>,
    on_its_way: VecDeque<Line>,
    /// How long the shortest line is that strfry found too long, in bytes.
    shortest_too_long: usize,
    /// How often strfry found a line too long.
    times_too_long: u32,
    /// How many lines the running child was given.
    given: u64,
    /// The number, from 1, of the line that the running child found too long.
    too_long: Option<u64>,
    bytes_on_its_way: usize,
    barren: u32,
    /// Whether the running child did not take all that it was given.
    is_cut_off: bool,
    /// What the running child was given and said of it so far.
    account: Account,
    /// How many lines earlier children could not read.
    unparsable: u64,
    imported: Imported,
}

impl Import {
    /// An import that starts strfry with its first event; with `verify`, strfry verifies
    /// once more.
    pub(crate) fn new(strfry: Strfry, verify: bool) -> Self {
        Self {
            strfry,
            verify,
            running: None,
            on_its_way: VecDeque::new(),
            shortest_too_long: usize::MAX,
            times_too_long: 0,
            given: 0,
            too_long: None,
            bytes_on_its_way: 0,
            barren: 0,
            is_cut_off: false,
            account: Account::default(),
            unparsable: 0,
            imported: Imported::default(),
        }
    }

    /// Feeds all that comes until the sending end is dropped, then waits until strfry has
    /// stored it.
    ///
    /// # Errors
    /// [`ImportError`], with what became of the events until then.
    pub(crate) async fn run(
        mut self,
        mut lines: mpsc::Receiver<Vec<Line>>,
    ) -> (Imported, Result<(), ImportError>) {
        let result = self.feed_all(&mut lines).await;
        (self.imported, result)
    }

    async fn feed_all(&mut self, lines: &mut mpsc::Receiver<Vec<Line>>) -> Result<(), ImportError> {
        loop {
            if self.bytes_on_its_way >= MOST_ON_ITS_WAY {
                match timeout(self.strfry.patience, next_said(&mut self.running)).await {
                    Ok(Some(said)) => self.hear(said),
                    // Silent for minutes with its hands full, or gone.
                    Ok(None) | Err(_) => self.replace().await?,
                }
                continue;
            }
            match lines.recv().await {
                Some(batch) => self.feed(batch).await?,
                None => return self.finish().await,
            }
            self.hear_what_was_said();
        }
    }

    async fn feed(&mut self, mut batch: Vec<Line>) -> Result<(), ImportError> {
        let before = batch.len();
        batch.retain(|line| line.json.len() < self.shortest_too_long);
        self.imported.too_long += (before - batch.len()) as u64;
        if batch.is_empty() {
            return Ok(());
        }
        if self.running.is_none() {
            self.start()?;
        }
        let lines = batch.len();
        self.imported.events += lines as u64;
        let text = spell(&batch);
        self.bytes_on_its_way += batch.iter().map(|line| line.json.len()).sum::<usize>();
        self.given += batch.len() as u64;
        self.on_its_way.extend(batch);
        if !self.write(&text, lines).await {
            self.replace().await?;
        }
        Ok(())
    }

    /// Writes so many lines; whether strfry took them.
    async fn write(&mut self, text: &str, lines: usize) -> bool {
        self.account.fed += lines as u64;
        let Some(stdin) = self
            .running
            .as_mut()
            .and_then(|running| running.stdin.as_mut())
        else {
            return false;
        };
        let written = timeout(self.strfry.patience, stdin.write_all(text.as_bytes())).await;
        self.is_cut_off = !matches!(written, Ok(Ok(())));
        !self.is_cut_off
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
        self.given = self.on_its_way.len() as u64;
        let (sender, said) = mpsc::unbounded_channel();
        let words = tokio::spawn(listen(stderr, sender));
        self.running = Some(Running {
            child,
            stdin,
            said,
            words,
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
                for _ in 0..written.total() {
                    let Some(line) = self.on_its_way.pop_front() else {
                        break;
                    };
                    self.bytes_on_its_way -= line.json.len();
                    self.barren = 0;
                }
            }
            Said::Rejected(id, reason) => {
                debug!("strfry rejected event {id}: {reason}");
                self.account.rejected += 1;
                *self.imported.rejected.entry(kind_of(&reason)).or_default() += 1;
                if let Some(place) = self.on_its_way.iter().position(|line| line.id == id)
                    && let Some(line) = self.on_its_way.remove(place)
                {
                    self.bytes_on_its_way -= line.json.len();
                }
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

    /// Takes the numbers of a summary: those of all that one child was given. Where an older
    /// strfry words its progress otherwise, they are the only ones.
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

    /// Whether the child that has ended in order read what it was given, neither less nor more.
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
        self.on_its_way.clear();
        self.bytes_on_its_way = 0;
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
            // What did not reach one that was hung up on is given to another.
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

    /// Buries a child and gives what it may not have stored to a new one.
    async fn replace(&mut self) -> Result<(), ImportError> {
        loop {
            let (status, words) = self.bury().await;
            if !self.leave_out_too_long() {
                self.imported.replaced_children += 1;
                self.barren += 1;
                if self.barren >= MOST_BARREN {
                    // One that ends in order each time does not get its input.
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
                    "strfry import ended early, {status}: {words}; {} events are fed again",
                    self.on_its_way.len()
                );
            }
            self.start()?;
            let again = spell(self.on_its_way.make_contiguous());
            if self.write(&again, self.on_its_way.len()).await {
                return Ok(());
            }
        }
    }

    /// Leaves out the line that the child named as too long, and those that are as long;
    /// whether it named one.
    fn leave_out_too_long(&mut self) -> bool {
        let Some(number) = self.too_long.take() else {
            return false;
        };
        // Of what was given behind it nothing was looked at: all of that is still here.
        let behind = self.given.checked_sub(number);
        let behind = behind.and_then(|behind| usize::try_from(behind).ok());
        let line = behind.and_then(|behind| self.on_its_way.iter().rev().nth(behind));
        let Some(Line { id, json }) = line.filter(|_| self.times_too_long < MOST_TOO_LONG) else {
            return false;
        };
        warn!(
            "event {id} is left out: its {} bytes are more than strfry's events.maxEventSize, which was read otherwise here: constellation-sync doctor",
            json.len()
        );
        self.times_too_long += 1;
        self.shortest_too_long = json.len();
        let before = self.on_its_way.len();
        let shortest = self.shortest_too_long;
        self.on_its_way.retain(|line| line.json.len() < shortest);
        self.bytes_on_its_way = self.on_its_way.iter().map(|line| line.json.len()).sum();
        let left_out = (before - self.on_its_way.len()) as u64;
        self.imported.too_long += left_out;
        self.imported.events = self.imported.events.saturating_sub(left_out);
        true
    }

    async fn bury(&mut self) -> (String, String) {
        let Some(mut running) = self.running.take() else {
            return ("not running".to_owned(), String::new());
        };
        running.stdin = None;
        // It may be ending by itself; one that hangs is made to.
        let ended = timeout(LAST_WORDS.min(self.strfry.patience), running.child.wait()).await;
        let hung = ended.is_err();
        let status = match ended {
            Ok(status) => status,
            Err(_) => {
                let _ = running.child.start_kill();
                running.child.wait().await
            }
        };
        let words = running.words.await.unwrap_or_default();
        while let Ok(said) = running.said.try_recv() {
            self.hear(said);
        }
        // Of one that was hung up on, the last line may have been half of one.
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
        (status, Vec::from(words).join(" / "))
    }
}

/// A reason without what differs from event to event: some end in a number.
fn kind_of(reason: &str) -> String {
    let kind = reason
        .split(|c: char| c.is_ascii_digit())
        .next()
        .unwrap_or_default();
    kind.trim_end_matches([' ', ':'])
        .chars()
        .take(100)
        .collect()
}

async fn next_said(running: &mut Option<Running>) -> Option<Said> {
    running.as_mut()?.said.recv().await
}

fn spell(lines: &[Line]) -> String {
    let length = lines.iter().map(|line| line.json.len() + 1).sum();
    let mut text = String::with_capacity(length);
    for line in lines {
        text.push_str(&line.json);
        // strfry loses a last line without it.
        text.push('\n');
    }
    text
}

/// Reads stderr to its end, however much that is; hands on what counts and keeps the last
/// of the rest.
async fn listen(
    stderr: Option<ChildStderr>,
    sender: mpsc::UnboundedSender<Said>,
) -> VecDeque<String> {
    let mut words = VecDeque::new();
    let Some(stderr) = stderr else { return words };
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut reader)
            .take(LONGEST_WORDS)
            .read_until(b'\n', &mut line)
            .await;
        if !matches!(read, Ok(1..)) {
            return words;
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        match output::parse(text) {
            Some(said) => {
                let _ = sender.send(said);
            }
            // The greeting that every command begins with explains no death.
            None if text.contains("INFO|") || text.starts_with("date ") || text.is_empty() => {}
            None => {
                words.push_back(text.to_owned());
                if words.len() > KEPT_WORDS {
                    words.pop_front();
                }
            }
        }
    }
}
