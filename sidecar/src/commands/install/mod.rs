//! `constellation-sync install` and `uninstall`: which scripts are put in place, and the execution
//! of a plan.
//!
//! Read it in this order: [`found`] (what is there now), [`plan`] (the steps that are left to do),
//! [`undo`] (the plan of an uninstall), [`step`] (the execution of one step), [`record`] (what is
//! remembered for the uninstall), [`kinds`] (which events the station's own backfill
//! fetches), [`replaced`] and `former` (what the relay accepts, and goes on accepting), `filter` and [`checkout`] (how our scripts live in a git work tree
//! that is pulled every day), [`plugin`] (whether strfry can start the policy), [`units`] (systemd's
//! service and timer).
//!
//! A dry run makes the same plan as a real one, and does not execute it.

pub(crate) mod checkout;
mod draft;
mod error;
mod filter;
mod former;
pub(crate) mod found;
pub(crate) mod kinds;
pub(crate) mod options;
pub(crate) mod plan;
pub(crate) mod plugin;
pub(crate) mod record;
pub(crate) mod replaced;
pub(crate) mod rule;
mod settings;
pub(crate) mod step;
pub(crate) mod undo;
pub(crate) mod units;
pub(crate) mod wanted;

use std::env;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use constellation_shared::Station;

use crate::strfry::conf;
use crate::strfry::process::{self, POLICY, Relay};
use crate::support::shell_words::quoted;
use crate::support::unix_user::UnixUser;
pub(crate) use error::InstallError;
use found::Found;
use options::{InstallOptions, UninstallOptions};
use plan::Plan;
use replaced::{Replaced, filter_seconds};
use rule::RelayRule;
use wanted::Wanted;

/// The scripts in the places of the station's own, by their names in `workspace/NIP-101`.
pub(crate) const SCRIPTS: [(&str, &str); 2] = [
    (
        "backfill_constellation.sh",
        include_str!("../../../backfill_constellation.sh"),
    ),
    (
        "constellation_sync_trigger.sh",
        include_str!("../../../constellation_sync_trigger.sh"),
    ),
];

/// The station's own plugin, by its path in `workspace/NIP-101`.
pub(crate) const PLUGIN: &str = "relay.writePolicy.plugin/all_but_blacklist.sh";

/// Runs `install`; the exit code.
///
/// # Errors
/// [`InstallError`]
pub(crate) fn install(
    options: &InstallOptions,
    station: &Station,
    dry_run: bool,
    out: &mut impl Write,
) -> Result<u8, InstallError> {
    if let Some(kind) = options.units.wanted() {
        let plan = units::install(&options.units.unit_dir, station, kind)?;
        return carry_out(&plan, &format!("install {}", kind.option()), dry_run, out);
    }
    owned(station)?;
    let found = Found::look(station)?;
    plain(&found.root)?;
    plain(&found.settings.path)?;
    let policy = policy(options.policy.as_deref())?;
    plain(&policy)?;
    let database = conf::database(&found.conf.path, &station.strfry_dir());
    let strfry = process::strfry_user(&station.strfry_dir(), &database)
        .map_err(|error| InstallError::Read(station.strfry_dir(), error))?;
    let record = found.recorded()?;
    let replaced = Replaced::look(&found, &record, options.write_conf);
    let rule = match &replaced {
        Some(replaced) => Some(replaced.kept(options.strangers)?),
        None => None,
    };
    let told = rule.clone().unwrap_or_else(|| RelayRule {
        strangers: options.strangers.unwrap_or_default(),
        filters: None,
    });
    if let Some(folder) = &told.filters {
        plain(folder)?;
    }
    let seconds = filter_seconds(&found);
    let options_of_rule = (!told.is_default()).then(|| told.options(seconds));
    let wanted = Wanted {
        command: command(&policy, &found, &strfry, options_of_rule.as_deref()),
        plugin: script(&policy, &found, &told.options(seconds)),
        by_conf: options.write_conf,
        rule,
    };
    let plan = plan::install(&found, &wanted)?;
    let obstacle = plugin::obstacle(&strfry, &policy);
    let obstacle = obstacle.or_else(|| plugin::try_policy(&strfry, &policy, &found.root));
    if let Some(obstacle) = obstacle {
        return Err(InstallError::Unstartable {
            user: strfry.name,
            obstacle,
            policy,
        });
    }
    writeln!(
        out,
        "strfry runs as {}, who can start {}",
        strfry.name,
        policy.display()
    )?;
    if let (Some(replaced), Some(rule)) = (&replaced, &wanted.rule) {
        writeln!(
            out,
            "Before, the relay accepts {} ({})",
            replaced.accepts(),
            replaced.name
        )?;
        writeln!(
            out,
            "With the policy, it accepts {rule}; nothing of blacklisted authors"
        )?;
    }
    let code = carry_out(&plan, "install", dry_run, out)?;
    if dry_run || !plan.is_whole {
        Ok(code)
    } else {
        say_taken_up(&found.conf.path, out)
    }
}

