//! `constellation-policy`, a write-policy plugin for strfry relays.
//!
//! Read it in this order: [`message`] (strfry's requests and our answers), [`lists`] (who is
//! blocked, and who is pardoned), [`keeper`] (keeps the lists up to date), [`blacklist`]
//! (removes a key's lines), [`filters`] (the station's own executables), [`answers`] (the loop
//! that answers), [`explain`], [`settings`], [`in_force`] (what of them the answers need), [`log_level`],
//! [`options`].
//!
//! stdout belongs to the protocol: one answer for each request, and nothing else.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::unchecked_time_subtraction
    )
)]

pub mod answers;
pub mod blacklist;
pub mod explain;
pub mod filters;
pub mod in_force;
pub mod keeper;
pub mod lists;
pub mod log_level;
#[cfg(test)]
mod logged;
pub mod message;
pub mod options;
mod running;
mod scan;
pub mod settings;
mod stderr;

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufReader, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use constellation_shared::verdict::Verdict;
use constellation_shared::{Pubkey, Station};
use tracing::level_filters::LevelFilter;
use tracing::warn;

use crate::answers::{READ_SIZE, Rules, answer_all};
use crate::explain::{Question, Rule};
use crate::in_force::InForce;
use crate::keeper::Keeper;
use crate::lists::Sources;
use crate::log_level::LogLevel;
use crate::options::{Command, Options};
use crate::running::{Installed, Running};
use crate::settings::{FilterFolder, Given, WatchedSettings};

/// Runs the program and returns its exit code: 0 at the end of the input, 2 if it cannot start
/// or cannot read on. `explain` returns 0 if all keys may write, and 1 if one may not.
pub fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            let mut message = format!("constellation-policy: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                message.push_str(&format!(": {error}"));
                cause = error.source();
            }
            // If stderr is closed, there is nobody left to tell.
            let _ = writeln!(io::stderr(), "{message}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn Error>> {
    let options = Options::parse();
    let log = LogLevel::start(options.log.unwrap_or(LevelFilter::INFO));
    let policy = options.policy();
    let located = options.lists.locate()?;
    let given = Given {
        lists: located.settings,
        policy,
    };
    if let Some(Command::Explain { pubkeys, kind }) = options.command {
        let (sources, rule) = rule(located.station, given);
        return explain_keys(&sources, &pubkeys, kind, &rule);
    }
    let settings = WatchedSettings::start(located.station, given);
    let (sources, conduct) = (settings.sources(), settings.conduct());
    log.set(conduct.log);
    check_folder(sources.station.root());
    let in_force = InForce::start(conduct, &sources.station.filter_log())?;
    let in_force = Arc::new(in_force);
    let keeper = Keeper::start_watching(settings, Arc::clone(&in_force), log)?;
    // Files without a buffer: a write reaches strfry at once, and a read takes all there is.
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let answered = answer_all(
        BufReader::with_capacity(READ_SIZE, input),
        &mut output,
        &Rules {
            standing: |author: &Pubkey| keeper.standing(author),
            in_force: &in_force,
        },
    );
    keeper.close();
    unless_closed(answered)?;
    Ok(ExitCode::SUCCESS)
}

/// The rule that `explain` explains, and the files that decide: what this command line says, else the
/// policy that strfry has started, else the settings file, else what an install wrote down.
fn rule(station: Station, given: Given) -> (Sources, Rule) {
    let is_told = given.lists.strangers.is_some() || given.policy.filters.is_some();
    let running = (!is_told).then(|| Running::find(station.root())).flatten();
    let station = match running.as_ref().and_then(|running| running.config.clone()) {
        Some(config) if !station.has_given_settings_file() => {
            station.with_settings_file(Some(config))
        }
        _ => station,
    };
    let settings = WatchedSettings::start(station, given);
    let sources = settings.sources();
    let is_of_file = settings.has_rule_of_file();
    let mut rule = Rule {
        strangers: sources.strangers,
        filters: settings.conduct().filters.clone(),
        source: String::new(),
    };
    let by_file = if is_of_file {
        ", and constellation.toml"
    } else {
        ""
    };
    let (strangers, filters, source) = if let Some(running) = running {
        let pid = running.pid;
        let source = format!("the rule of the policy that runs as process {pid}{by_file}");
        (running.strangers, running.filters, source)
    } else if is_told {
        (None, None, format!("as this command was told{by_file}"))
    } else if is_of_file {
        (None, None, "as constellation.toml says".to_owned())
    } else if let Some(installed) = Installed::read(&sources.station) {
        let source = "as the install wrote down; no running policy was seen";
        (installed.strangers, installed.filters, source.to_owned())
    } else {
        let source = "as nothing says otherwise, and no running policy was seen";
        (None, None, source.to_owned())
    };
    if let Some(strangers) = strangers.and_then(|rule| rule.parse().ok()) {
        rule.strangers = strangers;
    }
    if let Some(folder) = filters {
        rule.filters = FilterFolder::At(folder);
    }
    (sources, Rule { source, ..rule })
}

/// Runs the command `explain`.
fn explain_keys(
    sources: &Sources,
    pubkeys: &[String],
    kind: Option<u64>,
    rule: &Rule,
) -> Result<ExitCode, Box<dyn Error>> {
    let keys = pubkeys
        .iter()
        .map(|text| {
            text.parse()
                .map_err(|error| format!("'{text}' is not a pubkey: {error}"))
        })
        .collect::<Result<Vec<Pubkey>, String>>()?;
    let question = Question {
        keys: &keys,
        kind,
        rule,
    };
    let verdict = explain::explain(sources, &question, &mut io::stdout().lock());
    match unless_closed(verdict)? {
        Some(Verdict::Block) => Ok(ExitCode::FAILURE),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Warns if the station's folder cannot be used. The lists in it would only look missing.
fn check_folder(station: &Path) {
    let root = station.display();
    match fs::metadata(station) {
        Ok(metadata) if metadata.is_dir() => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => warn!(
            "{root} does not exist: until it does, no key is blocked; check --zen or CONSTELLATION_ZEN"
        ),
        found => {
            let cause = found.map_or_else(|error| error.to_string(), |_| "not a folder".to_owned());
            warn!(
                "{root} cannot be entered ({cause}): no list in it can be read; check --zen or \
                 CONSTELLATION_ZEN, and who may enter the folder"
            );
        }
    }
}

/// Turns the error about a closed pipe into `None`: strfry closes its end of the pipe when it
/// stops or replaces the plugin.
fn unless_closed<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(None),
        result => result.map(Some),
    }
}
