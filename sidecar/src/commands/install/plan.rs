//! The plan of an install: the steps that are left to do, made from what was found. It has no side
//! effects, so a dry run shows exactly what a real run does.

use std::path::Path;

use crate::commands::install::draft::{Draft, OurScript};
use crate::commands::install::found::Found;
use crate::commands::install::record::Record;
use crate::commands::install::step::{Kind, Step};
use crate::commands::install::wanted::Wanted;
use crate::commands::install::{InstallError, PLUGIN, SCRIPTS};
use crate::strfry::conf::{Conf, Fault, edit};
use crate::strfry::process::POLICY;
use crate::support::sanitize::for_terminal;

/// How much of a plugin line is shown, in characters.
const LONGEST: usize = 300;

/// What is to be done, and what the captain has to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub steps: Vec<Step>,
    /// What stays as it is, and why.
    pub notes: Vec<String>,
    /// Nothing is left to wish for.
    pub is_whole: bool,
}

/// How strfry is to get at the policy.
enum Way {
    Conf,
    Script,
    Already,
    None(String),
}

/// The plan of an install.
///
/// # Errors
/// Where the record is not understood, strfry.conf is missing or no text, or its plugin
/// line cannot be written.
pub fn install(found: &Found, wanted: &Wanted) -> Result<Plan, InstallError> {
    let record = found.recorded()?;
    let way = way(found, wanted);
    let mut scripts: Vec<OurScript<'_>> = Vec::new();
    for (name, content) in SCRIPTS {
        if let Some(seen) = found.scripts.get(name) {
            scripts.push(OurScript {
                name,
                content: content.as_bytes(),
                seen,
            });
        }
    }
    // Once ours, it stays ours until the uninstall.
    if matches!(way, Way::Script) || record.before(PLUGIN).is_some() {
        let seen = found.scripts.get(PLUGIN);
        scripts.extend(seen.map(|seen| OurScript {
            name: PLUGIN,
            content: wanted.plugin.as_slice(),
            seen,
        }));
    }
    let mut draft = Draft::default();
    for OurScript { name, content, .. } in &scripts {
        let why = "our copy of a script, from which git puts it in place; undone by removing it";
        draft.write(&found.copy(name), content, Kind::Script, why);
    }
    if let Some(git) = &found.git {
        draft.tell_git(found, git, &record, &scripts);
    }
    for &script in &scripts {
        draft.put(found, &record, script);
    }
    let note_on_kinds = draft.settings(found, &record);
    if matches!(way, Way::Conf) || record.conf().is_some() {
        draft.edit_conf(found, &record, wanted, matches!(way, Way::Conf))?;
    }
    let mut plan = Plan {
        steps: draft.steps,
        notes: Vec::new(),
        is_whole: true,
    };
    plan.notes.extend(note_on_kinds);
    if found.scripts.is_empty() {
        plan.notes.push(format!(
            "{} is not there, so no scripts are put in place: a station without _12345.sh calls \
             `constellation-sync trigger` from cron, or by `install --systemd`",
            found.workspace.display()
        ));
    }
    if let Way::None(why) = way {
        plan.notes.push(why);
        plan.is_whole = false;
    }
    if !draft.changes.is_empty() {
        let rule = wanted.rule.clone().or_else(|| record.rule().cloned());
        let json = Record::new(draft.changes, rule).to_json();
        let json =
            json.map_err(|error| InstallError::Odd(found.root.clone(), error.to_string()))?;
        let mut first = Draft::default();
        let why = "what `uninstall` needs to know; removed by it";
        first.write(&found.record, &json, Kind::Plain, why);
        plan.steps.splice(0..0, first.steps);
    }
    Ok(plan)
}

/// The way of an install that cannot tell whether the policy is in force.
fn not_understood(found: &Found, fault: &Fault) -> Way {
    Way::None(format!(
        "whether the policy is in force cannot be told: {} {fault}",
        found.conf.path.display()
    ))
}

fn way(found: &Found, wanted: &Wanted) -> Way {
    let folder = found.conf.path.parent().unwrap_or(Path::new("/"));
    let text = found.conf.content.as_deref().unwrap_or_default();
    let conf = Conf::parse(text, folder);
    let plugin = match conf.as_ref().map(|conf| conf.text(&edit::PLUGIN)) {
        _ if wanted.by_conf => return Way::Conf,
        Ok(Ok(plugin)) => plugin.unwrap_or_default(),
        Ok(Err(fault)) => return not_understood(found, &fault),
        Err(fault) => return not_understood(found, fault),
    };
    // A path with blanks is in quotes.
    let program = match plugin.strip_prefix('\'') {
        Some(quoted) => quoted.split('\'').next(),
        None => plugin.split(' ').next(),
    };
    let program = program.unwrap_or_default();
    let is_policy = Path::new(program).file_name() == Some(POLICY.as_ref());
    let has_script = found
        .scripts
        .get(PLUGIN)
        .is_some_and(|script| script.file.content.is_some() || script.committed.is_some());
    if is_policy {
        return Way::Already;
    }
    if has_script && plugin.contains(PLUGIN) {
        return Way::Script;
    }
    Way::None(format!(
        "the policy is not in force: relay.writePolicy.plugin in {} is \"{}\"; pass \
         --write-conf, which makes it \"{}\"",
        found.conf.path.display(),
        for_terminal(plugin, LONGEST),
        wanted.command
    ))
}
