//! [`BlockedNow`]: the pubkeys that are blocked at the moment. The lists are read again during a run
//! whenever they change.
//!
//! A list that is being rewritten must not let anybody in. So a pubkey that was once on the
//! blacklist stays blocked until the run ends, unless another list pardons it; and a list that
//! cannot be read counts with its last content.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use constellation_shared::list_file::{self, ListFile, Signature};
use constellation_shared::swarm_lists;
use constellation_shared::verdict::{Standing, Verdict};
use constellation_shared::{Pubkey, Station, counted};
use tracing::{info, warn};

use crate::swarm::followed::Keys;

/// The shortest time between two checks of the lists. Events arrive in thousands per second.
const INTERVAL: Duration = Duration::from_secs(1);

/// A list, and its signature when it was last read.
#[derive(Debug)]
struct Seen {
    list: ListFile,
    /// `None` if the file was missing.
    signature: Option<Signature>,
}

/// The pubkeys that are blocked at the moment.
#[derive(Debug)]
pub(crate) struct BlockedNow {
    station: Station,
    looked_at: Option<Instant>,
    seen: Vec<Seen>,
    /// Every pubkey that has been on the blacklist since the run began.
    blacklisted: BTreeSet<Pubkey>,
    /// The blacklisted pubkeys on a list of friends.
    friends: BTreeSet<Pubkey>,
    /// The blacklisted pubkeys of members.
    members: BTreeSet<Pubkey>,
    /// Friends who keep their standing although their list has gone.
    kept_friends: BTreeSet<Pubkey>,
}

impl BlockedNow {
    /// Nobody is blocked before the first [`BlockedNow::refresh`]. `kept_friends` are friends although
    /// no list has them.
    pub(crate) fn new(station: Station, kept_friends: BTreeSet<Pubkey>) -> Self {
        Self {
            station,
            looked_at: None,
            seen: Vec::new(),
            blacklisted: BTreeSet::new(),
            friends: BTreeSet::new(),
            members: BTreeSet::new(),
            kept_friends,
        }
    }

    /// Whether it is time to call [`BlockedNow::refresh`].
    pub(crate) fn is_due(&self) -> bool {
        self.looked_at.is_none_or(|at| at.elapsed() >= INTERVAL)
    }

    /// Whether a pubkey is blocked by the lists as they were last read.
    pub(crate) fn contains(&self, key: &Pubkey) -> bool {
        let standing = Standing {
            blocked: self.blacklisted.contains(key),
            friend: self.friends.contains(key) || self.kept_friends.contains(key),
            member: self.members.contains(key),
        };
        standing.verdict() == Verdict::Block
    }

    /// Checks the lists, and reads them again if one has changed. This blocks on files.
    pub(crate) fn refresh(&mut self) {
        self.looked_at = Some(Instant::now());
        let blacklist = ListFile::blacklist(self.station.blacklist());
        let own = self.station.friend_lists().into_iter().map(ListFile::own);
        let mut friends: Vec<ListFile> = own.collect();
        friends.extend(swarm_lists::swarm_friends(&self.station).unwrap_or_default());
        let members = list_file::member_keys(&self.station).unwrap_or_default();
        let seen: Vec<Seen> = std::iter::once(&blacklist)
            .chain(&friends)
            .chain(&members)
            .map(|list| Seen {
                list: list.clone(),
                signature: list.signature().unwrap_or_default(),
            })
            .collect();
        if is_same(&seen, &self.seen) {
            return;
        }
        let is_first = self.seen.is_empty();
        self.seen = seen;
        let before = self.blacklisted.len();
        match Keys::read(&blacklist) {
            Ok(Keys { keys, faults }) => {
                self.blacklisted.extend(keys);
                // At first they are known from the preparation of the run.
                if !is_first && !faults.is_empty() {
                    warn!("{}: {faults}", blacklist.path().display());
                }
            }
            Err(error) => warn!(
                "{} cannot be read: {error}; the pubkeys that were blocked before stay blocked; check what the file is and who may read it",
                blacklist.path().display()
            ),
        }
        let added = self.blacklisted.len() - before;
        if added > 0 && !is_first {
            let pubkeys = counted(added as u64, "pubkey");
            info!("{pubkeys} more on blacklist.txt since this run began");
        }
        self.friends = self.pardoned(&friends, &self.friends);
        self.members = self.pardoned(&members, &self.members);
    }

