//! [`Document`]: the report as `constellation-report.json` holds it, `--json` prints it and the page
//! shows it. Its JSON Schema is `package/constellation-report.schema.json`.
//!
//! Within one `schema` number, fields are only ever added. All foreign texts in it (URLs, names,
//! reasons) are shortened to one line without control characters; they are not escaped for HTML.

mod peer;

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use crate::admission::rules::Refusal;
use crate::report::live_state::LiveSummary;
use crate::report::notify::Call;
use crate::report::run_summary::{Day, Hour, PeerRuns, RunSummary};
use crate::report::{Outcome, Person, Report};
use crate::support::sanitize::{escaped_json, for_terminal};

pub(crate) use peer::Peer;

/// The number of its layout.
pub(crate) const SCHEMA: u32 = 1;

/// The most characters of a name and of a reason.
const MOST_OF_A_NAME: usize = 60;
const MOST_OF_A_REASON: usize = 500;

/// How many pubkeys are listed at most.
const MOST_LISTED: usize = 1000;

/// Everything about a run, and what is remembered of those before it. Times are Unix
/// seconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Document {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of this program.
    pub version: String,
    /// The name of this machine.
    pub station: String,
    /// How the run ended.
    pub outcome: Outcome,
    /// With which exit code.
    pub exit_code: u8,
    /// Whether it counts as a success: at least one peer gave all that it has.
    pub success: bool,
    /// Why it does not.
    pub failure: Option<String>,
    /// When it began.
    pub started_at: u64,
    /// When it ended.
    pub finished_at: u64,
    /// When the run ended by this machine's clock and time zone, `2025-10-30T13:35:02+01:00`.
    pub finished: String,
    /// How long it took.
    pub seconds: f64,
    /// How many days back it went; 0 = everything.
    pub days: u64,
    /// When the last run that succeeded ended, be it this one.
    pub last_success_at: Option<u64>,
    /// How old that may become before something is wrong, in seconds.
    pub max_age_seconds: u64,
    /// How many runs failed in a row, this one included.
    pub failures_in_a_row: u32,
    /// The last call of `--on-failure` or `--on-recovery`.
    #[serde(rename = "told")]
    pub last_call: Option<Call>,
    /// The last call of `--on-success`.
    #[serde(default)]
    pub pinged: Option<Call>,
    /// How many pubkeys are followed.
    pub followed: usize,
    /// Events let in, each once.
    pub events: u64,
    /// The counts by kind.
    pub events_by_kind: BTreeMap<u16, u64>,
    /// Events not let in, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Events that peers listed and none of them delivered, by kind, or `unknown`.
    #[serde(default)]
    pub undelivered: BTreeMap<String, u64>,
    /// What strfry made of the events.
    pub import: Import,
    /// Who has a profile; `None` if the run did not look for profiles.
    pub profiles: Option<Profiles>,
    /// Each peer that was asked.
    pub peers: Vec<Peer>,
    /// The last runs, the newest first.
    pub runs: Vec<RunSummary>,
    /// The last hours, the newest first; hours without a run are left out.
    pub hours: Vec<Hour>,
    /// The last days, the newest first; days without a run are left out.
    #[serde(default)]
    pub last_days: Vec<Day>,
    /// How the peers did in the last runs, those that were asked last first.
    #[serde(default)]
    pub peer_runs: Vec<PeerRuns>,
    /// The size of strfry's database in bytes, as far as its file takes room on the disk; nothing
    /// if it is unknown.
    #[serde(default)]
    pub database_bytes: Option<u64>,
    /// How `live` does; nothing if it is not running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveSummary>,
}

/// What strfry made of the events.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Import {
    /// Events that it was given.
    pub events: u64,
    /// `verify` or `no-verify`.
    pub mode: String,
    /// New in the database.
    pub added: u64,
    /// There already.
    pub dups: u64,
    /// Older than one that replaces it.
    pub replaced: u64,
    /// Deleted by its author.
    pub deleted: u64,
    /// Refused, by strfry's reason.
    pub rejected: BTreeMap<String, u64>,
    /// How many times `strfry import` had to be restarted.
    pub replaced_children: u32,
}

/// Who has a profile.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Profiles {
    /// How many have one.
    pub found: usize,
    /// How many have none.
    pub missing: usize,
    /// Who: members of this station first, and those without a profile before the others.
    #[serde(default)]
    pub listed: Vec<Listed>,
    /// How many are not listed for their number.
    #[serde(default)]
    pub unlisted: usize,
}

/// A followed pubkey.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Listed {
    /// 64 hex digits.
    pub pubkey: String,
    /// The name in the profile, which may be empty; `None` without a profile.
    pub name: Option<String>,
    /// Whether it is a member of this station.
    pub member: bool,
}

