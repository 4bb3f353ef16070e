//! Searches other stations' lists, which takes as long as they make it. It runs beside the thread
//! that keeps the station's own lists.

use std::sync::Arc;
use std::time::Duration;

use constellation_shared::wot::KeySet;
use rustix::time::{ClockId, clock_gettime};

use crate::lists::pardons::{Pardons, Sought};
use crate::lists::{Sources, Swarm, is_subset};

/// How often other stations' lists are looked at if that costs next to nothing.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Looking at lists that have not changed takes at most one part in this many of a processor's
/// time.
const SHARE_OF_LOOKS: u32 = 125;

/// Reading lists takes at most one part in this many of a processor's time.
const SHARE_OF_READING: u32 = 5;

/// Searches other stations' lists and knows which of them must be read again.
#[derive(Debug)]
pub(crate) struct SwarmSearch {
    sources: Sources,
    pardons: Pardons,
    /// The keys of the last search.
    searched: Option<Arc<KeySet>>,
    /// The processor time of the last look that had to read nothing.
    look: Duration,
}

/// The result of a search.
#[derive(Debug)]
pub(crate) struct Found {
    /// The pardons, if they have changed.
    pub(crate) swarm: Option<Swarm>,
    /// How long to wait until the next look.
    pub(crate) wait: Duration,
}

impl SwarmSearch {
    pub(crate) fn new(sources: Sources) -> Self {
        Self {
            sources,
            pardons: Pardons::default(),
            searched: None,
            look: Duration::ZERO,
        }
    }

    /// Searches for these keys in the lists that have changed, or in all lists if new keys are
    /// blocked. `now` is the time since 1970.
    pub(crate) fn search(&mut self, blocked: &Arc<KeySet>, now: Duration) -> Found {
        let started = processor_time();
        let last = self.searched.replace(Arc::clone(blocked));
        let same = last.as_ref().is_some_and(|last| Arc::ptr_eq(last, blocked));
        let again = !same && !last.is_some_and(|last| is_subset(blocked, &last));
        let mut changed = !same;
        let mut read = 0;
        let all_keys = self.sources.tells_strangers();
        if blocked.is_empty() && !all_keys {
            // If no key is blocked and no stranger to be told from others, there is nobody to pardon
            // and nothing to look at.
            self.pardons = Pardons::default();
        } else {
            let pardoning = self.sources.swarm_pardoning();
            let sought = Sought {
                blocked,
                again,
                all_keys,
            };
            let searched = self.pardons.search(pardoning, sought, now);
            changed |= searched.changed;
            read = searched.read;
        }
        let swarm = changed.then(|| Swarm {
            searched: Some(Arc::clone(blocked)),
            pardoned: Arc::new(self.pardons.found()),
            known: all_keys.then(|| Arc::new(self.pardons.known())),
        });
        let cost = processor_time().saturating_sub(started);
        if read == 0 {
            self.look = cost;
        }
        Found {
            swarm,
            wait: pace(self.look, if read == 0 { Duration::ZERO } else { cost }),
        }
    }
}

fn pace(look: Duration, reading: Duration) -> Duration {
    LOOK_EVERY
        .max(look * SHARE_OF_LOOKS)
        .max(reading * SHARE_OF_READING)
}

/// The processor time that this thread has used.
fn processor_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime)
        .try_into()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expensive_looks_are_rare() {
        let (ms, us) = (Duration::from_millis, Duration::from_micros);
        assert_eq!(pace(Duration::ZERO, Duration::ZERO), LOOK_EVERY);
        // Some hundred stations.
        assert_eq!(pace(us(1600), Duration::ZERO), LOOK_EVERY);
        assert_eq!(pace(ms(40), Duration::ZERO), ms(5000));
        assert_eq!(pace(us(1600), ms(100)), ms(500));
        // Whatever a look costs, and the five looks a second at the station's own lists.
        for look in [ms(1), ms(2), ms(40), ms(700), ms(20_000)] {
            assert!(pace(look, Duration::ZERO) >= look * 100, "{look:?}");
        }
    }
}