    /// The blacklisted pubkeys on these lists. If a list cannot be read, those that were pardoned
    /// before remain so.
    fn pardoned(&self, lists: &[ListFile], before: &BTreeSet<Pubkey>) -> BTreeSet<Pubkey> {
        let mut pardoned = BTreeSet::new();
        if self.blacklisted.is_empty() {
            return pardoned;
        }
        for list in lists {
            if self.read_pardons(list, &mut pardoned).is_err() {
                pardoned.extend(before);
            }
        }
        pardoned
    }

    fn read_pardons(&self, list: &ListFile, pardoned: &mut BTreeSet<Pubkey>) -> io::Result<()> {
        if let Some(open) = list.open()? {
            open.read(|_, key| {
                if self.blacklisted.contains(&key) {
                    pardoned.insert(key);
                }
            })?;
        }
        Ok(())
    }
}

fn is_same(one: &[Seen], other: &[Seen]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|(one, other)| {
            one.list.path() == other.list.path() && one.signature == other.signature
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn key(byte: u8) -> Pubkey {
        Pubkey::from_bytes([byte; 32])
    }

    fn lines(keys: &[u8]) -> String {
        keys.iter()
            .map(|&byte| format!("{}\n", key(byte)))
            .collect()
    }

    #[test]
    fn who_is_blocked_follows_the_lists_and_a_half_written_one_lets_nobody_in() {
        let dir = tempfile::tempdir().unwrap();
        let station = Station::new(dir.path());
        fs::create_dir_all(station.strfry_dir()).unwrap();
        let swarm = station.swarm_dir().join("12D3KooA");
        fs::create_dir_all(&swarm).unwrap();
        let mut blocked = BlockedNow::new(station.clone(), BTreeSet::new());
        let mut now = |write: &dyn Fn()| {
            write();
            blocked.refresh();
            (1..=5)
                .filter(|byte| blocked.contains(&key(*byte)))
                .collect::<Vec<u8>>()
        };
        let blacklist = |text: &str| fs::write(station.blacklist(), text).unwrap();
        let friends = |text: &str| fs::write(station.friends(), text).unwrap();
        assert_eq!(now(&|| ()), [0; 0]);
        assert_eq!(now(&|| blacklist(&lines(&[1, 2]))), [1, 2]);
        assert_eq!(now(&|| friends(&lines(&[2]))), [1]);
        assert_eq!(
            now(&|| fs::write(swarm.join("amisOfAmis.txt"), lines(&[1])).unwrap()),
            [0; 0]
        );
        // Friends who are gone pardon no more, and a new one on the list is blocked at once.
        assert_eq!(now(&|| friends("")), [2]);
        assert_eq!(now(&|| blacklist(&lines(&[1, 2, 3]))), [2, 3]);
        // `sort -o` empties it, and writes it again; `rm`, and it is no file at all.
        assert_eq!(now(&|| blacklist("")), [2, 3]);
        assert_eq!(now(&|| blacklist(&lines(&[5])[..30])), [2, 3]);
        assert_eq!(
            now(&|| fs::remove_file(station.blacklist()).unwrap()),
            [2, 3]
        );
        assert_eq!(
            now(&|| fs::create_dir(station.blacklist()).unwrap()),
            [2, 3]
        );
        assert_eq!(
            now(&|| {
                fs::remove_dir(station.blacklist()).unwrap();
                blacklist(&lines(&[4]));
            }),
            [2, 3, 4]
        );
        // A list of friends that cannot be read is as it was.
        friends(&lines(&[4]));
        assert_eq!(now(&|| ()), [2, 3]);
        assert_eq!(
            now(&|| {
                fs::remove_file(station.friends()).unwrap();
                fs::create_dir(station.friends()).unwrap();
            }),
            [2, 3]
        );
    }
}
