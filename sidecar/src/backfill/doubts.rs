//! [`Doubts`]: which open questions a relay may have refused with a NOTICE.
//!
//! A NOTICE names no subscription, and older relays send nothing else when they refuse one. So a
//! question that was open then, and that nothing answers for a while, counts as refused.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::relay::message::Reason;
use crate::relay::objection::Objection;

/// How long the questions that were open have to be answered after a NOTICE.
const WAIT: Duration = Duration::from_secs(2);

/// The questions, by their names, that a NOTICE may refuse.
#[derive(Debug)]
pub(super) struct Doubts<N> {
    open: BTreeSet<N>,
    notice: Option<Reason>,
    deadline: Instant,
}

impl<N: Ord> Doubts<N> {
    pub(super) fn new() -> Self {
        Self {
            open: BTreeSet::new(),
            notice: None,
            deadline: Instant::now(),
        }
    }

    /// A NOTICE has come while these questions were open. One in words that no rule knows may refuse
    /// them, too. If it was only chat and the relay is slow, they are asked again, smaller.
    pub(super) fn raise(&mut self, notice: &Reason, open: impl IntoIterator<Item = N>) {
        let is_refusal = match notice.objection() {
            Objection::TooMuch(_) | Objection::WantsAuth | Objection::Never => true,
            Objection::Unknown => !is_about_close(notice),
            Objection::TooManyOpen | Objection::RateLimited => false,
        };
        if is_refusal {
            self.open.extend(open);
            self.notice = Some(notice.clone());
            self.postpone();
        }
    }

    /// The relay has answered something: it may still answer the rest.
    pub(super) fn postpone(&mut self) {
        self.deadline = Instant::now() + WAIT;
    }

    /// A question was answered.
    pub(super) fn answered(&mut self, name: &N) {
        self.open.remove(name);
    }

    /// The NOTICE that may have refused a question, if it says that the question asks for too much.
    /// Some relays send it, and then say that there are no events.
    pub(super) fn too_much(&self, name: &N) -> Option<&Reason> {
        let notice = self.notice.as_ref().filter(|_| self.open.contains(name))?;
        matches!(notice.objection(), Objection::TooMuch(_)).then_some(notice)
    }

    /// Until when to wait for an answer, if not for as long as usual.
    pub(super) fn deadline(&self, usual: Instant) -> Instant {
        if self.open.is_empty() {
            usual
        } else {
            usual.min(self.deadline)
        }
    }

    /// If the time is over: the questions that count as refused, and the NOTICE.
    pub(super) fn refused(&mut self) -> Option<(Reason, BTreeSet<N>)> {
        if self.open.is_empty() || Instant::now() < self.deadline {
            return None;
        }
        let notice = self.notice.take()?;
        Some((notice, std::mem::take(&mut self.open)))
    }
}

/// Whether a relay minds how a question was closed, not one that is open.
fn is_about_close(notice: &Reason) -> bool {
    notice.as_str().to_ascii_lowercase().contains("close")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::message::{FromRelay, parse};

    fn notice(text: &str) -> Reason {
        match parse(&serde_json::json!(["NOTICE", text]).to_string()) {
            Some(FromRelay::Notice(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_may_be_a_refusal_raises_doubts() {
        for (text, is_refusal) in [
            ("ERROR: bad req: total filter items too large", true),
            ("ERROR: bad req: nobody knows this", true),
            ("restricted: not for you", true),
            ("nobody knows this", true),
            ("ERROR: bad close: no such subscription", false),
            ("CLOSE message parse failed", false),
            ("rate-limited: slow down", false),
            ("ERROR: too many concurrent REQs", false),
        ] {
            let mut doubts = Doubts::new();
            doubts.raise(&notice(text), [1, 2]);
            doubts.answered(&1);
            let usual = Instant::now() + Duration::from_secs(60);
            assert_eq!(doubts.deadline(usual) < usual, is_refusal, "{text}");
            assert!(doubts.refused().is_none(), "it is not yet time: {text}");
        }
    }
}
