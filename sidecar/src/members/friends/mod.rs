//! Friends of friends: the pubkeys that the local members follow (kind 3, NIP-02), and which of them
//! `amisOfAmis.txt` lacks.
//!
//! A key in that list may write here, is followed by the next backfill, and leaves the blacklist:
//! that is the constellation's rule.

pub(crate) mod list;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

use constellation_shared::list_file::{self, ListFile};
use constellation_shared::swarm_lists;
use constellation_shared::{Pubkey, Station, kinds};
use serde::Deserialize;
use serde_json::Value;

use crate::options::members::FriendOptions;
use crate::strfry::Strfry;
use crate::strfry::scan::ScanError;
use crate::swarm::followed::{
    BlacklistUnreadable, MOST_OF_A_STATION, at_most, folder_or_none, keys_at_rest, keys_of,
    keys_or_none,
};
use crate::swarm::peer::Description;

/// Whose friends count, and which of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    /// Whether the friends of the swarm's captains count, too.
    pub captains: bool,
    /// Whether the friends that other stations list count, too.
    pub swarm: bool,
    /// Whether blacklisted friends are left out.
    pub keep_blocked: bool,
}

impl From<FriendOptions> for Scope {
    fn from(options: FriendOptions) -> Self {
        Self {
            captains: options.captains,
            swarm: options.merge_swarm,
            keep_blocked: options.keep_blocked,
        }
    }
}

/// A key that is not yet in the list, and why it would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Friend {
    /// How many members, or captains, follow it.
    pub followers: usize,
    /// How many other stations list it.
    pub stations: usize,
    /// Whether the key is blacklisted here. Being listed as a friend unblocks it.
    pub blocked: bool,
}

/// The friends that the list lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Circle {
    /// How many people's contact lists were looked for.
    pub people: usize,
    /// How many of them have a contact list.
    pub contact_lists: usize,
    /// How many keys they and the stations name.
    pub named: usize,
    /// How many of these were left out because they are blacklisted.
    pub kept_blocked: usize,
    /// Who is to be added.
    pub new: BTreeMap<Pubkey, Friend>,
}

impl Circle {
    /// Who of those to be added is blacklisted now.
    pub(crate) fn unblocked(&self) -> impl Iterator<Item = &Pubkey> {
        let blocked = self.new.iter().filter(|(_, friend)| friend.blocked);
        blocked.map(|(key, _)| key)
    }
}

