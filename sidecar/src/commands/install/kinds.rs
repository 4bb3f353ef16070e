//! Which kinds the station's own backfill asks for, so that ours goes on asking for them.

use std::collections::BTreeSet;
use std::path::Path;

use constellation_shared::kinds::{KindList, Set};
use constellation_shared::settings::Settings;

use crate::commands::install::found::{Found, Script};
use crate::commands::install::record::{Before, Record};

/// The script that names the kinds.
pub(crate) const BACKFILL: &str = "backfill_constellation.sh";

/// Lists of fewer kinds are for a purpose of their own, such as fetching profiles.
const FEWEST: usize = 10;

/// What a script asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KindsAsked {
    /// The kinds of the followed authors' events, in ascending order.
    pub kinds: BTreeSet<u16>,
    /// The kinds that are asked for without naming authors, in ascending order.
    pub any_author: BTreeSet<u16>,
}

impl KindsAsked {
    /// Reads the filters in a script.
    pub(crate) fn by(script: &[u8]) -> Self {
        let text = String::from_utf8_lossy(script);
        let mut asked = Self::default();
        for line in text.lines() {
            let names_authors = line.contains("\"authors\"");
            for list in line.split("\"kinds\"").skip(1) {
                let Some(list) = list.trim_start().strip_prefix(':') else {
                    continue;
                };
                let list = list.trim_start().strip_prefix('[');
                let Some((numbers, behind)) = list.and_then(|list| list.split_once(']')) else {
                    continue;
                };
                let numbers: Result<BTreeSet<u16>, _> = numbers
                    .split(',')
                    .map(|number| number.trim().parse())
                    .collect();
                let Ok(numbers) = numbers else { continue };
                if numbers.len() >= FEWEST {
                    asked.kinds.extend(numbers);
                } else if !names_authors && behind.contains("\"since\"") && behind.contains('}') {
                    asked.any_author.extend(numbers);
                }
            }
        }
        asked
    }

    /// What the script in the place of the station's own asks for, or the one that was there before
    /// ours.
    pub(crate) fn before(found: &Found, record: &Record) -> Self {
        let Some(Script {
            file, committed, ..
        }) = found.scripts.get(BACKFILL)
        else {
            return Self::default();
        };
        let ours = found.copy(BACKFILL).content;
        let kept = found.backup(BACKFILL).content;
        let current = file.content.as_ref();
        let current = current.filter(|content| Some(*content) != ours.as_ref());
        let was_kept = record.before(BACKFILL) == Some(Before::Kept);
        let script = current
            .or_else(|| kept.as_ref().filter(|_| was_kept))
            .or(committed.as_ref());
        script.map_or_else(Self::default, |script| Self::by(script))
    }

    /// The kinds that a list does not have, in ascending order.
    pub(crate) fn missing_in(&self, kinds: &[u16]) -> Vec<u16> {
        let missing = self.kinds.iter().filter(|kind| !kinds.contains(kind));
        missing.copied().collect()
    }

    /// The lines of the table `[sync]` that ask for as much; none if the usual kinds will do.
    pub(crate) fn lines(&self) -> Vec<String> {
        let seed = Set::Seed.numbers();
        let mut lines = Vec::new();
        if !self.missing_in(&seed).is_empty() {
            let beyond = self.missing_in(&Set::Uplanet.numbers());
            let mut words = vec![Set::Uplanet.name().to_owned()];
            words.extend(beyond.iter().map(|kind| format!("+{kind}")));
            lines.push(format!("kinds = \"{}\"", words.join(",")));
        }
        if !self.any_author.is_empty() {
            let words: Vec<String> = self.any_author.iter().map(ToString::to_string).collect();
            lines.push(format!("any-author-kinds = [{}]", words.join(", ")));
        }
        lines
    }

    /// A table `[sync]` that asks for as much; `None` if the usual kinds will do.
    pub(crate) fn table(&self) -> Option<String> {
        let lines = self.lines();
        (!lines.is_empty()).then(|| {
            format!(
                "# Put here by `constellation-sync install`, because the station's own backfill asks for\n\
                 # these kinds, too. `constellation-sync uninstall` takes the lines out.\n[sync]\n{}\n",
                lines.join("\n")
            )
        })
    }
}

impl KindsAsked {
    /// What the captain's own settings leave out.
    pub(crate) fn note_on(&self, settings: &Settings, path: &Path) -> Option<String> {
        let seed = Set::Seed.numbers();
        let kinds = settings.sync.kinds.as_ref();
        let missing = self.missing_in(&kinds.map_or(seed.clone(), |list| list.over(&seed)));
        let first = missing.first()?;
        let with = kinds.map_or_else(
            || Set::Uplanet.name().to_owned(),
            |list: &KindList| list.text_with(*first),
        );
        Some(format!(
            "the station's own backfill also asks for the kinds {missing:?}, which {} leaves out; to fetch them, too, write into its table [sync]: kinds = \"{with}\"",
            path.display()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of upstream's script, shortened.
    const UPSTREAM: &str = r#"
    req_message+='"kinds": [0, 1, 3, 4, 5, 6, 7, 8, 21, 22, 40, 30850], '  # Include DMs
    req_message+='"kinds": [0, 1, 3, 5, 6, 7, 8, 21, 22, 40, 30850], '
    local req_message='["REQ", "station_events", {"kinds": [30800, 30850, 30851], "since": '"$since_timestamp"', "limit": 1000}]'
    local req_message='["REQ","prof0",{"kinds":[0],"authors":["'"$hex_pubkey"'"],"limit":1}]'
                            \"kinds\": [0],
    "kinds": [x, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]
    echo "kinds"
"#;

    #[test]
    fn the_filters_of_a_script_tell_which_kinds_it_asks_for() {
        let asked = KindsAsked::by(UPSTREAM.as_bytes());
        let kinds = [0, 1, 3, 4, 5, 6, 7, 8, 21, 22, 40, 30_850];
        assert_eq!(asked.kinds, BTreeSet::from(kinds));
        assert_eq!(asked.any_author, BTreeSet::from([30_800, 30_850, 30_851]));
        assert_eq!(asked.missing_in(&Set::Seed.numbers()), [8, 40, 30_850]);
        let settings = asked.table().unwrap();
        let expected = "[sync]\nkinds = \"uplanet\"\nany-author-kinds = [30800, 30850, 30851]\n";
        assert!(settings.ends_with(expected), "{settings}");
        assert_eq!(KindsAsked::by(b"theirs\n"), KindsAsked::default());
    }

    #[test]
    fn the_usual_kinds_need_no_setting_and_unknown_ones_are_added() {
        let mut asked = KindsAsked {
            kinds: Set::Seed.numbers().into_iter().collect(),
            any_author: BTreeSet::new(),
        };
        assert_eq!(asked.table(), None);
        asked.kinds.insert(40_000);
        assert!(
            asked
                .table()
                .unwrap()
                .ends_with("kinds = \"uplanet,+40000\"\n")
        );
    }

    #[test]
    fn a_captain_s_own_settings_stay_and_what_they_leave_out_is_named() {
        let asked = KindsAsked::by(UPSTREAM.as_bytes());
        let root = Path::new("/f");
        let note = |text: &str| {
            let settings = Settings::parse(text, root);
            asked.note_on(&settings, root)
        };
        assert_eq!(note("[sync]\nkinds = \"uplanet\""), None);
        let note = note("[sync]\nany-author-kinds = 1").unwrap();
        assert!(
            note.contains("[8, 40, 30850]") && note.ends_with("kinds = \"uplanet\""),
            "{note}"
        );
    }
}
