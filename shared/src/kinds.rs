//! The table of the event kinds that a constellation replicates, one row per kind. The named sets of
//! `--kinds`, the statistics line and every list of kinds in the programs derive from it.

mod list;

pub use list::{KindList, NoKindList};

/// The family that a kind belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// The kinds that nostr clients commonly use, and DIDs.
    Core,
    /// The permits and credentials of the constellation's oracle.
    Oracle,
    /// Environmental obligations (ORE): spaces and meetings.
    Ore,
    /// What UPlanet's stations replicate beyond the kinds of the other families.
    Uplanet,
}

/// A named set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// The 20 kinds that a run fetches unless it is told otherwise.
    Seed,
    /// All kinds of the table: those that UPlanet's own backfill names.
    Uplanet,
}

impl Set {
    /// All sets.
    pub const ALL: [Self; 2] = [Self::Seed, Self::Uplanet];

    /// The name by which `--kinds` knows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seed => "seed",
            Self::Uplanet => "uplanet",
        }
    }

    /// Its kinds, in the order of the table.
    pub fn kinds(self) -> impl Iterator<Item = &'static Kind> {
        let is_in = move |kind: &&Kind| self == Self::Uplanet || kind.group != Group::Uplanet;
        KINDS.iter().filter(is_in)
    }

    /// The numbers of its kinds, in the order of the table.
    pub fn numbers(self) -> Vec<u16> {
        self.kinds().map(|kind| kind.number).collect()
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Its number (NIP-01: 0 to 65535).
    pub number: u16,
    /// Its name in plain words.
    pub name: &'static str,
    /// The family that it belongs to.
    pub group: Group,
    /// The key under which `SYNC_STATS` counts it; several kinds may share one.
    pub statistics_key: &'static str,
}

const fn kind(number: u16, name: &'static str, group: Group, statistics_key: &'static str) -> Kind {
    Kind {
        number,
        name,
        group,
        statistics_key,
    }
}

/// Direct messages (NIP-04), which `--no-dms` leaves out.
pub const DIRECT_MESSAGE: u16 = 4;
/// Deletion requests (NIP-09).
pub const DELETION: u16 = 5;
/// Profile metadata (NIP-01).
pub const PROFILE: u16 = 0;
/// Contact lists (NIP-02).
pub const CONTACTS: u16 = 3;

/// The kinds that UPlanet's own backfill also fetches of authors whom nobody lists: stations sign
/// them with keys of their own.
pub const ANY_AUTHOR: [u16; 3] = [30_800, 30_850, 30_851];

/// The 57 kinds, sorted by number within each group.
pub const KINDS: [Kind; 57] = [
    kind(0, "profile (NIP-01)", Group::Core, "profiles"),
    kind(1, "text note (NIP-10)", Group::Core, "text"),
    kind(3, "contact list (NIP-02)", Group::Core, "contacts"),
    kind(4, "direct message (NIP-04)", Group::Core, "dms"),
    kind(5, "deletion (NIP-09)", Group::Core, "deletions"),
    kind(6, "repost (NIP-18)", Group::Core, "reposts"),
    kind(7, "reaction (NIP-25)", Group::Core, "reactions"),
    kind(21, "video (NIP-71)", Group::Core, "videos"),
    kind(22, "short video (NIP-71)", Group::Core, "videos"),
    kind(1063, "file metadata (NIP-94)", Group::Core, "files"),
    kind(1111, "comment (NIP-22)", Group::Core, "comments"),
    kind(30023, "blog article (NIP-23)", Group::Core, "blog"),
    kind(
        30024,
        "article draft, calendar (NIP-23)",
        Group::Core,
        "calendar",
    ),
    kind(30800, "DID document", Group::Core, "did"),
    kind(30500, "permit definition", Group::Oracle, "oracle"),
    kind(30501, "permit request", Group::Oracle, "oracle"),
    kind(30502, "permit attestation", Group::Oracle, "oracle"),
    kind(30503, "permit credential", Group::Oracle, "oracle"),
    kind(30312, "ORE meeting space", Group::Ore, "ore_spaces"),
    kind(
        30313,
        "ORE verification meeting",
        Group::Ore,
        "ore_meetings",
    ),
    kind(8, "badge award (NIP-58)", Group::Uplanet, "badge_awards"),
    kind(40, "channel (NIP-28)", Group::Uplanet, "channels"),
    kind(41, "channel metadata (NIP-28)", Group::Uplanet, "channels"),
    kind(42, "channel message (NIP-28)", Group::Uplanet, "channels"),
    kind(
        44,
        "muted channel user (NIP-28)",
        Group::Uplanet,
        "channels",
    ),
    kind(1222, "voice message (NIP-A0)", Group::Uplanet, "voice"),
    kind(1244, "voice reply (NIP-A0)", Group::Uplanet, "voice"),
    kind(
        1506,
        "justice of the web of trust",
        Group::Uplanet,
        "wotx2_justice",
    ),
    kind(1984, "report (NIP-56)", Group::Uplanet, "friction_reports"),
    kind(1985, "label (NIP-32)", Group::Uplanet, "tags"),
    kind(1986, "film metadata", Group::Uplanet, "tmdb"),
    kind(9735, "zap receipt (NIP-57)", Group::Uplanet, "zaps"),
    kind(
        10000,
        "analytics, mute list (NIP-51)",
        Group::Uplanet,
        "analytics",
    ),
    kind(
        10001,
        "pin list, playlist (NIP-51)",
        Group::Uplanet,
        "playlists",
    ),
    kind(
        22242,
        "authentication (NIP-42)",
        Group::Uplanet,
        "authentications",
    ),
    kind(
        30001,
        "film metadata, bookmarks (NIP-51)",
        Group::Uplanet,
        "tmdb",
    ),
    kind(
        30005,
        "video playlist (NIP-51)",
        Group::Uplanet,
        "playlists",
    ),
    kind(
        30008,
        "profile badges (NIP-58)",
        Group::Uplanet,
        "profile_badges",
    ),
    kind(
        30009,
        "badge definition (NIP-58)",
        Group::Uplanet,
        "badge_definitions",
    ),
    kind(
        30078,
        "application data (NIP-78)",
        Group::Uplanet,
        "app_data",
    ),
    kind(30303, "relay data", Group::Uplanet, "relay_data"),
    kind(30315, "user status (NIP-38)", Group::Uplanet, "status"),
    kind(30504, "training resource", Group::Uplanet, "training"),
    kind(
        30505,
        "object of the web of trust",
        Group::Uplanet,
        "wotx2_objects",
    ),
    kind(
        30506,
        "justice of the web of trust, addressable",
        Group::Uplanet,
        "wotx2_justice",
    ),
    kind(
        30508,
        "vibration match",
        Group::Uplanet,
        "vibration_matches",
    ),
    kind(
        30850,
        "economic health of a station",
        Group::Uplanet,
        "economic_health",
    ),
    kind(
        30851,
        "proof of a ZEN emission",
        Group::Uplanet,
        "economic_health",
    ),
    kind(
        30904,
        "crowdfunding campaign",
        Group::Uplanet,
        "crowdfunding",
    ),
    kind(31900, "workflow definition", Group::Uplanet, "workflows"),
    kind(31901, "workflow run", Group::Uplanet, "workflows"),
    kind(31902, "workflow result", Group::Uplanet, "workflows"),
    kind(
        31910,
        "shared memory of stations",
        Group::Uplanet,
        "n2_memory",
    ),
    kind(
        31922,
        "date-based calendar event (NIP-52)",
        Group::Uplanet,
        "nip52_calendar",
    ),
    kind(
        31923,
        "time-based calendar event (NIP-52)",
        Group::Uplanet,
        "nip52_calendar",
    ),
    kind(31924, "calendar (NIP-52)", Group::Uplanet, "nip52_calendar"),
    kind(
        31925,
        "calendar RSVP (NIP-52)",
        Group::Uplanet,
        "nip52_calendar",
    ),
];

