//! Each setting with its value, and where that comes from.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ValueSource;
use constellation_shared::settings::keys::{Form, Key, TABLES, Table};
use serde::Serialize;

use crate::commands::layers::{Call, Owner, WITH_SETTINGS, owner_of};
use crate::context::Context;
use crate::support::sanitize::for_terminal;

/// How much of a value is shown, in characters.
const LONGEST: usize = 200;

/// How wide the column of the values is at most, in characters.
const WIDEST: usize = 44;

/// All settings, and what is wrong with the file.
#[derive(Debug, Serialize)]
pub(super) struct Listing {
    file: PathBuf,
    is_there: bool,
    settings: Vec<Row>,
    /// What is wrong or in doubt, in words.
    complaints: Vec<String>,
    #[serde(skip)]
    is_faulty: bool,
}

/// A setting.
#[derive(Debug, Serialize)]
struct Row {
    table: &'static str,
    name: &'static str,
    value: Option<String>,
    #[serde(flatten)]
    source: Source,
    /// The line of the file that does not count, because something stronger wins over it.
    overruled_line: Option<usize>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "source")]
enum Source {
    CommandLine,
    Environment {
        variable: String,
    },
    /// The plugin line of strfry.conf.
    PluginLine,
    File {
        line: usize,
    },
    /// The file is not understood, and this is the strictest that it may say.
    FileInDoubt,
    Default,
}

/// A value, and where it comes from.
struct Found {
    value: Option<String>,
    source: Source,
}

impl Listing {
    pub(super) fn of(context: &Context, call: &Call) -> Self {
        let file = context.station.settings_file();
        let others: Vec<Call> = WITH_SETTINGS
            .into_iter()
            .filter_map(|command| Call::parse(["constellation-sync", command]).ok())
            .collect();
        let mut settings = Vec::new();
        for table in &TABLES {
            for key in table.keys.iter().filter(|key| key.name != "no-swarm") {
                let found = if table.is_strict {
                    of_policy(context, call, key)
                } else {
                    of_sync(context, call, &others, key)
                };
                settings.push(row(context, table, key, found));
            }
        }
        let doubts = context.doubts.iter().chain(&context.complaints);
        Self {
            is_there: file.exists(),
            file,
            settings,
            complaints: doubts.cloned().collect(),
            is_faulty: !context.complaints.is_empty() || context.file.fault.is_some(),
        }
    }

    /// Whether something in the file is wrong.
    pub(super) const fn is_faulty(&self) -> bool {
        self.is_faulty
    }

    pub(super) fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        let json = serde_json::to_string(self).map_err(io::Error::other)?;
        writeln!(out, "{json}")
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let path = self.file.display();
        if self.is_there {
            writeln!(out, "Settings file: {path}")?;
        } else {
            writeln!(
                out,
                "Settings file: {path}, which is not there; `constellation-sync config --edit` creates it"
            )?;
        }
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        let shown = |row: &Row| {
            let value = row.value.as_deref().unwrap_or("not set");
            for_terminal(value, LONGEST)
        };
        let names = self.settings.iter().map(|row| row.name.len()).max();
        let values = self.settings.iter().map(|row| shown(row).chars().count());
        let values = values.filter(|width| *width <= WIDEST).max();
        let (names, values) = (names.unwrap_or_default(), values.unwrap_or_default());
        let mut table = "";
        for row in &self.settings {
            if row.table != table {
                table = row.table;
                writeln!(out, "\n[{table}]")?;
            }
            let mut source = row.source.words(&name);
            if let Some(line) = row.overruled_line {
                source.push_str(&format!("; line {line} of {name} does not count"));
            }
            let value = shown(row);
            writeln!(out, "  {:names$}  {value:values$}  {source}", row.name)?;
        }
        if !self.complaints.is_empty() {
            writeln!(out)?;
        }
        for complaint in &self.complaints {
            writeln!(out, "! {complaint}")?;
        }
        Ok(())
    }
}

impl Source {
    /// In words; `file` is the name of the settings file.
    fn words(&self, file: &str) -> String {
        match self {
            Self::CommandLine => "command line".to_owned(),
            Self::Environment { variable } => format!("environment, {variable}"),
            Self::PluginLine => "strfry.conf, plugin line".to_owned(),
            Self::File { line } => format!("{file}, line {line}"),
            Self::FileInDoubt => format!("{file} is not understood, and may say so"),
            Self::Default => "default".to_owned(),
        }
    }
}

fn row(context: &Context, table: &Table, key: &Key, Found { value, source }: Found) -> Row {
    let is_stronger = matches!(
        source,
        Source::CommandLine | Source::Environment { .. } | Source::PluginLine
    );
    let entry = context.file.entry(key.name).filter(|_| is_stronger);
    Row {
        overruled_line: entry.map(|entry| entry.line),
        table: table.name,
        name: key.name,
        value,
        source,
    }
}