/// Says whether a running strfry uses the policy, or will. Returns the exit code.
fn say_taken_up(conf: &Path, out: &mut impl Write) -> Result<u8, InstallError> {
    let folder = conf.parent().unwrap_or(conf);
    let Some(Relay {
        pid,
        plugin,
        watches_conf,
    }) = Relay::find(folder)
    else {
        let words = "No strfry of this station is running: once it runs, it starts the policy when somebody writes the first event";
        writeln!(out, "{words}")?;
        return Ok(0);
    };
    if plugin.is_some_and(|plugin| plugin.name == POLICY) {
        writeln!(out, "strfry (process {pid}) uses the policy")?;
        return Ok(0);
    }
    if watches_conf == Some(false) {
        writeln!(
            out,
            "! strfry (process {pid}) watches a file that {} has replaced, so it notices no change of the settings; sudo systemctl restart strfry",
            conf.display()
        )?;
        return Ok(1);
    }
    writeln!(
        out,
        "strfry (process {pid}) starts the policy when somebody writes the next event; `constellation-sync doctor` says whether it has"
    )?;
    Ok(0)
}

/// Runs `uninstall`; the exit code.
///
/// # Errors
/// [`InstallError`]
pub(crate) fn uninstall(
    options: &UninstallOptions,
    station: &Station,
    dry_run: bool,
    out: &mut impl Write,
) -> Result<u8, InstallError> {
    if let Some(kind) = options.units.wanted() {
        let plan = units::uninstall(&options.units.unit_dir, station, kind)?;
        return carry_out(&plan, &format!("uninstall {}", kind.option()), dry_run, out);
    }
    owned(station)?;
    let plan = undo::uninstall(&Found::look(station)?)?;
    carry_out(&plan, "uninstall", dry_run, out)
}

/// Prints a plan, and does what it says unless it is a dry run.
fn carry_out(
    plan: &Plan,
    command: &str,
    dry_run: bool,
    out: &mut impl Write,
) -> Result<u8, InstallError> {
    if dry_run {
        writeln!(out, "DRY RUN MODE: nothing is changed")?;
    }
    for (number, step) in (1..).zip(&plan.steps) {
        writeln!(out, "{number}. {step}")?;
        if !dry_run {
            step.execute()
                .map_err(|error| InstallError::Step(number, error))?;
        }
    }
    for note in &plan.notes {
        writeln!(out, "! {note}")?;
    }
    let undo = match command.split_once("install") {
        Some(("", rest)) => format!("; undone by: constellation-sync uninstall{rest}"),
        _ => String::new(),
    };
    match plan.steps.len() {
        0 => writeln!(out, "Nothing is left to do{undo}")?,
        _ if !dry_run => writeln!(out, "Done{undo}")?,
        1 => writeln!(out, "This step would be done{undo}")?,
        steps => writeln!(out, "These {steps} steps would be done{undo}")?,
    }
    Ok(u8::from(!plan.is_whole))
}

