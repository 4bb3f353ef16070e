//! The lines of the log that the station's scripts parse (`SYNC_STATS:`, `SYNC_IMPORT:`, …). Their
//! form must not change.

use constellation_shared::kinds::{self, Group};

use crate::report::{ProfileCounts, Report};
use crate::strfry::import::Imported;

/// The keys of `SYNC_STATS` that come before those of groups of kinds, and those that come behind
/// them. Scripts look for `files=` and take the last place where that stands, so a key that ends with
/// another key (`profiles`) comes before it.
const BEFORE_THE_GROUPS: [&str; 6] = [
    "deletions",
    "videos",
    "profiles",
    "files",
    "comments",
    "did",
];
const BEHIND_THE_GROUPS: [&str; 33] = [
    "text",
    "contacts",
    "reposts",
    "reactions",
    "blog",
    "nip52_calendar",
    "calendar",
    "ore_spaces",
    "ore_meetings",
    "economic_health",
    "n2_memory",
    "badge_awards",
    "badge_definitions",
    "profile_badges",
    "voice",
    "encrypted_analytics",
    "analytics",
    "tags",
    "tmdb",
    "channels",
    "playlists",
    "status",
    "workflows",
    "wotx2_objects",
    "wotx2_justice",
    "vibration_matches",
    "friction_reports",
    "zaps",
    "crowdfunding",
    "training",
    "authentications",
    "app_data",
    "relay_data",
];

impl ProfileCounts {
    /// `SYNC_PROFILES: …`
    pub(crate) fn line(&self) -> String {
        format!(
            "SYNC_PROFILES: found={} missing={}",
            self.found, self.missing
        )
    }
}

impl Report {
    fn group(&self, group: Group) -> u64 {
        self.sum(|kind| kinds::find(kind).is_some_and(|kind| kind.group == group))
    }

    fn key(&self, key: &str) -> u64 {
        self.sum(|kind| kinds::find(kind).is_some_and(|kind| kind.statistics_key == key))
    }

    /// `SYNC_STATS: …`: events let in, each once, by the keys of the table of kinds.
    pub(crate) fn stats_line(&self) -> String {
        let events = self.sum(|_| true);
        let dms = self.key("dms");
        let mut line = format!(
            "SYNC_STATS: events={events} dms={dms} public={}",
            events - dms
        );
        for key in BEFORE_THE_GROUPS {
            line.push_str(&format!(" {key}={}", self.key(key)));
        }
        let (oracle, ore) = (self.group(Group::Oracle), self.group(Group::Ore));
        line.push_str(&format!(" oracle={oracle} ore={ore}"));
        for key in BEHIND_THE_GROUPS {
            line.push_str(&format!(" {key}={}", self.key(key)));
        }
        line
    }

    /// `SYNC_IMPORT: …`
    pub(crate) fn import_line(&self) -> String {
        let Imported {
            events, written, ..
        } = &self.imported;
        let mode = if self.verify { "verify" } else { "no-verify" };
        format!(
            "SYNC_IMPORT: events={events} mode={mode} added={} rejected={} dups={} replaced={} deleted={}",
            written.added,
            self.imported.rejected_count(),
            written.dups,
            written.replaced,
            written.deleted
        )
    }

    /// `SYNC_PEERS: …`
    pub(crate) fn peers_line(&self) -> String {
        format!(
            "SYNC_PEERS: success={} total={}",
            self.succeeded(),
            self.peers.len()
        )
    }

    /// `Left out: forged=1 …`, or `None` if nothing was left out.
    pub(crate) fn refused_line(&self) -> Option<String> {
        let refused = self.refused();
        let words: Vec<String> = refused
            .iter()
            .map(|(refusal, count)| format!("{}={count}", refusal.code()))
            .collect();
        (!words.is_empty()).then(|| format!("Left out: {}", words.join(" ")))
    }

    /// `Undelivered, by kind: 4=3 unknown=1: …`, or `None` if every listed event came.
    pub(crate) fn undelivered_line(&self) -> Option<String> {
        let words: Vec<String> = self
            .undelivered_by_kind()
            .iter()
            .map(|(kind, count)| format!("{kind}={count}"))
            .collect();
        (!words.is_empty()).then(|| {
            format!(
                "Undelivered, by kind: {}: listed by peers and sent by none of them; deleted meanwhile, or only for clients who say who they are",
                words.join(" ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;
    use constellation_shared::kinds::KINDS;

    /// What upstream's `sync_report.sh` finds: the number behind the last place where the key stands.
    fn value(line: &str, key: &str) -> u64 {
        let (_, behind) = line.rsplit_once(&format!("{key}=")).unwrap();
        let digits = behind.split(|c: char| !c.is_ascii_digit()).next();
        digits.unwrap().parse().unwrap()
    }

    #[test]
    fn scripts_find_the_count_of_every_kind_under_its_key() {
        for kind in KINDS {
            let mut report = report();
            report.by_kind = [(kind.number, 7)].into();
            let line = report.stats_line();
            let mut keys = vec!["events", kind.statistics_key];
            match kind.group {
                Group::Oracle => keys.push("oracle"),
                Group::Ore => keys.push("ore"),
                Group::Core | Group::Uplanet => {}
            }
            for key in &keys {
                assert_eq!(
                    value(&line, key),
                    7,
                    "{key} of kind {}: {line}",
                    kind.number
                );
            }
            keys.push(if kind.number == 4 { "dms" } else { "public" });
            for word in line.split(' ').skip(1) {
                let (key, count) = word.split_once('=').unwrap();
                assert_eq!(count, if keys.contains(&key) { "7" } else { "0" }, "{word}");
                assert_eq!(value(&line, key).to_string(), count, "{word}");
            }
        }
    }

    #[test]
    fn the_lines_that_scripts_read() {
        let report = report();
        assert_eq!(
            report.stats_line(),
            "SYNC_STATS: events=36 dms=3 public=33 deletions=0 videos=9 profiles=1 files=0 comments=0 \
             did=0 oracle=6 ore=7 text=2 contacts=0 reposts=0 reactions=0 blog=0 nip52_calendar=0 \
             calendar=0 ore_spaces=7 ore_meetings=0 economic_health=0 n2_memory=0 badge_awards=0 \
             badge_definitions=0 profile_badges=0 voice=0 encrypted_analytics=0 analytics=0 tags=0 \
             tmdb=0 channels=0 playlists=0 status=0 workflows=0 wotx2_objects=0 wotx2_justice=0 \
             vibration_matches=0 friction_reports=0 zaps=0 crowdfunding=0 training=0 \
             authentications=0 app_data=0 relay_data=0"
        );
        assert_eq!(
            report.import_line(),
            "SYNC_IMPORT: events=36 mode=no-verify added=30 rejected=2 dups=2 replaced=1 deleted=1"
        );
        assert_eq!(report.peers_line(), "SYNC_PEERS: success=1 total=2");
        assert_eq!(
            report.refused_line().as_deref(),
            Some("Left out: unasked=2 forged=4 deleted=1")
        );
        let undelivered = report.undelivered_line();
        assert!(
            undelivered
                .is_some_and(|line| line.starts_with("Undelivered, by kind: 4=3 unknown=1: "))
        );
    }
}
