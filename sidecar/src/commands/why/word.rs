//! [`find`]: whom or which station a word names. Members have the folder of their e-mail address,
//! which this station gave them. All other names their owners chose: names in profiles, and hostnames,
//! captains and addresses in the descriptions of stations.

use std::collections::BTreeMap;

use constellation_shared::list_file::{self, ListFile};
use constellation_shared::{Pubkey, kinds};
use serde_json::{Value, json};

use crate::commands::error::SyncError;
use crate::commands::probe::Probe;
use crate::commands::why::answer::Answer;
use crate::context::Context;
use crate::members::profiles::{Profiles, take};
use crate::relay::address::Address;
use crate::support::sanitize::for_terminal;
use crate::support::shell_words::quoted_text;

/// How many profiles are looked through, the newest ones.
const MOST_PROFILES: usize = 50_000;

/// How many candidates are listed.
const MOST_CANDIDATES: usize = 20;

/// How much of a name is compared and shown, in characters.
const LONGEST: usize = 100;

/// Less than this many characters of a name do not find it.
const LEAST: usize = 3;

/// What a word may name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// Somebody's key.
    Key(Pubkey),
    /// A station, by its folder in `tmp/swarm`.
    Station(String),
}

/// A member of this station.
#[derive(Debug)]
pub(crate) struct Member {
    /// The name of the folder, normally an e-mail address.
    pub folder: String,
    /// The member's key.
    pub key: Pubkey,
}

/// How well a word fits a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// It is a part of the name.
    Part,
    /// It is the whole name, which its owner chose.
    Whole,
    /// It is the name that this station gave a member.
    Own,
}

/// Who or what a word may name: how well it fits, and the name in words.
#[derive(Debug, Default)]
pub(crate) struct Meanings {
    word: String,
    found: BTreeMap<Target, (Fit, String)>,
}

/// One of several things that a word may name.
#[derive(Debug)]
pub(crate) struct Candidate {
    target: Target,
    words: String,
}

impl Meanings {
    fn add(&mut self, target: &Target, name: &str, is_own: bool, words: impl Fn(&str) -> String) {
        let name = for_terminal(name, LONGEST);
        let lower = name.to_lowercase();
        let fit = if self.word.is_empty() {
            return;
        } else if lower == self.word {
            if is_own { Fit::Own } else { Fit::Whole }
        } else if lower.contains(&self.word) && self.word.chars().count() >= LEAST {
            Fit::Part
        } else {
            return;
        };
        let entry = self.found.entry(target.clone());
        let known = entry.or_insert_with(|| (fit, words(&name)));
        if fit > known.0 {
            *known = (fit, words(&name));
        }
    }

    /// The one thing that the word names, and how many others have that name as well although
    /// this station did not give it to them. Otherwise the candidates, or none.
    pub(crate) fn only(self) -> Result<(Target, usize), Vec<Candidate>> {
        let best = self.found.values().map(|(fit, _)| *fit).max();
        let is_best = |fit: Fit| Some(fit) == best;
        let whole = |fit: &Fit| *fit >= Fit::Whole;
        let names = self.found.values().filter(|(fit, _)| whole(fit)).count();
        let mut candidates: Vec<Candidate> = self
            .found
            .into_iter()
            .filter(|(_, (fit, _))| is_best(*fit))
            .map(|(target, (_, words))| Candidate { target, words })
            .collect();
        if candidates.len() == 1
            && let Some(only) = candidates.pop()
        {
            return Ok((only.target, names.saturating_sub(1)));
        }
        Err(candidates)
    }
}

/// Finds whom or what a word names.
///
/// # Errors
/// [`SyncError::Scan`].
pub(crate) async fn find(
    context: &Context,
    probe: &Probe,
    word: &str,
) -> Result<Meanings, SyncError> {
    let mut meanings = Meanings {
        word: for_terminal(word, LONGEST).to_lowercase(),
        ..Meanings::default()
    };
    for member in members(context) {
        let target = Target::Key(member.key);
        meanings.add(&target, &member.folder, true, |name| {
            format!("the member {name}")
        });
    }
    stations(probe, word, &mut meanings);
    let mut profiles = Profiles::new();
    let filter = json!({"kinds": [kinds::PROFILE], "limit": MOST_PROFILES}).to_string();
    let mut take = |line: &[u8]| take(&mut profiles, line);
    let strfry = context.strfry();
    strfry.read_lines(&["scan", &filter], &mut take).await?;
    for (key, profile) in &profiles {
        let fields = &profile.fields;
        for name in [&fields.name, &fields.display_name, &fields.nip05] {
            let target = Target::Key(*key);
            meanings.add(&target, name, false, |name| {
                format!("called {}", in_quotes(name))
            });
        }
    }
    Ok(meanings)
}