/// A setting of the lists or the policy.
fn of_policy(context: &Context, call: &Call, key: &Key) -> Found {
    let station = &context.station;
    let settings = context
        .plugin
        .policy
        .clone()
        .or(context.file.policy.clone());
    let seconds = |time: Option<Duration>, usual: f64| {
        Some(time.map_or(usual, |time| time.as_secs_f64()).to_string())
    };
    let flag = |flag: Option<bool>| Some(flag.unwrap_or_default().to_string());
    let value = match key.name {
        "blacklist" => Some(station.blacklist().display().to_string()),
        "amis" => {
            let lists = station.friend_lists();
            let lists = lists.iter().map(|list| list.display().to_string());
            Some(lists.collect::<Vec<_>>().join(", "))
        }
        "swarm" => Some(station.trusts_swarm().to_string()),
        "strangers" => Some(station.strangers().to_string()),
        "filters" => settings.filters.map(|folder| folder.display().to_string()),
        "filter-timeout" => seconds(settings.filter_timeout, 5.0),
        "filter-grace" => seconds(settings.filter_grace, 0.0),
        "no-remove" => flag(settings.no_remove),
        "shadow" => flag(settings.shadow),
        _ => Some(settings.log.unwrap_or_else(|| "info".to_owned())),
    };
    let source = source_of_policy(context, call, key);
    Found { value, source }
}

fn source_of_policy(context: &Context, call: &Call, key: &Key) -> Source {
    let option = if key.name == "swarm" {
        "no-swarm"
    } else {
        key.name
    };
    let (lists, policy) = (&context.plugin.lists, &context.plugin.policy);
    let by_plugin = match key.name {
        "blacklist" => lists.blacklist.is_some(),
        "amis" => lists.amis.is_some(),
        "swarm" => lists.swarm.is_some(),
        "strangers" => lists.strangers.is_some(),
        "filters" => policy.filters.is_some(),
        "filter-timeout" => policy.filter_timeout.is_some(),
        "filter-grace" => policy.filter_grace.is_some(),
        "no-remove" => policy.no_remove.is_some(),
        "shadow" => policy.shadow.is_some(),
        _ => policy.log.is_some(),
    };
    let file = &context.file;
    let entry = file.entry(key.name).or_else(|| file.entry(option));
    let of_us = owner_of(option).and_then(|owner| given(call, &owner));
    match (of_us, entry) {
        (Some(source), _) => source,
        _ if by_plugin => Source::PluginLine,
        (None, Some(entry)) => Source::File { line: entry.line },
        (None, None) if file.fault.is_some() && matches!(key.name, "swarm" | "strangers") => {
            Source::FileInDoubt
        }
        (None, None) => Source::Default,
    }
}

/// A setting of the backfill.
fn of_sync(context: &Context, call: &Call, others: &[Call], key: &Key) -> Found {
    let Some(owner) = owner_of(key.name) else {
        let (value, source) = (None, Source::Default);
        return Found { value, source };
    };
    // The options of a command are known where that command is called.
    let of_command = |command: &str| others.iter().find(|call| call.command() == Some(command));
    let call = owner.command.and_then(of_command).unwrap_or(call);
    if let Some(source) = given(call, &owner) {
        let value = Some(joined(&call.raw(&owner.option), key));
        return Found { value, source };
    }
    let file = &context.file;
    let counts = |line: usize| {
        let wrong = format!(" line {line}: ");
        !context
            .complaints
            .iter()
            .any(|complaint| complaint.contains(&wrong))
    };
    if let Some(entry) = file.entry(key.name).filter(|entry| counts(entry.line)) {
        let value = Some(joined(&entry.words, key));
        let source = Source::File { line: entry.line };
        return Found { value, source };
    }
    let defaults = owner.option.get_default_values().iter();
    let defaults: Vec<_> = defaults.map(clap::builder::OsStr::to_os_string).collect();
    let value = if key.name == "kinds" {
        Some("seed".to_owned())
    } else {
        (!defaults.is_empty()).then(|| joined(&defaults, key))
    };
    let source = Source::Default;
    Found { value, source }
}

/// Whether the command line or the environment sets an option.
fn given(call: &Call, owner: &Owner) -> Option<Source> {
    match call.source(&owner.option)? {
        ValueSource::CommandLine => Some(Source::CommandLine),
        ValueSource::EnvVariable => {
            let variable = owner.option.get_env().unwrap_or_default();
            let variable = variable.to_string_lossy().into_owned();
            Some(Source::Environment { variable })
        }
        _ => None,
    }
}

fn joined(words: &[OsString], key: &Key) -> String {
    let words = words.iter().map(|word| word.to_string_lossy().into_owned());
    let text = words.collect::<Vec<_>>().join(", ");
    // A variable may say yes and no in other words.
    match (key.form, text.to_ascii_lowercase().as_str()) {
        (Form::Flag, "1" | "y" | "yes" | "t" | "on") => "true".to_owned(),
        (Form::Flag, "0" | "n" | "no" | "f" | "off") => "false".to_owned(),
        _ => text,
    }
}
