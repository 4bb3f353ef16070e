//! [`Queue`]: the lines of an import that strfry has not stored yet. The first of them were given to
//! the running process, the others wait to be written.

use std::collections::{BTreeSet, VecDeque};

use constellation_shared::{EventId, Pubkey};

use super::result::Withdrawn;

/// The longest piece of several lines, in bytes. A pipe takes up to this (`PIPE_BUF`) as a whole or
/// not at all, so that it is always known which lines strfry was given.
const LONGEST_PIECE: usize = 4096;

/// A line of the import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// The event's id.
    pub id: EventId,
    /// The event's author.
    pub author: Pubkey,
    /// The event's kind.
    pub kind: u16,
    /// Its JSON, without a newline.
    pub json: String,
}

/// What is written to strfry at once: some short lines, or a single longer one.
pub(super) struct Piece {
    /// The lines, each with its newline.
    pub text: String,
    /// How many lines these are.
    pub lines: usize,
}

/// The lines that strfry has not stored yet, in the order in which they are fed.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lines: VecDeque<Line>,
    /// How many of the last lines wait.
    waiting: usize,
    bytes: usize,
}

impl Queue {
    /// Adds lines that wait.
    pub(super) fn add(&mut self, batch: Vec<Line>) {
        self.bytes += batch.iter().map(|line| line.json.len()).sum::<usize>();
        self.waiting += batch.len();
        self.lines.extend(batch);
    }

    /// How many bytes all lines have together.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many lines there are.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// How many lines wait to be written.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many lines the running process was given.
    fn given(&self) -> usize {
        self.lines.len().saturating_sub(self.waiting)
    }

    /// Lets all lines wait, for a new process.
    pub(super) fn all_wait(&mut self) {
        self.waiting = self.lines.len();
    }

    /// The next piece to write, `None` if no line waits.
    pub(super) fn next_piece(&self) -> Option<Piece> {
        let mut text = String::new();
        let mut lines = 0;
        for line in self.lines.iter().skip(self.given()) {
            if lines > 0 && text.len() + line.json.len() >= LONGEST_PIECE {
                break;
            }
            text.push_str(&line.json);
            // Without a newline, strfry would lose the last line.
            text.push('\n');
            lines += 1;
        }
        (lines > 0).then_some(Piece { text, lines })
    }

    /// Notes that the first waiting lines were written, or begun.
    pub(super) fn begin(&mut self, lines: usize) {
        self.waiting = self.waiting.saturating_sub(lines);
    }

    /// Takes out the first lines that the running process was given, which it says it has stored.
    pub(super) fn store(&mut self, lines: u64) -> Vec<Line> {
        let stored = usize::try_from(lines).unwrap_or(usize::MAX);
        let stored: Vec<Line> = self.lines.drain(..stored.min(self.given())).collect();
        self.bytes -= stored.iter().map(|line| line.json.len()).sum::<usize>();
        stored
    }

    /// Takes out the line of an event that strfry rejected.
    pub(super) fn reject(&mut self, id: EventId) -> Option<Line> {
        let mut given = self.lines.iter().take(self.given());
        let place = given.position(|line| line.id == id)?;
        let line = self.lines.remove(place)?;
        self.bytes -= line.json.len();
        Some(line)
    }

    /// The authors of the lines that wait.
    pub(super) fn authors_waiting(&self) -> BTreeSet<Pubkey> {
        let waiting = self.lines.iter().skip(self.given());
        waiting.map(|line| line.author).collect()
    }

    /// Takes the waiting lines of these authors away.
    pub(super) fn withdraw(&mut self, authors: &BTreeSet<Pubkey>) -> Vec<Withdrawn> {
        let waiting = self.lines.split_off(self.given());
        let (withdrawn, waiting): (VecDeque<Line>, VecDeque<Line>) = waiting
            .into_iter()
            .partition(|line| authors.contains(&line.author));
        self.waiting = waiting.len();
        self.lines.extend(waiting);
        self.bytes = self.lines.iter().map(|line| line.json.len()).sum();
        let withdrawn = withdrawn.into_iter();
        withdrawn
            .map(|line| Withdrawn {
                id: line.id,
                author: line.author,
                kind: line.kind,
            })
            .collect()
    }

    /// The line after which the running process was given `after` more.
    pub(super) fn given_before_last(&self, after: u64) -> Option<&Line> {
        let after = usize::try_from(after).ok()?;
        let place = self.given().checked_sub(after)?.checked_sub(1)?;
        self.lines.get(place)
    }

    /// Drops all lines of at least this length, also those that wait. Returns how many.
    pub(super) fn leave_out(&mut self, length: usize) -> u64 {
        let before = self.lines.len();
        let waiting = self.lines.split_off(self.given());
        self.lines.retain(|line| line.json.len() < length);
        let waiting = waiting.into_iter().filter(|line| line.json.len() < length);
        let given = self.lines.len();
        self.lines.extend(waiting);
        self.waiting = self.lines.len() - given;
        self.bytes = self.lines.iter().map(|line| line.json.len()).sum();
        (before - self.lines.len()) as u64
    }
}