/// Looks for the word among what stations call themselves, their captains and their addresses.
fn stations(probe: &Probe, word: &str, meanings: &mut Meanings) {
    let address = Address::parse(word).ok().map(Address::without_query);
    for description in &probe.descriptions {
        let folder = &description.folder;
        let Some(name) = probe.names.of_folder(folder) else {
            let target = Target::Station(folder.clone());
            meanings.add(&target, folder, false, |name| format!("the station {name}"));
            continue;
        };
        let station = Target::Station(folder.clone());
        let words = |_: &str| format!("the station {name}");
        meanings.add(&station, folder, false, words);
        meanings.add(&station, &name.to_string(), false, words);
        if let Some(host) = name.host() {
            meanings.add(&station, host, false, words);
            meanings.add(&station, &name.host_told_apart(), false, words);
        }
        if let Some(captain) = name.captain() {
            let target = description.captain.map_or(station, Target::Key);
            meanings.add(&target, captain, false, |_| {
                format!("the captain of the station {name}")
            });
        }
    }
    let Some(address) = address else { return };
    for description in &probe.descriptions {
        let relay = description
            .relay
            .as_deref()
            .and_then(|relay| Address::parse(relay).ok());
        if relay.map(Address::without_query).as_ref() == Some(&address) {
            let target = Target::Station(description.folder.clone());
            let word = meanings.word.clone();
            meanings.add(&target, &word, false, |_| {
                format!("the station with the relay {address}")
            });
        }
    }
}

/// The members of this station whose key is known.
pub(crate) fn members(context: &Context) -> Vec<Member> {
    let lists = list_file::member_keys(&context.station).unwrap_or_default();
    lists.iter().filter_map(member).collect()
}

fn member(list: &ListFile) -> Option<Member> {
    let mut first = None;
    let open = list.open().ok()??;
    open.read(|_, key| {
        first.get_or_insert(key);
    })
    .ok()?;
    let folder = list.path().parent()?.file_name()?;
    Some(Member {
        folder: folder.to_string_lossy().into_owned(),
        key: first?,
    })
}

/// A name that somebody chose, shortened and in quotes.
pub(crate) fn in_quotes(name: &str) -> String {
    format!("\"{}\"", for_terminal(name, LONGEST).replace('"', "'"))
}

/// The answer if nobody or several are called so.
pub(crate) fn ask_again(word: &str, candidates: &[Candidate]) -> Answer {
    let shown = in_quotes(word);
    let mut lines = Vec::new();
    let mut listed: Vec<Value> = Vec::new();
    if candidates.is_empty() {
        lines.push(format!(
            "{shown} is no event, key or kind, and nobody here is called so: no member, station or captain, and nobody with a profile"
        ));
        lines.push("What to do: ask with the id of an event (note1…), with a key (npub1…), or with a word that `constellation-sync status` or `constellation-sync profiles` shows".to_owned());
    } else {
        lines.push(format!("{shown} may mean {} things:", candidates.len()));
    }
    for candidate in candidates.iter().take(MOST_CANDIDATES) {
        let asking = match &candidate.target {
            Target::Key(key) => key.to_bech32(),
            Target::Station(folder) => quoted_text(&for_terminal(folder, LONGEST)),
        };
        lines.push(format!("  {}:", candidate.words));
        lines.push(format!("    constellation-sync why {asking}"));
        listed.push(match &candidate.target {
            Target::Key(key) => json!({"key": key.to_hex(), "words": candidate.words}),
            Target::Station(folder) => json!({
                "folder": for_terminal(folder, LONGEST), "words": candidate.words,
            }),
        });
    }
    if let Some(more @ 1..) = candidates.len().checked_sub(MOST_CANDIDATES) {
        lines.push(format!("  and {more} more: write more of the name"));
    }
    Answer {
        exit_code: 2,
        is_known: false,
        lines,
        json: json!({"word": for_terminal(word, LONGEST), "candidates": listed}),
    }
}
