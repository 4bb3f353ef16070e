//! One peer's turn by reconciliation: learn what it has and we lack, fetch the share of it
//! that falls to this peer, and leave the rest to paging.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use constellation_shared::{Event, EventId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tracing::warn;

use crate::choice::AT_ONCE;
use crate::error::chain;
use crate::exchange::Exchange;
use crate::intake::Intake;
use crate::refused::Refused;
use crate::relay::collect::{Manner, collect};
use crate::relay::compare::{CompareError, compare};
use crate::relay::connection::Connection;
use crate::relay::fetch::FetchError;
use crate::relay::information::Information;
use crate::relay::pager::{LATEST, Window};
use crate::relay::reconcile::Held;
use crate::share::PeerIndex;
use crate::strfry::Strfry;
use crate::wanted::Wanted;

/// How many authors one reconciliation names: with them the first message is below
/// 64 KiB, the smallest that relays are known to take.
const AUTHORS: usize = 850;

/// The smallest message length with which reconciliation is tried, in bytes.
const SMALLEST_MESSAGE: u64 = 65_536;

/// What a message takes besides the frame in it, in bytes.
const MESSAGE_FRAME: u64 = 1000;

/// The largest frame, in bytes: what strfry sends itself at the most.
const LARGEST_FRAME: u64 = 500_000;

/// How many ids one question names at the most, and what one of them takes in bytes.
const MOST_IDS: u64 = 500;
const ID_LENGTH: u64 = 67;

/// For how long one peer waits for those before it at the most.
pub const HEAD_START: Duration = Duration::from_secs(30);

/// What is here of each window that is reconciled: what the local strfry held at the
/// beginning, and what has come since.
#[derive(Debug, Default)]
pub struct Holdings {
    since: u64,
    windows: Vec<(Window, Mutex<Known>)>,
}

/// Times and ids of events.
type Known = Vec<(u64, EventId)>;

impl Holdings {
    /// What is held of a part of one of the windows.
    fn held(&self, part: &Window) -> Held {
        let whole = self.windows.iter().find(|(whole, _)| {
            whole.kinds == part.kinds && whole.authors.first() == part.authors.first()
        });
        let span = part.since..=part.until;
        let Some((_, held)) = whole else {
            return Held::from_iter([]);
        };
        let held = held.lock().unwrap_or_else(PoisonError::into_inner);
        let inside = held
            .iter()
            .filter(|(created_at, _)| span.contains(created_at));
        inside.copied().collect()
    }

    /// A verified event has come.
    fn add(&self, event: &Event) {
        let window = self.windows.iter().find(|(window, _)| {
            window.kinds.contains(&event.kind)
                && window.authors.binary_search(&event.pubkey).is_ok()
        });
        if let Some((_, held)) = window {
            let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
            held.push((event.created_at, event.id));
        }
    }
}

/// What all sessions of a run share about reconciliation.
#[derive(Debug)]
pub struct Leveling {
    /// What tells what we hold, once the first peer wants to know.
    pub strfry: Strfry,
    /// What need not be asked for.
    pub refused: Refused,
    /// Who fetches what.
    pub exchange: Exchange,
    /// The time of the run, Unix seconds.
    pub now: u64,
    /// The earliest time that any peer will be asked for, as far as is known: all is
    /// looked up at once.
    earliest: u64,
    /// What was looked up; again where a peer is asked that reaches further back.
    holdings: Mutex<Vec<Arc<Holdings>>>,
    /// Held while something is looked up; whether strfry did tell.
    lookup: tokio::sync::Mutex<bool>,
    turns: Semaphore,
}

impl Leveling {
    /// For one run.
    pub fn new(
        strfry: Strfry,
        refused: Refused,
        exchange: Exchange,
        now: u64,
        earliest: u64,
    ) -> Self {
        Self {
            strfry,
            refused,
            exchange,
            now,
            earliest,
            holdings: Mutex::default(),
            lookup: tokio::sync::Mutex::new(true),
            turns: Semaphore::new(AT_ONCE),
        }
    }

