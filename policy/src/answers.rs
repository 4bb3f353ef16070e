//! The loop that reads strfry's requests and answers each of them with one line.

#[cfg(test)]
mod tests;

use std::io::{self, BufRead, BufReader, Read, Write};

use constellation_shared::verdict::Verdict;
use constellation_shared::{Pubkey, counted};
use tracing::warn;

use crate::filters::Wanted;
use crate::in_force::InForce;
use crate::lists::{Standing, Stranger, Undecided};
use crate::message::{Answer, Request};

/// How many bytes are read at once: as many as a pipe holds.
pub(crate) const READ_SIZE: usize = 64 * 1024;

/// The longest request, in bytes. From its `stream` and `sync`, strfry takes events of up to
/// 16 MiB, which escaping can make up to six times as long.
const LONGEST_REQUEST: usize = 128 * 1024 * 1024;

/// How much memory stays allocated after a long request, in bytes: 1 MiB.
const KEPT_CAPACITY: usize = 1_048_576;

/// The rules that decide whether an event is accepted.
#[derive(Debug)]
pub struct Rules<'a, V> {
    /// Returns what the lists say of an author.
    pub standing: V,
    /// What of the settings is in force.
    pub in_force: &'a InForce,
}

/// Answers each line that is not blank with exactly one line, in order, until the input ends.
/// All pending answers are written before it waits for more input or for a filter.
///
/// # Errors
/// Fails if reading or writing fails.
pub fn answer_all(
    mut input: BufReader<impl Read>,
    output: &mut impl Write,
    rules: &Rules<'_, impl Fn(&Pubkey) -> Result<Standing, Undecided>>,
) -> io::Result<()> {
    // The beginning of a line whose end has not been read yet.
    let mut begun = Vec::new();
    let mut answers = Vec::new();
    loop {
        let piece = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            piece => piece?,
        };
        if piece.is_empty() {
            rules.answer(&begun, &mut answers, output)?;
            return output.write_all(&answers);
        }
        let length = piece.len();
        let mut rest = piece;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, behind) = rest.split_at(end + 1);
            rest = behind;
            if begun.is_empty() {
                rules.answer(line, &mut answers, output)?;
            } else {
                extend(&mut begun, line);
                rules.answer(&begun, &mut answers, output)?;
                begun.clear();
                begun.shrink_to(KEPT_CAPACITY);
            }
            if answers.len() >= READ_SIZE {
                output.write_all(&answers)?;
                answers.clear();
            }
        }
        extend(&mut begun, rest);
        input.consume(length);
        output.write_all(&answers)?;
        answers.clear();
    }
}

/// Appends to a request, up to [`LONGEST_REQUEST`]. A longer one loses its end, which makes it
/// invalid JSON.
fn extend(begun: &mut Vec<u8>, more: &[u8]) {
    let room = LONGEST_REQUEST.saturating_sub(begun.len());
    begun.extend_from_slice(more.get(..room).unwrap_or(more));
}

impl<V: Fn(&Pubkey) -> Result<Standing, Undecided>> Rules<'_, V> {
    /// Answers a line, unless it is blank: appends to `answers`, which are written to `output`
    /// before a filter is waited for.
    fn answer(
        &self,
        line: &[u8],
        answers: &mut Vec<u8>,
        output: &mut impl Write,
    ) -> io::Result<()> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        match Request::parse(line) {
            Request::New { id, author, kind } => {
                let answer = match self.decide(author) {
                    Decision::Final(answer) => answer,
                    Decision::Filtered(stranger) => {
                        let asked = self.in_force.asked();
                        let filtered = match (asked.wanted(kind), asked.filters()) {
                            (Wanted::Refusal(refusal), _) => Some(refusal),
                            (Wanted::Filter(kind), Some(filters)) => {
                                output.write_all(answers)?;
                                answers.clear();
                                filters.ask(kind, line)
                            }
                            _ => None,
                        };
                        filtered.unwrap_or_else(|| without_filter(stranger))
                    }
                };
                answer.write_json(id, answers);
            }
            // Accepted for relays that synchronise, as the station's original plugin does.
            Request::Other { id } => Answer::Accept.write_json(id, answers),
            Request::Broken { id, reason } => {
                let length = counted(line.len(), "byte");
                warn!("a line of {length} was rejected: {reason}");
                Answer::Reject("error: request not understood").write_json(id, answers);
            }
        }
        Ok(())
    }

    fn decide(&self, author: Option<Pubkey>) -> Decision {
        let Some(author) = author else {
            return Decision::Final(Answer::Reject("invalid: pubkey is not 32 bytes of hex"));
        };
        let standing = match (self.standing)(&author) {
            Ok(standing) => standing,
            Err(Undecided::Unavailable) => {
                return Decision::Final(Answer::Reject("error: policy lists unavailable"));
            }
            // Not a shadow reject: a friend would believe that the event was accepted.
            Err(Undecided::SwarmUnread) => return Decision::Final(UNREAD),
        };
        match standing.verdict {
            Verdict::Allow | Verdict::Pardon => Decision::Filtered(standing.stranger),
            Verdict::Block if self.in_force.shadow() => Decision::Final(Answer::ShadowReject),
            Verdict::Block => Decision::Final(Answer::Reject("blocked: pubkey is blacklisted")),
        }
    }
}

/// The answer to an author whom lists that have not been read may know.
const UNREAD: Answer =
    Answer::Reject("error: the lists of friends are still being read, try again");

/// What the lists alone say of an event.
enum Decision {
    /// The answer, whatever filters there are.
    Final(Answer),
    /// If there is a filter for its kind, that decides.
    Filtered(Stranger),
}

/// The answer about an event for whose kind there is no filter.
const fn without_filter(author: Stranger) -> Answer {
    match author {
        Stranger::No => Answer::Accept,
        Stranger::Unread => UNREAD,
        Stranger::Yes => Answer::Reject(
            "restricted: this relay takes this kind only from members, friends and stations",
        ),
    }
}
