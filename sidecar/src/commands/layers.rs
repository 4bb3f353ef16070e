//! [`Call`]: the command line as it was given, and what the settings file adds to it.
//!
//! A value in the file goes through the parser of its option, as if it stood on the command line. So
//! the file cannot say anything that the command line could not, and both mean the same.

#[cfg(test)]
mod tests;

use std::env;
use std::error::Error;
use std::ffi::{OsStr, OsString};

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches};
use constellation_shared::settings::keys::Table;
use constellation_shared::settings::{Complaint, Entry, Settings};

use crate::commands::cli::Cli;

/// The name of the program on a command line that we make.
const PROGRAM: &str = "constellation-sync";

/// The commands that have settings of their own.
pub(crate) const WITH_SETTINGS: [&str; 2] = ["trigger", "status"];

/// The settings that the station's scripts may suggest. They suggest them by variables of their own,
/// because the settings file must win over a suggestion.
const SUGGESTED: [Suggestion; 2] = [
    Suggestion {
        name: "sweep",
        variable: "CONSTELLATION_USUAL_SWEEP",
    },
    Suggestion {
        name: "sync-report",
        variable: "CONSTELLATION_USUAL_SYNC_REPORT",
    },
];

/// A setting, and the variable that suggests its value.
struct Suggestion {
    name: &'static str,
    variable: &'static str,
}

/// The command line as it was given.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// What stands behind the program's name.
    words: Vec<OsString>,
    matches: ArgMatches,
    /// What it says, together with the environment.
    pub(crate) cli: Cli,
}

/// What a command line and the settings file say together.
#[derive(Debug, Clone)]
pub(crate) struct Layered {
    /// What is to be done.
    pub(crate) cli: Cli,
    /// What is faulty in the file, and passed over.
    pub(crate) complaints: Vec<Complaint>,
}

impl Call {
    /// Reads the command line and the environment. Ends the program if they are wrong, or if help is
    /// asked for.
    pub(crate) fn from_command_line() -> Self {
        Self::parse(env::args_os()).unwrap_or_else(|error| error.exit())
    }

    /// Parses a command line, whose first word is the program.
    ///
    /// # Errors
    /// A message for the terminal, if the command line makes no sense or asks for help.
    pub(crate) fn parse<T: Into<OsString> + Clone>(
        words: impl IntoIterator<Item = T>,
    ) -> Result<Self, clap::Error> {
        let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
        let matches = Cli::matches(&words)?;
        let cli = Cli::from_matches(&matches)?;
        let words = words.into_iter().skip(1).collect();
        Ok(Self {
            words,
            matches,
            cli,
        })
    }

    /// Adds what the settings file says and neither the command line nor the environment. A faulty
    /// value is passed over.
    pub(crate) fn with_file(&self, file: &Settings) -> Layered {
        let mut complaints = Vec::new();
        let mut added = Added::default();
        for entry in &file.entries {
            let Some(owner) = owner(entry) else { continue };
            if let Err(why) = try_alone(&owner, entry) {
                let what = format!("{} is passed over: {why}", entry.name);
                complaints.push(Complaint {
                    line: entry.line,
                    what,
                });
            } else if self.is_open(&owner.option) {
                added.add(&owner, entry.name, &entry.words, self);
            }
        }
        for Suggestion { name, variable } in SUGGESTED {
            let Some(value) = env::var_os(variable) else {
                continue;
            };
            if let Some(owner) = owner_of(name)
                && file.entry(name).is_none()
                && self.is_open(&owner.option)
            {
                added.add(&owner, name, &[value], self);
            }
        }
        let words = [added.general, self.words.clone(), added.own].concat();
        let words: Vec<OsString> = [OsString::from(PROGRAM)].into_iter().chain(words).collect();
        let matches = Cli::exact_definition().try_get_matches_from(words);
        let together = matches.and_then(|matches| Cli::from_matches(&matches));
        let cli = together.unwrap_or_else(|error| {
            let what = format!("no setting of the backfill counts: {}", cause(&error));
            complaints.push(Complaint { line: 1, what });
            self.cli.clone()
        });
        Layered { cli, complaints }
    }

    /// Whether neither the command line nor the environment sets this option.
    fn is_open(&self, option: &Arg) -> bool {
        !matches!(
            self.source(option),
            Some(ValueSource::CommandLine | ValueSource::EnvVariable)
        )
    }

