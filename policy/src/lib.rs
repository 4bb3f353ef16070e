//! `constellation-policy`, a write-policy plugin for strfry relays.
//!
//! Read it in this order: [`message`] (strfry's requests and our answers), [`lists`] (who is
//! blocked, and who is pardoned), [`keeper`] (keeps the lists up to date), [`blacklist`]
//! (removes a key's lines), [`filters`] (the station's own executables), [`answers`] (the loop
//! that answers), [`explain`], [`settings`], [`options`].
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
pub mod keeper;
pub mod lists;
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
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use constellation_shared::Pubkey;
use constellation_shared::verdict::{Strangers, Verdict};
use tracing::warn;

use crate::answers::{READ_SIZE, Rules, answer_all};
use crate::explain::{Question, Rule};
use crate::filters::{Filters, Limits};
use crate::keeper::Keeper;
use crate::lists::Sources;
use crate::options::{Command, Options};
use crate::running::{Installed, Running};
use crate::settings::WatchedSettings;
use crate::stderr::Stderr;

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
    tracing_subscriber::fmt()
        .with_writer(|| Stderr)
        .with_ansi(false)
        .without_time()
        .with_max_level(options.log)
        // Otherwise it reports a closed stderr on stderr, which panics: strfry gives us a
        // stderr of our own and ignores SIGPIPE.
        .log_internal_errors(false)
        .init();
    let located = options.lists.locate()?;
    let told = located.settings.strangers.is_some();
    let settings = WatchedSettings::start(located.station, located.settings);
    let sources = settings.sources();
    if let Some(Command::Explain { pubkeys, kind }) = options.command {
        let rule = rule(&sources, options.filters, told);
        return explain_keys(&sources, &pubkeys, kind, &rule);
    }
    check_folder(sources.station.root());
    let limits = Limits {
        timeout: options.filter_timeout,
        grace: options.filter_grace,
    };
    let log = sources.station.filter_log();
    let filters = match &options.filters {
        Some(folder) => Some(Arc::new(Filters::start(folder, limits, &log)?)),
        None => None,
    };
    let keeper = Keeper::start_watching(settings, !options.no_remove, filters.clone())?;
    // Files without a buffer: a write reaches strfry at once, and a read takes all there is.
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let answered = answer_all(
        BufReader::with_capacity(READ_SIZE, input),
        &mut output,
        &Rules {
            standing: |author: &Pubkey| keeper.standing(author),
            shadow: options.shadow,
            filters: filters.as_deref(),
        },
    );
    keeper.close();
    unless_closed(answered)?;
    Ok(ExitCode::SUCCESS)
}

/// The rule that `explain` explains: the one of this command line, else of the policy that strfry
/// has started, else the one that an install wrote down. `told` says whether the command line or the environment names a rule for strangers.
fn rule(sources: &Sources, filters: Option<PathBuf>, told: bool) -> Rule {
    let station = &sources.station;
    let running = (!told && filters.is_none())
        .then(|| Running::find(station.root()))
        .flatten();
    if let Some(running) = running {
        let strangers = running.strangers.and_then(|rule| rule.parse().ok());
        return Rule {
            strangers: strangers.unwrap_or(sources.strangers),
            filters: running.filters,
            source: format!(
                "the rule of the policy that runs as process {}",
                running.pid
            ),
        };
    }
    if !told
        && filters.is_none()
        && let Some(installed) = Installed::read(station)
    {
        let strangers = installed.strangers.and_then(|rule| rule.parse().ok());
        return Rule {
            strangers: strangers.unwrap_or(sources.strangers),
            filters: installed.filters,
            source: "as the install wrote down; no running policy was seen".to_owned(),
        };
    }
    let source = if told {
        "as this command was told"
    } else if sources.strangers != Strangers::default() {
        "as constellation.toml says"
    } else {
        "as nothing says otherwise, and no running policy was seen"
    };
    Rule {
        strangers: sources.strangers,
        filters,
        source: source.to_owned(),
    }
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
