//! The loop over all that strfry asks: a line read, a line answered.

#[cfg(test)]
mod tests;

use std::io::{self, BufRead, BufReader, Read, Write};

use constellation_shared::Pubkey;
use constellation_shared::verdict::Verdict;
use tracing::warn;

use crate::filters::{Filters, Wanted};
use crate::lists::Undecided;
use crate::message::{Answer, Request};

/// How much is read at once, in bytes: what a pipe holds.
pub(crate) const PIECE: usize = 64 * 1024;

/// The longest request, in bytes. From stream and sync strfry takes events of 16 MiB,
/// which escaping can make up to six times as long.
const LONGEST_REQUEST: usize = 128 * 1024 * 1024;

/// How much memory a long request may leave behind, in bytes: 1 MiB.
const KEPT_FOR_REQUESTS: usize = 1_048_576;

/// What decides on an event.
#[derive(Debug)]
pub struct Rules<'a, V> {
    /// The verdict on an author.
    pub verdict: V,
    /// Whether blocked authors are told that their events were accepted.
    pub shadow: bool,
    /// The filters for events of authors who may write.
    pub filters: Option<&'a Filters>,
}

/// Answers each line that is not blank with exactly one line, in order, until the input
/// ends. All answers are written before more input is waited for, and before a filter is.
///
/// # Errors
/// Those of reading and writing.
pub fn answer_all(
    mut input: BufReader<impl Read>,
    output: &mut impl Write,
    rules: &Rules<'_, impl Fn(&Pubkey) -> Result<Verdict, Undecided>>,
) -> io::Result<()> {
    // The start of a line that has not yet been read to its end.
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
                begun.shrink_to(KEPT_FOR_REQUESTS);
            }
            if answers.len() >= PIECE {
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

/// A request longer than the longest loses its end, and so is no JSON.
fn extend(begun: &mut Vec<u8>, more: &[u8]) {
    let room = LONGEST_REQUEST.saturating_sub(begun.len());
    begun.extend_from_slice(more.get(..room).unwrap_or(more));
}

impl<V: Fn(&Pubkey) -> Result<Verdict, Undecided>> Rules<'_, V> {
    /// Appends the answer to a line to those that are not yet written, or nothing where it
    /// is blank.
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
                let mut answer = self.decide(author);
                if let (Answer::Accept, Some(filters)) = (answer, self.filters) {
                    answer = match filters.wanted(kind) {
                        Wanted::Nothing => answer,
                        Wanted::Refusal(refusal) => refusal,
                        Wanted::Filter(kind) => {
                            output.write_all(answers)?;
                            answers.clear();
                            filters.ask(kind, line)
                        }
                    };
                }
                answer.spell(id, answers);
            }
            // As the original does, for relays that synchronise.
            Request::Other { id } => Answer::Accept.spell(id, answers),
            Request::Broken { id, reason } => {
                warn!("a line of {} bytes was rejected: {reason}", line.len());
                Answer::Reject("error: request not understood").spell(id, answers);
            }
        }
        Ok(())
    }

    fn decide(&self, author: Option<Pubkey>) -> Answer {
        let Some(author) = author else {
            return Answer::Reject("invalid: pubkey is not 32 bytes of hex");
        };
        match (self.verdict)(&author) {
            Err(Undecided::Unavailable) => Answer::Reject("error: policy lists unavailable"),
            // Not a shadow reject: a friend would believe that his event was taken.
            Err(Undecided::SwarmUnread) => {
                Answer::Reject("error: the lists of friends are still being read, try again")
            }
            Ok(Verdict::Allow | Verdict::Pardon) => Answer::Accept,
            Ok(Verdict::Block) if self.shadow => Answer::ShadowReject,
            Ok(Verdict::Block) => Answer::Reject("blocked: pubkey is blacklisted"),
        }
    }
}
