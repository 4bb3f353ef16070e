//! What fetching by id is told and remembers: [`Manner`], how a relay is asked, [`Question`], what
//! one subscription asked for, and [`Verdict`], what becomes of an event.

use std::collections::HashSet;
use std::time::Duration;

use constellation_shared::EventId;

use crate::admission::intake::PeerIndex;
use crate::relay::traffic::Traffic;

/// How one relay is asked for events by their ids.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// The peer's number in the run.
    pub peer: PeerIndex,
    /// How many ids one question names.
    pub ids_at_once: usize,
    /// How many questions are open at once.
    pub questions: usize,
    /// How long the peer may make no progress before it is given up.
    pub patience: Duration,
    /// Whether to wait for what other peers are fetching, because they may fail to bring it.
    pub waits: bool,
}

/// One question and what it still waits for.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) ids: HashSet<EventId>,
    /// The ids that came. More events may come with one of these ids: the genuine event and its
    /// forged twins are told apart later.
    pub(super) came: HashSet<EventId>,
    /// How many events of its answer were too long to be taken.
    pub(super) too_long: usize,
    /// How often it was asked smaller although nobody knows what the relay's words mean.
    pub(super) doubts: u8,
}

/// What becomes of an event that was asked for by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is handed on, to be verified.
    Wanted,
    /// Nobody here wants it, which is remembered.
    Unwanted,
    /// It is not what the relay said that it has.
    Unasked,
}

/// Something that came as an event.
pub(super) struct Came<'a> {
    pub(super) subscription: &'a str,
    pub(super) json: &'a str,
    pub(super) traffic: &'a Traffic,
}

/// Whether an event was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Yes,
    /// Something of this id came before.
    Again,
    No,
}

impl Question {
    /// A question for these ids.
    pub(super) fn new(ids: impl IntoIterator<Item = EventId>, doubts: u8) -> Self {
        Self {
            ids: ids.into_iter().collect(),
            came: HashSet::new(),
            too_long: 0,
            doubts,
        }
    }

    /// Takes an event of this id that came for it.
    pub(super) fn take(&mut self, id: EventId) -> Asked {
        if self.ids.remove(&id) {
            self.came.insert(id);
            Asked::Yes
        } else if self.came.contains(&id) {
            Asked::Again
        } else {
            Asked::No
        }
    }
}