    /// The command that is called.
    pub(crate) fn command(&self) -> Option<&str> {
        self.matches.subcommand_name()
    }

    /// Where the value of an option comes from.
    pub(crate) fn source(&self, option: &Arg) -> Option<ValueSource> {
        let id = option.get_id().as_str();
        let of = |matches: &ArgMatches| {
            let exists = matches.try_contains_id(id).is_ok();
            exists.then(|| matches.value_source(id)).flatten()
        };
        let command = self.matches.subcommand().map(|(_, matches)| matches);
        of(&self.matches).max(command.and_then(of))
    }

    /// The words that give an option its value.
    pub(crate) fn raw(&self, option: &Arg) -> Vec<OsString> {
        let id = option.get_id().as_str();
        let source = self.source(option);
        let command = self.matches.subcommand().map(|(_, matches)| matches);
        let all = command.into_iter().chain([&self.matches]);
        for matches in all {
            let exists = matches.try_contains_id(id).is_ok();
            if exists && matches.value_source(id) == source {
                let words = matches.get_raw(id).into_iter().flatten();
                return words.map(OsStr::to_owned).collect();
            }
        }
        Vec::new()
    }
}

/// The words that the file adds to a command line.
#[derive(Default)]
struct Added {
    /// Options that stand before the command.
    general: Vec<OsString>,
    /// Options of the command, which stand at the end.
    own: Vec<OsString>,
}

impl Added {
    fn add(&mut self, owner: &Owner, name: &str, values: &[OsString], call: &Call) {
        let words = words(name, values);
        match owner.command {
            None => self.general.extend(words),
            Some(command) if call.command() == Some(command) => {
                self.own.extend(words);
            }
            Some(_) => {}
        }
    }
}

/// Whose option a setting is.
pub(crate) struct Owner {
    /// The command whose own option it is; `None` if it is one of the backfill.
    pub(crate) command: Option<&'static str>,
    /// The option.
    pub(crate) option: Arg,
}

/// Whose option the setting of an entry is; `None` if it is read in another way.
fn owner(entry: &Entry) -> Option<Owner> {
    let is_strict = Table::named(entry.table).is_some_and(|table| table.is_strict);
    let is_of_kinds = matches!(entry.name, "kinds" | "any-author-kinds");
    (!is_strict && !is_of_kinds)
        .then(|| owner_of(entry.name))
        .flatten()
}

/// Whose option has this long name.
pub(crate) fn owner_of(name: &str) -> Option<Owner> {
    let definition = Cli::exact_definition();
    let named = |command: &clap::Command| {
        let mut options = command.get_arguments();
        options
            .find(|option| option.get_long() == Some(name))
            .cloned()
    };
    if let Some(option) = named(&definition) {
        return Some(Owner {
            command: None,
            option,
        });
    }
    WITH_SETTINGS.into_iter().find_map(|command| {
        let option = named(definition.find_subcommand(command)?)?;
        Some(Owner {
            command: Some(command),
            option,
        })
    })
}

/// The words on a command line that give an option these values.
fn words(name: &str, values: &[OsString]) -> Vec<OsString> {
    let one = |value: &OsString| {
        let mut word = OsString::from(format!("--{name}="));
        word.push(value);
        word
    };
    values.iter().map(one).collect()
}

/// Parses a value of the file alone.
fn try_alone(owner: &Owner, entry: &Entry) -> Result<(), String> {
    let mut line = vec![OsString::from(PROGRAM)];
    line.extend(owner.command.map(OsString::from));
    line.extend(words(entry.name, &entry.words));
    match Cli::matches(&line).and_then(|matches| Cli::from_matches(&matches)) {
        Ok(_) => Ok(()),
        Err(error) => Err(cause(&error)),
    }
}

/// Why a command line makes no sense, in one line.
fn cause(error: &clap::Error) -> String {
    if let Some(cause) = error.source() {
        return cause.to_string();
    }
    let text = error.to_string();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let most = if error.kind() == ErrorKind::InvalidValue {
        2
    } else {
        1
    };
    let words: Vec<&str> = lines.take(most).collect();
    words.join(" ").replacen("error: ", "", 1)
}
