//! The table of the event kinds that a constellation replicates, one row per kind. The default
//! of `--kinds`, the statistics line and every list of kinds in the programs derive from it.

/// The family that a kind belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// The kinds that nostr clients commonly use, and DIDs.
    Core,
    /// The permits and credentials of the constellation's oracle.
    Oracle,
    /// Environmental obligations (ORE): spaces and meetings.
    Ore,
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

/// The 20 kinds, sorted by number within each group.
pub const KINDS: [Kind; 20] = [
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

    #[test]
    fn the_table_holds_the_twenty_kinds_once_each() {
        let mut numbers: Vec<u16> = KINDS.iter().map(|kind| kind.number).collect();
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
