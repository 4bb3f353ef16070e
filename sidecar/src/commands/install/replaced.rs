//! [`Replaced`]: the plugin whose place the policy takes, so that the relay goes on accepting the same.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use constellation_shared::settings::Settings;
use constellation_shared::verdict::Strangers;
use constellation_shared::{Station, regular_file};

use crate::commands::install::former::{Doubt, FormerRule, former_rule};
use crate::commands::install::found::{Found, Script};
use crate::commands::install::record::{Before, Record};
use crate::commands::install::rule::RelayRule;
use crate::commands::install::{InstallError, PLUGIN};
use crate::strfry::conf::{Conf, edit};
use crate::strfry::plugin_line;
use crate::strfry::process::POLICY;
use crate::support::shell_words::quoted;

/// The longest script that is read, in bytes.
const LONGEST: u64 = 256 * 1024;

/// How long strfry waits for an answer if its conf does not say it, in seconds.
const USUAL_PATIENCE: u64 = 10;

/// The longest time limit that the policy takes, in seconds.
const LONGEST_TIMEOUT: u64 = 3600;

/// Where strfry's conf says how long it waits for an answer, in seconds.
const PATIENCE: [&str; 3] = ["relay", "writePolicy", "timeoutSeconds"];

/// How long a filter may take, in seconds: a little less than strfry waits for the answer.
pub(crate) fn filter_seconds(found: &Found) -> u64 {
    let folder = found.conf.path.parent().unwrap_or(Path::new("/"));
    let text = found.conf.content.as_deref().unwrap_or_default();
    let patience = Conf::parse(text, folder)
        .ok()
        .and_then(|conf| conf.number(&PATIENCE).ok().flatten());
    let patience = patience.filter(|seconds| *seconds > 0);
    let seconds = patience.unwrap_or(USUAL_PATIENCE).saturating_sub(1);
    seconds.clamp(1, LONGEST_TIMEOUT)
}

/// The plugin whose place the policy takes.
#[derive(Debug)]
pub(crate) struct Replaced {
    /// What it is, in words.
    pub name: String,
    /// The folder in which its filters lie, if there are any.
    filters: PathBuf,
    /// What it accepts, if it is recognised.
    former: Former,
}

/// What the plugin accepts that the policy takes the place of.
#[derive(Debug)]
enum Former {
    /// There is no plugin: everybody may write everything.
    Nothing,
    /// It was recognised.
    Recognised(FormerRule),
    /// Its rule is known from an earlier install, or from its options.
    Known(RelayRule),
    /// It was not recognised.
    Unknown(Doubt),
}

impl Replaced {
    /// Looks at the plugin of a station whose place an install would take. `None` if it takes none.
    pub(crate) fn look(found: &Found, record: &Record, by_conf: bool) -> Option<Self> {
        let folder = found.conf.path.parent().unwrap_or(Path::new("/"));
        let text = found.conf.content.as_deref().unwrap_or_default();
        let conf = Conf::parse(text, folder).ok()?;
        let line = conf.text(&edit::PLUGIN).ok()?.unwrap_or_default();
        if line.contains(PLUGIN) && found.scripts.contains_key(PLUGIN) {
            return Some(Self::station_plugin(found, record));
        }
        if !by_conf {
            return None;
        }
        Some(Self::of_line(line, folder, found, record))
    }

    /// What the station's own plugin accepts, or accepted before an install.
    pub(crate) fn station_plugin(found: &Found, record: &Record) -> Self {
        let path = found.workspace.join(PLUGIN);
        let filters = path.with_file_name("filter");
        let Some(script) = found.scripts.get(PLUGIN) else {
            let doubt = Doubt::new("it is not there");
            return Self::new(&path, filters, Former::Unknown(doubt));
        };
        let is_ours = is_ours(found, script);
        if let (true, Some(rule)) = (is_ours, record.rule()) {
            return Self::new(&path, filters, Former::Known(rule.clone()));
        }
        let text = before(found, record, script);
        Self::new(&path, filters, Former::of_script(text.as_deref()))
    }

    fn of_line(line: &str, folder: &Path, found: &Found, record: &Record) -> Self {
        if line.is_empty() {
            let former = Former::Nothing;
            let name = "no plugin".to_owned();
            return Self {
                name,
                filters: PathBuf::new(),
                former,
            };
        }
        // A path with blanks is in quotes.
        let program = match line.strip_prefix('\'') {
            Some(quoted) => quoted.split('\'').next(),
            None => line.split(' ').next(),
        };
        let path = folder.join(program.unwrap_or_default());
        let filters = path.with_file_name("filter");
        if path.file_name() != Some(POLICY.as_ref()) {
            let text = read(&path);
            return Self::new(&path, filters, Former::of_script(text.as_deref()));
        }
        if let Some(rule) = record.rule() {
            return Self::new(&path, filters, Former::Known(rule.clone()));
        }
        if let Some(line) = record.conf().map(|edit| edit.old.as_str())
            && line.contains(PLUGIN)
        {
            // An earlier install, which did not write down the rule.
            return Self::station_plugin(found, record);
        }
        let told = plugin_line::read(line, folder).ok().flatten();
        let told = told.unwrap_or_default();
        // What the line leaves open, the settings file says.
        let text = found.settings.content.as_deref().unwrap_or_default();
        let file = Settings::parse(&String::from_utf8_lossy(text), folder);
        let strangers = told.lists.strangers.or(file.strictest_lists().strangers);
        let rule = RelayRule {
            strangers: strangers.unwrap_or_default(),
            filters: told.policy.filters.or(file.policy.filters),
        };
        Self::new(&path, filters, Former::Known(rule))
    }

