//! The relays that are asked.

use constellation_shared::Event;
use constellation_tests::real_relay::RealRelay;
use constellation_tests::{Behaviour, ScriptedRelay};

/// A relay that holds the events: a real strfry where there is one.
pub(crate) enum Peer {
    Scripted(ScriptedRelay),
    Real(RealRelay),
}

impl Peer {
    pub(crate) const fn is_real(&self) -> bool {
        matches!(self, Self::Real(_))
    }

    pub(crate) fn start(events: &[Event]) -> Self {
        if !RealRelay::is_possible() {
            return Self::Scripted(ScriptedRelay::start(events, Behaviour::default()));
        }
        // Kind 4 is served, for the bench is about all events.
        let settings = "auth {\n        restrictedReadKinds = \"\"\n    }";
        let relay = RealRelay::start(env!("CARGO_BIN_EXE_demo"), settings, events);
        Self::Real(relay)
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Scripted(relay) => relay.url(),
            Self::Real(relay) => relay.url(),
        }
    }
}