/// The time and the place of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Circumstances {
    /// The name of this machine.
    pub station: String,
    /// When it began and ended, Unix seconds.
    pub started_at: u64,
    /// When it ended.
    pub finished_at: u64,
    /// When the run ended, by this machine's clock and time zone.
    pub finished: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// How many days back it went.
    pub days: u64,
    /// How old the last success may become, in seconds.
    pub max_age: u64,
}

impl Document {
    /// The document of a run that could do nothing, for this reason.
    pub(crate) fn of_failure(exit_code: u8, reason: &str, when: Circumstances) -> Self {
        Self {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            station: for_terminal(&when.station, MOST_OF_A_NAME),
            outcome: if exit_code == Outcome::Interrupted.exit_code() {
                Outcome::Interrupted
            } else {
                Outcome::NothingDone
            },
            exit_code,
            success: false,
            failure: Some(for_terminal(reason, MOST_OF_A_REASON)),
            started_at: when.started_at,
            finished_at: when.finished_at,
            finished: when.finished,
            seconds: when.seconds,
            days: when.days,
            last_success_at: None,
            max_age_seconds: when.max_age,
            failures_in_a_row: 0,
            last_call: None,
            pinged: None,
            followed: 0,
            events: 0,
            events_by_kind: BTreeMap::new(),
            refused: BTreeMap::new(),
            undelivered: BTreeMap::new(),
            import: Import::default(),
            profiles: None,
            peers: Vec::new(),
            runs: Vec::new(),
            hours: Vec::new(),
            last_days: Vec::new(),
            peer_runs: Vec::new(),
            database_bytes: None,
            live: None,
        }
    }

    /// The document of a run that came to its end.
    pub(crate) fn of_run(report: &Report, when: Circumstances) -> Self {
        let vain = report.why_in_vain();
        let reason = report.broken.as_deref().or(vain);
        let imported = &report.imported;
        let mode = if report.verify { "verify" } else { "no-verify" };
        let rejected = imported.rejected.iter();
        let profiles = report.profiles.map(|counts| {
            let listed: Vec<Listed> = report.people.iter().map(listed).collect();
            let (listed, unlisted) = cut(listed, counts.found + counts.missing);
            Profiles {
                found: counts.found,
                missing: counts.missing,
                listed,
                unlisted,
            }
        });
        Self {
            outcome: report.outcome,
            success: vain.is_none(),
            failure: reason.map(|reason| for_terminal(reason, MOST_OF_A_REASON)),
            followed: report.followed,
            events: report.sum(|_| true),
            events_by_kind: report.by_kind.clone(),
            refused: by_code(&report.refused()),
            undelivered: report.undelivered_by_kind(),
            import: Import {
                events: imported.events,
                mode: mode.to_owned(),
                added: imported.written.added,
                dups: imported.written.dups,
                replaced: imported.written.replaced,
                deleted: imported.written.deleted,
                rejected: rejected
                    .map(|(reason, count)| (for_terminal(reason, MOST_OF_A_REASON), *count))
                    .collect(),
                replaced_children: imported.replaced_children,
            },
            profiles,
            peers: report.peers.iter().map(Peer::of).collect(),
            ..Self::of_failure(report.outcome.exit_code(), "", when)
        }
    }

    /// How many peers gave everything.
    pub(crate) fn synced(&self) -> usize {
        self.peers.iter().filter(|peer| peer.complete).count()
    }

    /// How the run ended, as a sign.
    pub(crate) const fn mark(&self) -> &'static str {
        match (self.outcome, self.exit_code) {
            (Outcome::Interrupted, _) => "–",
            _ if !self.success => "✘",
            (_, 0) => "✔",
            _ => "!",
        }
    }

    /// How the run ended, in a few words.
    pub(crate) fn headline(&self) -> String {
        let (synced, all) = (self.synced(), self.peers.len());
        match self.outcome {
            Outcome::Complete if all == 1 => "The one peer is synced".to_owned(),
            Outcome::SomePeersFailed if all == 1 && synced == 0 => {
                "The one peer could not be synced completely".to_owned()
            }
            Outcome::Complete => format!("All {all} peers are synced"),
            Outcome::SomePeersFailed if synced == all => {
                "The peers are synced, but something may be missing".to_owned()
            }
            Outcome::SomePeersFailed if synced == 0 => {
                format!("None of {all} peers could be synced completely")
            }
            Outcome::SomePeersFailed if synced == 1 => format!("1 of {all} peers is synced"),
            Outcome::SomePeersFailed => format!("{synced} of {all} peers are synced"),
            Outcome::NothingDone => "Nothing could be done".to_owned(),
            Outcome::Interrupted => "The run was interrupted".to_owned(),
        }
    }

    /// Writes its line of JSON.
    ///
    /// # Errors
    /// If writing fails.
    pub(crate) fn write(&self, output: &mut impl Write) -> io::Result<()> {
        let json = self.to_json().map_err(io::Error::other)?;
        writeln!(output, "{json}")
    }

    /// One line of JSON, harmless on a terminal.
    ///
    /// # Errors
    /// None that is known of: it is made of texts and numbers.
    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        Ok(escaped_json(&serde_json::to_string(self)?))
    }
}

