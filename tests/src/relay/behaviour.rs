//! [`Behaviour`]: the limits and the manners of a scripted relay.

use std::collections::HashSet;
use std::time::Duration;

use constellation_shared::EventId;

use crate::filter::Filter;

/// The limits and the manners of a relay. The default is a stock strfry that restricts no
/// kind.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// The most events for a filter; more are left out without a word.
    pub max_limit: usize,
    /// The most filters in a REQ; more are refused with CLOSED.
    pub max_filters: usize,
    /// The most subscriptions at once; one more is refused with a NOTICE that does not
    /// name it, and never answered.
    pub max_subscriptions: usize,
    /// A longer message ends the connection without a close frame.
    pub max_frame: usize,
    /// `until` leaves out its own second, as old relays do.
    pub until_exclusive: bool,
    /// The version of strfry in the NIP-11 document.
    pub version: String,
    /// What comes of a request for the NIP-11 document.
    pub nip11: Nip11,
    /// The `Date` of its answers to HTTP; strfry sends none, the proxies before it do.
    pub date: Option<String>,
    /// What stands before it.
    pub front: Front,
    /// What comes of a NEG-OPEN.
    pub nip77: Nip77,
    /// A NEG-OPEN on more events is refused with NEG-ERR.
    pub max_sync_events: usize,
    /// Kind 4 is not served: a REQ for it alone gets AUTH and CLOSED, from others it is
    /// left out without a word, **after** the limit was applied, as in strfry.
    pub restrict_dms: bool,
    /// Events that are listed (NIP-77) and never sent.
    pub withholds: HashSet<EventId>,
    /// Messages sent as soon as a connection stands: NOTICE, AUTH, nonsense.
    pub greeting: Vec<String>,
    /// A REQ that asks for more than this is refused.
    pub takes: Option<Takes>,
    /// Every REQ is refused with CLOSED and this reason.
    pub refuse: Option<String>,
    /// A REQ for no stored event is refused with CLOSED and this reason.
    pub refuse_limit_0: Option<&'static str>,
    /// A REQ with a filter that names neither authors nor ids is refused with CLOSED.
    pub refuse_without_authors: bool,
    /// After so many REQs on a connection, further ones are refused with CLOSED
    /// `rate-limited:`.
    pub requests_per_connection: Option<usize>,
    /// After so many REQs in all, further ones are refused in the same way.
    pub requests_in_all: Option<u64>,
    /// Raw JSON objects sent as events on every REQ, ahead of what it asked for and not
    /// counted to the limit: forged, unasked, of any shape.
    pub extra: Vec<String>,
    /// Ends a connection without a close frame once it was sent so many events.
    pub close_after_events: Option<usize>,
    /// Only the first connection that comes so far is ended so.
    pub close_once: bool,
    /// Says nothing more on a connection that was sent so many events, and keeps it open.
    pub hang_after_events: Option<usize>,
    /// Takes connections and never answers, not even the handshake.
    pub hang_handshake: bool,
    /// Sends what was asked for, but no EOSE.
    pub never_eose: bool,
    /// Waits before each event.
    pub deliver_delay: Duration,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            max_limit: 500,
            max_filters: 200,
            max_subscriptions: 200,
            max_frame: 131_072,
            until_exclusive: false,
            version: "1.1.1".to_owned(),
            nip11: Nip11::Truthful,
            date: None,
            front: Front::Nothing,
            nip77: Nip77::Served,
            max_sync_events: 1_000_000,
            restrict_dms: false,
            withholds: HashSet::new(),
            greeting: Vec::new(),
            takes: None,
            refuse: None,
            refuse_limit_0: None,
            refuse_without_authors: false,
            requests_per_connection: None,
            requests_in_all: None,
            extra: Vec::new(),
            close_after_events: None,
            close_once: false,
            hang_after_events: None,
            hang_handshake: false,
            never_eose: false,
            deliver_delay: Duration::ZERO,
        }
    }
}

/// The most that a REQ may ask for, and how a larger one is refused.
#[derive(Debug, Clone)]
pub struct Takes {
    /// The most authors of a filter.
    pub authors: usize,
    /// The most kinds of a filter.
    pub kinds: usize,
    /// The most ids of a filter.
    pub ids: usize,
    /// The most authors and kinds of a filter together.
    pub items: usize,
    /// The largest `limit`.
    pub limit: usize,
    /// The most seconds between `since` and `until`.
    pub span: u64,
    /// Each filter must name exactly one author, even if it names ids.
    pub one_author: bool,
    /// The words of the refusal.
    pub words: &'static str,
    /// How they are sent.
    pub by: RefusedBy,
}

