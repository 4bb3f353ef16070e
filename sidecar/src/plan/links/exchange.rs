//! What the caller of [`Links`](crate::plan::links::Links) tells it, and what it tells the caller to do.

use constellation_shared::{EventId, Pubkey};

use crate::plan::links::link::LinkId;

/// How an event came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// A relay pushed it.
    Pushed,
    /// It was fetched by its id, because a poll had found it.
    Fetched,
}

/// What an event that came was good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    /// It was not here, and is let in.
    New,
    /// It was here, or on its way into the database.
    Duplicate,
    /// It is not let in.
    Refused,
}

/// An event that came.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// The peer that sent it.
    pub from: LinkId,
    /// The event's id.
    pub id: EventId,
    /// The event's author.
    pub author: Pubkey,
    /// How it came.
    pub delivery: Delivery,
    /// What it was good for.
    pub worth: Worth,
}

/// What a poll of a peer came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PollOutcome {
    /// The peer holds these events, which are not here; none of them was refused before.
    Missing(Vec<EventId>),
    /// The poll broke off or took too long.
    Failed,
    /// The peer cannot reconcile at all, and pushes everything from now on.
    Unsupported,
}

/// What the caller has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Open the subscription at this peer, in place of the one that is open, for all authors but
    /// those that it is to leave out.
    Subscribe(LinkId),
    /// Reconcile the recent window with this peer, then report the outcome.
    Poll(LinkId),
    /// Fetch these events from this peer by their ids, then report that it ended.
    Fetch(LinkId, Vec<EventId>),
}