fn by_code(refused: &BTreeMap<Refusal, u64>) -> BTreeMap<String, u64> {
    refused
        .iter()
        .map(|(refusal, count)| (refusal.code().to_owned(), *count))
        .collect()
}

fn listed(person: &Person) -> Listed {
    let name = person.name.as_deref();
    Listed {
        pubkey: person.pubkey.to_hex(),
        name: name.map(|name| for_terminal(name, MOST_OF_A_NAME)),
        member: person.is_member,
    }
}

/// The first ones, and how many of `all` are not among them.
fn cut(mut listed: Vec<Listed>, all: usize) -> (Vec<Listed>, usize) {
    listed.sort_by_key(|listed| (!listed.member, listed.name.is_some()));
    listed.truncate(MOST_LISTED);
    let unlisted = all.saturating_sub(listed.len());
    (listed, unlisted)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::report::tests::report;

    /// The document of a run with a peer that was not reached.
    pub(crate) fn document() -> Document {
        let when = Circumstances {
            station: "sat".to_owned(),
            started_at: 1_795_341_170,
            finished_at: 1_795_341_173,
            finished: "2026-11-22T10:32:53+01:00".to_owned(),
            seconds: 3.25,
            days: 1,
            max_age: 10_800,
        };
        let mut document = Document::of_run(&report(), when);
        document.peers[1].reached = false;
        document
    }

    #[test]
    fn the_json_says_what_the_report_says() {
        let json: serde_json::Value = serde_json::from_str(&document().to_json().unwrap()).unwrap();
        for (pointer, value) in [
            ("/schema", serde_json::json!(1)),
            ("/exit_code", serde_json::json!(1)),
            ("/outcome", serde_json::json!("some_peers_failed")),
            ("/success", serde_json::json!(true)),
            ("/events_by_kind/22", serde_json::json!(5)),
            ("/refused/forged", serde_json::json!(4)),
            ("/undelivered/4", serde_json::json!(3)),
            ("/undelivered/unknown", serde_json::json!(1)),
            ("/import/added", serde_json::json!(30)),
            ("/peers/1/failure", serde_json::json!("it is dead")),
            ("/peers/1/code", serde_json::json!("silent")),
            ("/peers/0/code", serde_json::json!(null)),
            ("/peers/0/complete", serde_json::json!(true)),
            ("/profiles/listed/0/name", serde_json::json!("Alice")),
            ("/profiles/unlisted", serde_json::json!(125)),
        ] {
            assert_eq!(json.pointer(pointer), Some(&value), "{pointer}");
        }
    }

    #[test]
    fn what_others_wrote_is_cut_and_harmless() {
        let mut report = report();
        report.people[0].name = Some("\u{202e}\u{1b}[2J".to_owned() + &"x".repeat(1_000_000));
        report.peers[1].failure = Some("a\nb\u{7}".repeat(1000));
        let document = Document::of_run(&report, Circumstances::default());
        let json = document.to_json().unwrap();
        assert!(json.len() < 4000, "{}", json.len());
        assert!(!json.contains(['\u{202e}', '\u{1b}', '\n']), "{json}");
        let again: Document = serde_json::from_str(&json).unwrap();
        assert_eq!(again.to_json().unwrap(), json);
    }

    #[test]
    fn members_and_those_without_a_profile_come_first() {
        let person = |byte, name: Option<&str>, member| Listed {
            pubkey: format!("{byte}"),
            name: name.map(ToOwned::to_owned),
            member,
        };
        let all = vec![
            person(1, Some("a"), false),
            person(2, None, false),
            person(3, Some("c"), true),
            person(4, None, true),
        ];
        let (listed, unlisted) = cut(all, 9);
        let order: Vec<&str> = listed.iter().map(|person| &person.pubkey[..]).collect();
        assert_eq!((order, unlisted), (vec!["4", "3", "2", "1"], 5));
        let many = vec![person(1, None, false); MOST_LISTED + 7];
        let (listed, unlisted) = cut(many, MOST_LISTED + 7);
        assert_eq!((listed.len(), unlisted), (MOST_LISTED, 7));
    }
}