/// The row of a kind, if the table has one.
pub fn find(number: u16) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.number == number)
}

/// Whether strfry keeps only the newest event of this kind by an author (NIP-01):
/// 0, 3 and 10000 to 19999.
pub const fn is_replaceable(number: u16) -> bool {
    matches!(number, 0 | 3 | 10_000..=19_999)
}

/// Whether a relay keeps only the newest event for each `d` tag (NIP-01): 30000 to 39999.
pub const fn is_addressable(number: u16) -> bool {
    matches!(number, 30_000..=39_999)
}

/// Whether a relay is not expected to store events of this kind (NIP-01): 20000 to 29999.
pub const fn is_ephemeral(number: u16) -> bool {
    matches!(number, 20_000..=29_999)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `backfill_constellation.sh` of papiche/NIP-101 asks for at 15a4359.
    const UPSTREAM: [u16; 57] = [
        0, 1, 3, 4, 5, 6, 7, 8, 21, 22, 40, 41, 42, 44, 1063, 1111, 1222, 1244, 1506, 1984, 1985,
        1986, 9735, 22242, 30001, 30005, 30008, 30009, 10001, 30023, 30024, 30078, 30303, 30312,
        30313, 30315, 30500, 30501, 30502, 30503, 30504, 30505, 30506, 30508, 30800, 30850, 30851,
        30904, 31900, 31901, 31902, 31910, 31922, 31923, 31924, 31925, 10000,
    ];

    #[test]
    fn the_set_of_uplanet_is_what_its_own_backfill_asks_for() {
        let (mut numbers, mut upstream) = (Set::Uplanet.numbers(), UPSTREAM);
        numbers.sort_unstable();
        upstream.sort_unstable();
        assert_eq!(numbers, upstream);
        assert!(ANY_AUTHOR.iter().all(|kind| upstream.contains(kind)));
    }

    #[test]
    fn the_seed_is_the_twenty_kinds_once_each() {
        let mut numbers = Set::Seed.numbers();
        numbers.sort_unstable();
        assert_eq!(
            numbers,
            [
                0, 1, 3, 4, 5, 6, 7, 21, 22, 1063, 1111, 30023, 30024, 30312, 30313, 30500, 30501,
                30502, 30503, 30800
            ]
        );
        assert_eq!(KINDS.iter().filter(|k| k.group == Group::Oracle).count(), 4);
        assert_eq!(KINDS.iter().filter(|k| k.group == Group::Ore).count(), 2);
        assert_eq!(find(22).map(|k| k.statistics_key), Some("videos"));
        assert_eq!(find(2), None);
    }

    #[test]
    fn the_bounds_of_each_class_are_those_of_nip_01() {
        assert!(is_replaceable(0) && is_replaceable(3) && !is_replaceable(1));
        assert!(is_replaceable(10_000) && is_replaceable(19_999) && !is_replaceable(20_000));
        assert!(is_ephemeral(20_000) && is_ephemeral(29_999));
        assert!(!is_ephemeral(19_999) && !is_ephemeral(30_000));
        assert!(is_addressable(30_000) && is_addressable(39_999));
        assert!(!is_addressable(29_999) && !is_addressable(40_000));
    }
}