impl Takes {
    /// A relay that takes everything, and would refuse in these words.
    pub fn refusing(words: &'static str) -> Self {
        Self {
            authors: usize::MAX,
            kinds: usize::MAX,
            ids: usize::MAX,
            items: usize::MAX,
            limit: usize::MAX,
            span: u64::MAX,
            one_author: false,
            words,
            by: RefusedBy::Closed,
        }
    }

    /// Whether a filter asks for too much.
    pub(super) fn refuses(&self, filter: &Filter) -> bool {
        let size = |list: Option<usize>| list.unwrap_or_default();
        let authors = size(filter.authors.as_ref().map(HashSet::len));
        let kinds = size(filter.kinds.as_ref().map(HashSet::len));
        let ids = size(filter.ids.as_ref().map(HashSet::len));
        authors > self.authors
            || kinds > self.kinds
            || ids > self.ids
            || (ids == 0 && authors + kinds > self.items)
            || filter.limit > self.limit
            || (ids == 0 && filter.until.saturating_sub(filter.since) > self.span)
            || (self.one_author && authors != 1)
    }
}

/// How a relay refuses a REQ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedBy {
    /// With CLOSED.
    Closed,
    /// With a NOTICE, and nothing else.
    Notice,
    /// With a NOTICE, and an EOSE as if there were no events.
    NoticeAndEose,
}

/// What comes of a request for the NIP-11 document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nip11 {
    /// A document with the limits that are in force.
    Truthful,
    /// This text, whatever it is.
    Body(String),
    /// 404.
    Absent,
    /// Nothing, and the connection stays open.
    Hang,
}

/// What answers before the relay does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Front {
    /// Nothing.
    Nothing,
    /// A firewall that refuses requests without a name of the client, with 403.
    WantsName,
    /// A proxy that answers so many requests for a WebSocket with this status and these headers,
    /// each with its line break.
    Busy {
        /// How many.
        times: u64,
        /// Such as `429 Too Many Requests`.
        status: &'static str,
        /// Such as `Retry-After: 2`.
        headers: &'static str,
    },
    /// A web server that answers every request with this status and a `Location`.
    Elsewhere {
        /// Such as `301 Moved Permanently`.
        status: &'static str,
        /// The URL.
        location: String,
    },
}

/// What comes of a NEG-OPEN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nip77 {
    /// The reconciliation.
    Served,
    /// A NOTICE: the relay does not know the command, and does not advertise it.
    Absent,
    /// A NOTICE, though NIP-11 advertises it.
    RefusedByNotice,
    /// Nothing at all, though NIP-11 advertises it.
    NeverAnswers,
    /// NEG-ERR with this reason.
    Refuses(&'static str),
    /// The first NEG-OPEN is answered with this kind of message, which asks for patience; later ones
    /// are served.
    PatienceFirst(&'static str),
    /// The reconciliation if the filter names authors, else NEG-ERR with this reason; no answer if
    /// the reason is empty.
    ByAuthorsOnly(&'static str),
    /// Besides what it has it lists so many ids that nobody has, others each time.
    Invents(usize),
    /// Besides what it has it lists so many ids that nobody has, the same each time.
    Insists(usize),
    /// It lists each id three times.
    Repeats,
    /// It says that all differs, whatever it is told.
    NeverEnds,
    /// Not hex.
    Garbage,
    /// It begins, and says nothing more.
    FallsSilent,
    /// It begins, and the first connection breaks off then.
    BreaksOffOnce,
}

impl Nip77 {
    /// An id that a relay makes up.
    pub fn invented(turn: u64, number: u64) -> [u8; 32] {
        let mut id = [0xee; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        id[8..16].copy_from_slice(&turn.to_be_bytes());
        id
    }
}

impl Behaviour {
    /// The NIP-11 document of these limits, as strfry words it.
    pub(super) fn document(&self) -> String {
        let mut document = serde_json::json!({
            "name": "scripted relay",
            "description": "A test relay.",
            "limitation": {
                "max_limit": self.max_limit,
                "max_message_length": self.max_frame,
                "max_subscriptions": self.max_subscriptions,
            },
            "supported_nips": [1, 2, 4, 9, 11, 28, 40, 45, 59, 70],
            "software": "git+https://github.com/hoytech/strfry.git",
            "version": self.version,
        });
        if self.nip77 != Nip77::Absent {
            document["negentropy"] = 1.into();
            document["supported_nips"]
                .as_array_mut()
                .unwrap()
                .push(77.into());
        }
        document.to_string()
    }
}
