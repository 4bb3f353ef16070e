//! [`LiveState`]: how `live` does, for other programs (`strfry/constellation-live.json`). It is
//! written once a minute and when a peer is lost or found.

use std::io;
use std::path::Path;

use constellation_shared::counted;
use serde::{Deserialize, Serialize};

use crate::support::humanize::duration;
use crate::support::state_file::LIVE;

/// The layout of the file.
const VERSION: u32 = 1;

/// What `live` has, and of whom; times in Unix seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LiveState {
    version: u32,
    /// Its process id.
    pub pid: u32,
    /// When it began.
    pub began_at: u64,
    /// When this was written.
    pub written_at: u64,
    /// How many events came since it began.
    pub events: u64,
    /// When the newest of them was created, and how many seconds later it came.
    pub newest: Option<Newest>,
    /// How many gaps were reconciled since it began.
    pub gaps_healed: u64,
    /// Its peers.
    pub peers: Vec<LinkState>,
}

/// The newest event that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Newest {
    /// When its author says that it was created, in Unix seconds.
    pub created_at: u64,
    /// How many seconds later it came, by our clock; 0 if its author's clock is ahead.
    pub lag: u64,
}

/// One peer; times in Unix seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LinkState {
    /// Its relay.
    pub url: String,
    /// Since when it is connected; `None` if it is not.
    pub connected_since: Option<u64>,
    /// When it was lost; `None` if it is connected, or never was.
    #[serde(default)]
    pub lost_at: Option<u64>,
    /// Why it is not connected.
    pub failure: Option<String>,
    /// Whether nothing is missing of it.
    pub is_complete: bool,
    /// Up to when everything of it is here, but for what was dated otherwise.
    pub complete_until: u64,
    /// How many of its events came since `live` began.
    pub events: u64,
}

/// How `live` does, in figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LiveSummary {
    /// When it began, Unix seconds.
    pub began_at: u64,
    /// How many peers it follows.
    pub peers: usize,
    /// How many of them are connected.
    pub connected: usize,
    /// How many events came since it began.
    pub events: u64,
    /// How many seconds after its creation the newest of them came.
    pub newest_lag_seconds: Option<u64>,
    /// How many gaps were reconciled since it began.
    pub gaps_healed: u64,
}

impl From<&LiveState> for LiveSummary {
    fn from(state: &LiveState) -> Self {
        Self {
            began_at: state.began_at,
            peers: state.peers.len(),
            connected: state.connected(),
            events: state.events,
            newest_lag_seconds: state.newest.map(|newest| newest.lag),
            gaps_healed: state.gaps_healed,
        }
    }
}

impl LiveState {
    /// A state that begins now.
    pub(crate) fn new(pid: u32, now: u64) -> Self {
        Self {
            version: VERSION,
            pid,
            began_at: now,
            ..Self::default()
        }
    }

    /// Reads the file; `None` if it is missing or not understood.
    pub(crate) fn load(path: &Path) -> Option<Self> {
        let text = LIVE.read(path)?;
        let state: Self = serde_json::from_slice(&text).ok()?;
        (state.version == VERSION).then_some(state)
    }

    /// How many peers are connected.
    pub(crate) fn connected(&self) -> usize {
        let connected = self.peers.iter();
        connected
            .filter(|peer| peer.connected_since.is_some())
            .count()
    }

    /// In a line for people, at `now` in Unix seconds.
    pub(crate) fn summary(&self, now: u64) -> String {
        let since = duration(now.saturating_sub(self.began_at));
        let newest = self.newest.map_or_else(String::new, |newest| {
            let ago = duration(now.saturating_sub(newest.created_at));
            format!(
                "; the newest was written {ago} ago and came {} s later",
                newest.lag
            )
        });
        format!(
            "for {since}: {} of {} connected; {} came{newest}; {} reconciled",
            self.connected(),
            counted(self.peers.len(), "peer"),
            counted(self.events, "event"),
            counted(self.gaps_healed, "gap")
        )
    }

    /// Writes the file atomically.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let mut state = self.clone();
        let count = |state: &Self| state.peers.len();
        LIVE.write_json(path, &mut state, count, |state, surplus| {
            let left = state.peers.len().saturating_sub(surplus);
            state.peers.truncate(left);
        })
    }

    /// The state as it is written at `now`, in Unix seconds.
    pub(crate) fn written_at(&mut self, now: u64) -> Self {
        self.written_at = now;
        for peer in &mut self.peers {
            if peer.is_complete && peer.connected_since.is_some() {
                peer.complete_until = now;
            }
        }
        self.clone()
    }

    /// The state of the peer with this relay.
    pub(crate) fn peer(&mut self, url: &str) -> &mut LinkState {
        let place = self.peers.iter().position(|peer| peer.url == url);
        let place = place.unwrap_or_else(|| {
            self.peers.push(LinkState {
                url: url.to_owned(),
                ..LinkState::default()
            });
            self.peers.len() - 1
        });
        // It was found or has just been added.
        #[expect(clippy::indexing_slicing, reason = "the place is within the list")]
        &mut self.peers[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("live.json");
        assert_eq!(LiveState::load(&path), None);
        let mut state = LiveState::new(7, 1000);
        state.peer("ws://a").events = 3;
        state.peer("ws://a").connected_since = Some(1001);
        state.peer("ws://b").failure = Some("it is away".to_owned());
        state.save(&path).unwrap();
        assert_eq!(LiveState::load(&path), Some(state));
        std::fs::write(&path, r#"{"version":2}"#).unwrap();
        assert_eq!(LiveState::load(&path), None);
    }
}