    /// Waits for this peer's turn, which lasts until the permit is dropped; not for long
    /// where those before it are slow.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // Only fails once the semaphore is closed, which nobody does.
        timeout(HEAD_START, self.turns.acquire()).await.ok()?.ok()
    }

    /// An event of that id and content has come, whether it is let in or not; or it was
    /// forged, and another peer may have the genuine one.
    pub fn came(&self, event: &Event, is_forged: bool, fetched_by: Option<PeerIndex>) {
        match (is_forged, fetched_by) {
            (false, _) => {
                for holdings in self.looked_up().iter() {
                    holdings.add(event);
                }
                self.exchange.settle(event.id);
            }
            (true, Some(peer)) => self.exchange.release(peer, [event.id]),
            (true, None) => {}
        }
    }

    /// What we hold of what is wanted, looked up once for all peers; `None` where strfry
    /// does not tell, which is said.
    pub async fn holdings(&self, wanted: &Wanted) -> Option<Arc<Holdings>> {
        let mut tells = self.lookup.lock().await;
        let reaches = |holdings: &&Arc<Holdings>| holdings.since <= wanted.since;
        let looked_up = self.looked_up().iter().find(reaches).map(Arc::clone);
        if looked_up.is_some() || !*tells {
            return looked_up;
        }
        let widest = Wanted {
            since: wanted.since.min(self.earliest),
            ..wanted.clone()
        };
        let mut windows = Vec::new();
        for window in widest.windows_of(AUTHORS) {
            match self.strfry.holdings(&window).await {
                Ok(held) => windows.push((window, Mutex::new(held))),
                Err(error) => {
                    let error = chain(&error);
                    warn!("{error}: what is here is unknown, so everything is asked for");
                    *tells = false;
                    return None;
                }
            }
        }
        let since = widest.since;
        let holdings = Arc::new(Holdings { since, windows });
        self.looked_up().push(Arc::clone(&holdings));
        Some(holdings)
    }

    fn looked_up(&self) -> MutexGuard<'_, Vec<Arc<Holdings>>> {
        self.holdings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far one peer's reconciliation has come; another connection goes on from there.
#[derive(Debug)]
pub struct Progress {
    todo: Vec<Window>,
    /// What must be paged through after all.
    pub to_walk: Vec<Window>,
    /// Kinds that the relay shows only to clients who say who they are.
    pub unreadable_kinds: Vec<u16>,
}

/// Why a peer's reconciliation ended before it was done.
#[derive(Debug, thiserror::Error)]
pub enum LevelError {
    /// Something that paging through would meet as well.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The relay does not reconcile after all: everything is to be paged through.
    #[error(transparent)]
    Unfit(CompareError),
}

/// Whether this relay is worth the try.
pub fn is_fit(information: &Information) -> bool {
    information.negentropy
        && information
            .max_message_length
            .is_none_or(|length| length >= SMALLEST_MESSAGE)
}

impl Progress {
    /// At the beginning, for everything since then, Unix seconds.
    pub fn new(holdings: &Holdings, since: u64) -> Self {
        let windows = holdings.windows.iter().map(|(window, _)| Window {
            since,
            ..window.clone()
        });
        Self {
            todo: windows.collect(),
            to_walk: Vec::new(),
            unreadable_kinds: Vec::new(),
        }
    }