/// Why friends could not be gathered or listed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FriendsError {
    /// Who is blocked is unknown.
    #[error(transparent)]
    Blacklist(#[from] BlacklistUnreadable),
    /// strfry does not answer.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The list cannot be read or written.
    #[error("{0} cannot be read or written; check what it is and who owns it")]
    List(PathBuf, #[source] io::Error),
}

/// Gathers the friends that are not yet in this station's lists.
///
/// # Errors
/// [`FriendsError`].
pub(crate) async fn gather(
    station: &Station,
    strfry: &Strfry,
    descriptions: &[Description],
    scope: Scope,
) -> Result<Circle, FriendsError> {
    let lists = Lists::read(station)?;
    let mut people = BTreeSet::new();
    for list in folder_or_none(list_file::member_keys(station), &station.members_dir()) {
        people.extend(keys_or_none(&list));
    }
    if scope.captains {
        let captains = descriptions.iter().filter_map(|station| station.captain);
        people.extend(captains.filter(|key| lists.trust(key)));
    }
    let mut contacts = Contacts::new();
    let authors: Vec<Pubkey> = people.iter().copied().collect();
    strfry
        .scan(&authors, &[kinds::CONTACTS], |line| {
            take(&mut contacts, line);
        })
        .await?;
    let mut named: BTreeMap<Pubkey, Friend> = BTreeMap::new();
    for (author, (_, friends)) in &contacts {
        for friend in friends.iter().filter(|friend| *friend != author) {
            named.entry(*friend).or_default().followers += 1;
        }
    }
    if scope.swarm {
        for (key, stations) in &lists.swarm {
            named.entry(*key).or_default().stations = *stations;
        }
    }
    let mut circle = Circle {
        people: people.len(),
        contact_lists: contacts.len(),
        named: named.len(),
        ..Circle::default()
    };
    for (key, mut friend) in named {
        if lists.own.contains(&key) {
            continue;
        }
        friend.blocked = lists.blacklisted.contains(&key);
        if friend.blocked && scope.keep_blocked {
            circle.kept_blocked += 1;
        } else {
            circle.new.insert(key, friend);
        }
    }
    Ok(circle)
}

/// The lists that friends are compared with.
struct Lists {
    /// The keys of this station's own lists of friends.
    own: BTreeSet<Pubkey>,
    blacklisted: BTreeSet<Pubkey>,
    /// How many other stations list each key as a friend.
    swarm: BTreeMap<Pubkey, usize>,
}

impl Lists {
    fn read(station: &Station) -> Result<Self, FriendsError> {
        let mut own = BTreeSet::new();
        for path in station.friend_lists() {
            let keys = keys_of(&ListFile::own(path.clone()));
            own.extend(keys.map_err(|error| FriendsError::List(path, error))?);
        }
        let blacklist = ListFile::blacklist(station.blacklist());
        let blacklisted = keys_at_rest(&blacklist)
            .map_err(|error| BlacklistUnreadable::new(&blacklist, error))?;
        let mut swarm: BTreeMap<Pubkey, usize> = BTreeMap::new();
        for list in folder_or_none(swarm_lists::swarm_friends(station), &station.swarm_dir()) {
            for key in at_most(MOST_OF_A_STATION, keys_or_none(&list), list.path()) {
                *swarm.entry(key).or_default() += 1;
            }
        }
        Ok(Self {
            own,
            blacklisted,
            swarm,
        })
    }

    /// Whether this captain may write here. A captain who may not does not bring friends either.
    fn trust(&self, captain: &Pubkey) -> bool {
        !self.blacklisted.contains(captain)
            || self.own.contains(captain)
            || self.swarm.contains_key(captain)
    }
}

/// When each author's contact list was made, and whom it names.
type Contacts = BTreeMap<Pubkey, (u64, BTreeSet<Pubkey>)>;

/// An event as strfry holds it; its tags may be of any shape.
#[derive(Deserialize)]
struct Stored {
    pubkey: String,
    created_at: u64,
    tags: Vec<Value>,
}

/// Takes a line of a scan in if it is newer than what is known of its author.
fn take(contacts: &mut Contacts, line: &[u8]) {
    let Ok(stored) = serde_json::from_slice::<Stored>(line) else {
        return;
    };
    let Ok(author) = Pubkey::parse(stored.pubkey.as_bytes()) else {
        return;
    };
    let known = contacts.get(&author).map(|(created_at, _)| *created_at);
    if known.is_none_or(|known| known < stored.created_at) {
        let friends = stored.tags.iter().filter_map(contact).collect();
        contacts.insert(author, (stored.created_at, friends));
    }
}

/// The key of a `p` tag, which is in hex by NIP-02.
fn contact(tag: &Value) -> Option<Pubkey> {
    let tag = tag.as_array()?;
    let (name, key) = (tag.first()?.as_str()?, tag.get(1)?.as_str()?);
    if name != "p" || key.len() != 64 {
        return None;
    }
    key.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_contact_list_counts_whatever_else_is_in_it() {
        let key = |byte: u8| Pubkey::from_bytes([byte; 32]);
        let line = |created_at: u64, tags: Value| {
            let author = key(1).to_hex();
            serde_json::json!({"pubkey": author, "created_at": created_at, "tags": tags})
                .to_string()
        };
        let mut contacts = Contacts::new();
        let odd = serde_json::json!([
            ["p", key(2).to_hex(), "wss://relay", "pet name"],
            ["p", key(3).to_hex().to_uppercase()],
            ["p", key(3).to_hex()],
            ["p", key(4).to_bech32()],
            ["p", "nobody"],
            ["p"],
            ["p", 7],
            [],
            "p",
            7,
            ["e", key(5).to_hex()],
        ]);
        for line in [
            line(2, odd),
            line(1, serde_json::json!([["p", key(6).to_hex()]])),
            "[]".to_owned(),
        ] {
            take(&mut contacts, line.as_bytes());
        }
        assert_eq!(contacts.len(), 1);
        assert_eq!(contacts[&key(1)].1, BTreeSet::from([key(2), key(3)]));
    }
}
