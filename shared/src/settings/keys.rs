//! Every setting of both programs: the tables of the file and the keys in them.
//!
//! A key is the long name of the option that it stands for. A test of each program compares its options
//! with this list, so that a new option is either a setting here or named there as one of a single
//! call.

use crate::settings::nearest::{distance, is_near};

/// A table of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// What its settings are about, in a few words.
    pub about: &'static str,
    /// Whether the policy reads it. Then a fault in it is a fault of the whole file.
    pub is_strict: bool,
    /// Its keys.
    pub keys: &'static [Key],
}

/// A key of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its name, which is the long name of an option.
    pub name: &'static str,
    /// How its value is written.
    pub form: Form,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `true` or `false`.
    Flag,
    /// A text, a number or a time of day.
    Value,
    /// One or several texts.
    Values,
    /// A list of kinds.
    Kinds,
    /// The path of a file or folder, relative to the folder of the settings file.
    Path,
    /// The path of a file, or an empty text for none.
    PathOrNone,
    /// A list of such paths.
    Paths,
    /// The path of a program, or its name if it is on PATH.
    Program,
}

const fn key(name: &'static str, form: Form) -> Key {
    Key { name, form }
}

/// All tables, in the order in which they are shown.
pub const TABLES: [Table; 6] = [
    Table {
        name: "lists",
        about: "Which lists count, for the relay and for the backfill",
        is_strict: true,
        keys: &[
            key("blacklist", Form::Path),
            key("amis", Form::Paths),
            key("swarm", Form::Flag),
            key("no-swarm", Form::Flag),
        ],
    },
    Table {
        name: "policy",
        about: "What the relay accepts (constellation-policy)",
        is_strict: true,
        keys: &[
            key("strangers", Form::Value),
            key("filters", Form::Path),
            key("filter-timeout", Form::Value),
            key("filter-grace", Form::Value),
            key("no-remove", Form::Flag),
            key("shadow", Form::Flag),
            key("log", Form::Value),
        ],
    },
    Table {
        name: "sync",
        about: "What a backfill fetches, from whom, and how long it may take",
        is_strict: false,
        keys: &[
            key("days", Form::Value),
            key("sweep", Form::Flag),
            key("max-days", Form::Value),
            key("kinds", Form::Kinds),
            key("any-author-kinds", Form::Kinds),
            key("no-dms", Form::Flag),
            key("peer", Form::Values),
            key("max-peers", Form::Value),
            key("allow-private-peers", Form::Flag),
            key("no-negentropy", Form::Flag),
            key("ipfs", Form::Program),
            key("ipfs-api", Form::Value),
            key("ca-file", Form::Path),
            key("fallback-relay", Form::Values),
            key("no-fallback", Form::Flag),
            key("verify", Form::Flag),
            key("trust-peers", Form::Flag),
            key("patience", Form::Value),
            key("max-minutes", Form::Value),
            key("strfry", Form::Path),
            key("strfry-patience", Form::Value),
            key("no-profiles", Form::Flag),
            key("full-sync-parallel", Form::Value),
            key("full-sync-keys", Form::Value),
            key("full-sync-connections", Form::Value),
            key("full-sync-minutes", Form::Value),
            key("full-sync-limit", Form::Value),
            key("friends", Form::Flag),
            key("captains", Form::Flag),
            key("merge-swarm", Form::Flag),
            key("keep-blocked", Form::Flag),
        ],
    },
    Table {
        name: "report",
        about: "Where a run is reported",
        is_strict: false,
        keys: &[
            key("verbose", Form::Flag),
            key("quiet", Form::Flag),
            key("metrics", Form::Path),
            key("sync-report", Form::PathOrNone),
            key("max-age", Form::Value),
        ],
    },
    Table {
        name: "notify",
        about: "Commands that tell the captain of failures",
        is_strict: false,
        keys: &[
            key("on-failure", Form::Value),
            key("on-recovery", Form::Value),
            key("on-success", Form::Value),
            key("on-failure-after", Form::Value),
            key("hook-patience", Form::Value),
        ],
    },
    Table {
        name: "trigger",
        about: "When `constellation-sync trigger` starts a backfill",
        is_strict: false,
        keys: &[
            key("interval", Form::Value),
            key("not-before", Form::Value),
            key("live", Form::Flag),
        ],
    },
];

impl Table {
    /// The table of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TABLES.iter().find(|table| table.name == name)
    }

    /// The key of this name in this table.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// The table in which a key belongs.
pub fn table_of(key: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.key(key).is_some())
}

/// The key that is most like this name, and its table. One in `preferred` wins over equally near ones.
pub(super) fn nearest(
    name: &str,
    preferred: Option<&Table>,
) -> Option<(&'static Table, &'static Key)> {
    let all = TABLES
        .iter()
        .flat_map(|table| table.keys.iter().map(move |key| (table, key)));
    let near = all.filter(|(_, key)| is_near(name, key.name));
    near.min_by_key(|(table, key)| {
        let is_elsewhere = preferred.is_some_and(|preferred| preferred.name != table.name);
        (distance(name, key.name), is_elsewhere)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_in_one_table() {
        let mut names: Vec<&str> = TABLES
            .iter()
            .flat_map(|table| table.keys.iter().map(|key| key.name))
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
