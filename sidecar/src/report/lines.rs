//! The lines of the log that the station's scripts parse (`SYNC_STATS:`, `SYNC_IMPORT:`, …). Their
//! form must not change.

use constellation_shared::kinds::{self, Group};

use crate::report::{ProfileCounts, Report};
use crate::strfry::import::Imported;

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
        for key in ["deletions", "videos", "files", "comments", "did"] {
            line.push_str(&format!(" {key}={}", self.key(key)));
        }
        let (oracle, ore) = (self.group(Group::Oracle), self.group(Group::Ore));
        line.push_str(&format!(" oracle={oracle} ore={ore}"));
        for key in [
            "profiles",
            "text",
            "contacts",
            "reposts",
            "reactions",
            "blog",
            "calendar",
            "ore_spaces",
            "ore_meetings",
        ] {
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
    use crate::report::tests::report;

    #[test]
    fn the_lines_that_scripts_read() {
        let report = report();
        assert_eq!(
            report.stats_line(),
            "SYNC_STATS: events=36 dms=3 public=33 deletions=0 videos=9 files=0 comments=0 did=0 \
             oracle=6 ore=7 profiles=1 text=2 contacts=0 reposts=0 reactions=0 blog=0 calendar=0 \
             ore_spaces=7 ore_meetings=0"
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