    fn new(path: &Path, filters: PathBuf, former: Former) -> Self {
        let name = path.display().to_string();
        Self {
            name,
            filters,
            former,
        }
    }

    /// What the relay accepts now, in words.
    pub(crate) fn accepts(&self) -> String {
        match &self.former {
            Former::Nothing => "everything from everybody".to_owned(),
            Former::Recognised(rule) => rule.to_string(),
            Former::Known(rule) => rule.to_string(),
            Former::Unknown(doubt) => format!("unknown: {}", doubt.what),
        }
    }

    /// The rule that it has, if that is known.
    pub(crate) fn rule(&self) -> Option<RelayRule> {
        match &self.former {
            Former::Nothing => Some(RelayRule {
                strangers: Strangers::Accept,
                filters: None,
            }),
            Former::Recognised(rule) => Some(RelayRule {
                strangers: rule.strangers,
                filters: rule.runs_filters.then(|| self.filters.clone()),
            }),
            Former::Known(rule) => Some(rule.clone()),
            Former::Unknown(_) => None,
        }
    }

    /// The rule for the policy: the one that is `told`, else the one that the plugin has.
    ///
    /// # Errors
    /// [`InstallError::UnknownPlugin`] if nothing was told, and the plugin is not recognised.
    pub(crate) fn kept(&self, told: Option<Strangers>) -> Result<RelayRule, InstallError> {
        let known = self.rule();
        match (known, told, &self.former) {
            (Some(rule), told, _) => Ok(RelayRule {
                strangers: told.unwrap_or(rule.strangers),
                ..rule
            }),
            (None, Some(strangers), _) => Ok(RelayRule {
                strangers,
                filters: has_filters(&self.filters).then(|| self.filters.clone()),
            }),
            (None, None, Former::Unknown(doubt)) => Err(InstallError::UnknownPlugin {
                plugin: self.name.clone(),
                what: doubt.what.clone(),
                seems: doubt.seems.map(|rule| rule.to_string()),
            }),
            (None, None, _) => Err(InstallError::UnknownPlugin {
                plugin: self.name.clone(),
                what: "its rule is unknown".to_owned(),
                seems: None,
            }),
        }
    }
}

impl Former {
    fn of_script(text: Option<&[u8]>) -> Self {
        let Some(text) = text else {
            return Self::Unknown(Doubt::new("it cannot be read, or is no script"));
        };
        let text = String::from_utf8_lossy(text);
        former_rule(&text).map_or_else(Self::Unknown, Self::Recognised)
    }
}

/// Whether the station's own script is not in its place, because ours is, or nothing.
fn is_ours(found: &Found, script: &Script) -> bool {
    let Some(current) = &script.file.content else {
        return true;
    };
    let starts_policy = || {
        let line = quoted(&script.file.path);
        matches!(plugin_line::read(&line, Path::new("/")), Ok(Some(_)))
    };
    Some(current) == found.copy(PLUGIN).content.as_ref() || starts_policy()
}

/// The text of the station's own script: what is in place unless that is ours, else what was there
/// before.
fn before(found: &Found, record: &Record, script: &Script) -> Option<Vec<u8>> {
    let current = script.file.content.as_ref();
    let current = current.filter(|_| !is_ours(found, script));
    let kept = found.backup(PLUGIN).content;
    let was_kept = record.before(PLUGIN) == Some(Before::Kept);
    current
        .or_else(|| kept.as_ref().filter(|_| was_kept))
        .or(script.committed.as_ref())
        .cloned()
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let file = regular_file::open(path).ok()?;
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text).ok()?;
    text.starts_with(b"#!").then_some(text)
}

/// Whether there are filters in this folder.
fn has_filters(folder: &Path) -> bool {
    !filters_in(folder).is_empty()
}

/// The kinds for which there is a filter in this folder: `KIND.sh`, if it can be started.
pub(crate) fn filters_in(folder: &Path) -> Vec<u64> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let kinds = entries.filter_map(|entry| {
        let name = entry.file_name();
        let kind = name.to_str()?.strip_suffix(".sh")?.parse().ok()?;
        let metadata = fs::metadata(entry.path()).ok()?;
        let can_be_started = metadata.is_file() && metadata.permissions().mode() & 0o111 != 0;
        can_be_started.then_some(kind)
    });
    let mut kinds: Vec<u64> = kinds.collect();
    kinds.sort_unstable();
    kinds
}

/// The rule that a station's relay had before the install. `None` if there is no install, or the rule
/// cannot be told.
pub(crate) fn rule_before(station: &Station) -> Option<RelayRule> {
    let found = Found::look(station).ok()?;
    let record = found.recorded().ok()?;
    if record.changes.is_empty() {
        return None;
    }
    match record.rule() {
        Some(rule) => Some(rule.clone()),
        // An install of an earlier version, which did not write it down.
        None => Replaced::station_plugin(&found, &record).rule(),
    }
}