/// Refuses to work on a station of another user: what we write belongs to us, and git refuses files
/// of other users.
fn owned(station: &Station) -> Result<(), InstallError> {
    let root = station.root();
    let owner = fs::metadata(root).map_err(|error| InstallError::Read(root.to_owned(), error))?;
    if owner.uid() == rustix::process::geteuid().as_raw() {
        Ok(())
    } else {
        let user = UnixUser::owner_of(&owner);
        Err(InstallError::NotOurs(root.to_owned(), user.name))
    }
}

/// Refuses a path with characters that git's configuration, strfry's, systemd's and the shell each
/// escape in their own way.
fn plain(path: &Path) -> Result<(), InstallError> {
    let odd = |words: &str| Err(InstallError::Odd(path.to_owned(), words.to_owned()));
    match path.to_str() {
        None => odd("its name is not UTF-8; use another folder"),
        Some(text) if text.contains(['"', '\'', '\\', '%', '$', '`']) => {
            odd("its name holds a quote, %, $, ` or \\; use another folder")
        }
        Some(text) if text.chars().any(char::is_control) => {
            odd("its name holds a control character; use another folder")
        }
        Some(_) => Ok(()),
    }
}

/// The program of the policy: the one that was named, else the one beside this program, else the one
/// on PATH.
fn policy(given: Option<&Path>) -> Result<PathBuf, InstallError> {
    if let Some(given) = given.filter(|path| !path.as_os_str().is_empty()) {
        let absolute = std::path::absolute(given).unwrap_or_else(|_| given.to_owned());
        return if absolute.is_file() {
            Ok(absolute)
        } else {
            Err(InstallError::NoPolicy(absolute))
        };
    }
    let beside = invoked().map(|path| path.with_file_name(POLICY));
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).map(|folder| folder.join(POLICY));
    let mut places = beside.into_iter().chain(on_path);
    places
        .find(|path| path.is_file())
        .ok_or_else(|| InstallError::NoPolicy(PathBuf::from(POLICY)))
}

/// The path of this program: as it was called if that is an absolute path, else the real one.
pub(crate) fn invoked() -> Option<PathBuf> {
    let called = env::args_os().next().map(PathBuf::from);
    called
        .filter(|path| path.is_absolute() && path.exists())
        .or_else(|| env::current_exe().ok())
}

/// The command of the plugin line in `strfry.conf`. It has no arguments if none are needed: strfry
/// then notices when the program is replaced.
fn command(policy: &Path, found: &Found, strfry: &UnixUser, rule: Option<&str>) -> String {
    let root = &found.root;
    let mut command = quoted(policy);
    if strfry.home.join(".zen") != *root {
        command.push_str(&format!(" --zen {}", quoted(root)));
    }
    command.push_str(&settings_option(found));
    if let Some(options) = rule {
        command.push_str(&format!(" {options}"));
    }
    command
}

/// The policy's option for a settings file that is not in its usual place.
fn settings_option(found: &Found) -> String {
    if found.has_given_settings {
        format!(" --config {}", quoted(&found.settings.path))
    } else {
        String::new()
    }
}

/// The script that takes the place of the station's plugin. strfry restarts it when it changes, so it
/// names our version.
fn script(policy: &Path, found: &Found, rule: &str) -> Vec<u8> {
    format!(
        "#!/bin/sh\n\
         # strfry's write policy, put here by `constellation-sync install` {}; git does not see\n\
         # it, and `constellation-sync uninstall` puts back what git has.\n\
         exec {} --zen {}{} {rule}\n",
        env!("CARGO_PKG_VERSION"),
        quoted(policy),
        quoted(&found.root),
        settings_option(found)
    )
    .into_bytes()
}