    /// Learns what the relay has and we lack, and offers it to the exchange.
    ///
    /// # Errors
    /// [`LevelError`].
    pub async fn compare_all<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        connection: &mut Connection<S>,
        leveling: &Leveling,
        holdings: &Holdings,
        information: &Information,
        (index, url): (PeerIndex, String),
        patience: Duration,
    ) -> Result<(), LevelError> {
        let length = information.max_message_length.unwrap_or(SMALLEST_MESSAGE);
        let frame_limit = (length.saturating_sub(MESSAGE_FRAME) / 2).min(LARGEST_FRAME);
        while let Some(window) = self.todo.last() {
            let held = holdings.held(window);
            let compared = compare(connection, window, &held, frame_limit, patience).await;
            let needed = match compared {
                Ok(needed) => needed,
                Err(error) => {
                    self.cope(error, leveling.now)?;
                    continue;
                }
            };
            self.todo.pop();
            let unrefused: HashSet<EventId> = needed
                .into_iter()
                .filter(|id| !leveling.refused.contains(*id, &url))
                .collect();
            leveling.exchange.offer(index, unrefused);
        }
        Ok(())
    }

    /// What to do with a window that could not be reconciled.
    fn cope(&mut self, error: CompareError, now: u64) -> Result<(), LevelError> {
        match error {
            CompareError::Connection(error) => Err(FetchError::Connection(error).into()),
            CompareError::TooMany => {
                if let Some(window) = self.todo.pop() {
                    match halves(&window, now) {
                        Some(halves) => self.todo.extend(halves),
                        None => self.to_walk.push(window),
                    }
                }
                Ok(())
            }
            CompareError::AuthRequired => {
                if let Some(window) = self.todo.pop() {
                    match window.kinds.as_slice() {
                        [kind] => self.unreadable_kinds.push(*kind),
                        _ => self.to_walk.push(window),
                    }
                }
                Ok(())
            }
            error => Err(LevelError::Unfit(error)),
        }
    }
}

/// The two halves of a window in time, the newer one last; `None` for a single second.
fn halves(window: &Window, now: u64) -> Option<[Window; 2]> {
    // Hardly anything lies ahead of now.
    let until = match window.until {
        LATEST => now.max(window.since),
        until => until,
    };
    let middle = window.since + until.checked_sub(window.since)? / 2;
    if window.until <= window.since || middle >= window.until {
        return None;
    }
    Some([
        Window {
            until: middle,
            ..window.clone()
        },
        Window {
            since: middle + 1,
            ..window.clone()
        },
    ])
}

/// Fetches this peer's share of what is missing.
///
/// # Errors
/// [`FetchError`].
pub async fn collect_share<S: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<S>,
    leveling: &Leveling,
    intake: &mut Intake,
    wanted: &Wanted,
    information: &Information,
    manner: (PeerIndex, usize, Duration),
    progress: impl FnMut(),
) -> Result<(), FetchError> {
    let (peer, questions, patience) = manner;
    let length = information.max_message_length.unwrap_or(SMALLEST_MESSAGE);
    let fitting = length.saturating_sub(MESSAGE_FRAME) / ID_LENGTH;
    let limit = information.max_limit.unwrap_or(MOST_IDS);
    let ids_at_once = fitting.min(limit).clamp(1, MOST_IDS);
    let manner = Manner {
        peer,
        ids_at_once: usize::try_from(ids_at_once).unwrap_or(1),
        questions,
        patience,
    };
    let is_wanted = |event: &Event| wanted.wants(event);
    let exchange = &leveling.exchange;
    collect(connection, exchange, intake, manner, is_wanted, progress).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use constellation_shared::Pubkey;

    fn window(since: u64, until: u64) -> Window {
        Window {
            authors: vec![Pubkey::from_bytes([1; 32])],
            kinds: vec![1],
            since,
            until,
        }
    }

    #[test]
    fn halves_cover_the_window_and_end_at_a_second() {
        let mut todo = vec![window(10, LATEST)];
        let mut seconds = Vec::new();
        let mut steps = 0;
        while let Some(part) = todo.pop() {
            steps += 1;
            assert!(steps < 1000, "it does not end");
            // Everything up to 40 is refused for its number, down to single seconds.
            match halves(&part, 40) {
                Some(parts) if part.since <= 40 => todo.extend(parts),
                _ => seconds.push((part.since, part.until)),
            }
        }
        seconds.sort_unstable();
        let mut expected: Vec<(u64, u64)> = (10..=40).map(|second| (second, second)).collect();
        expected.push((41, LATEST));
        assert_eq!(seconds, expected);
    }

    #[test]
    fn what_is_held_of_a_part_is_found() {
        let id = |byte| EventId::from_bytes([byte; 32]);
        let held = vec![(5, id(1)), (15, id(2)), (25, id(3))];
        let holdings = Holdings {
            since: 0,
            windows: vec![(window(0, LATEST), Mutex::new(held))],
        };
        let part = holdings.held(&window(10, 20));
        assert_eq!(
            format!("{part:?}"),
            format!("{:?}", Held::from_iter([(15, id(2))]))
        );
    }
}
