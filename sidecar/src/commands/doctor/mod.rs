//! `constellation-sync doctor`: checks everything that the daily run needs, and shows the command that
//! repairs what is wrong.
//!
//! There is one module for each group of checks: [`folders`], [`strfry`], [`lists`], [`plugin`],
//! [`rule`] (what the relay accepts), [`serving`] (which of these are running), [`relay`] (our own), [`peers`], [`clock`] (compared with
//! the peers' clocks), [`disk`], [`backup`], [`version`], [`callers`], [`kinds`] (which events are fetched) and [`runs`]. In each, `gather` looks at the machine without changing
//! anything, and `judge` turns what it saw into a [`Finding`]. All checks together take about ten
//! seconds at most.

pub(crate) mod backup;
pub(crate) mod callers;
pub(crate) mod clock;
pub(crate) mod disk;
pub(crate) mod finding;
pub(crate) mod folders;
pub(crate) mod kinds;
pub(crate) mod lists;
pub(crate) mod peers;
pub(crate) mod plugin;
pub(crate) mod relay;
pub(crate) mod rule;
pub(crate) mod runs;
pub(crate) mod serving;
pub(crate) mod strfry;
pub(crate) mod version;

use std::env;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::BoolishValueParser;
use constellation_shared::kinds::DIRECT_MESSAGE;

use crate::commands::error::SyncError;
use crate::commands::probe::Probe;
use crate::context::Context;
use crate::strfry::conf::{self, Conf, edit};
use crate::strfry::process;
use crate::support::clock::unix_time;
use crate::support::state_file;
use finding::{Finding, Level, Remedy, quoted, worst};

/// Check all that a run needs, and show how to repair what is wrong
#[derive(Debug, Clone, Copy, Args)]
#[command(after_help = "\
Nothing is changed. A line for each check: ✔ all is well, ? it could not be checked,
! look at this, ✘ repair this. Below it stands what to do, in words behind an arrow, and
in commands to be pasted. The codes in brackets never change.

Examples:
  constellation-sync doctor
  constellation-sync doctor --json        print the findings as JSON
  constellation-sync doctor --tunnels     ask peers behind IPFS tunnels, too

Exit code: 1 if something must be repaired (✘), else 0.")]
pub struct DoctorOptions {
    /// Ask peers behind IPFS tunnels, too; the tunnels are closed again
    #[arg(long, env = "CONSTELLATION_TUNNELS", value_parser = BoolishValueParser::new())]
    pub tunnels: bool,
}

/// Looks at everything and writes the findings. Returns the exit code.
///
/// # Errors
/// [`SyncError::Prepare`], and those of writing.
pub(crate) async fn run(
    context: &Context,
    options: &DoctorOptions,
    output: &mut impl Write,
) -> Result<u8, SyncError> {
    let findings = examine(context, options).await?;
    let exit_code = exit_code(&findings);
    if context.options.json {
        writeln!(output, "{}", finding::to_json(&findings, exit_code))?;
    } else {
        finding::write(output, &findings, wants_colours())?;
    }
    Ok(exit_code)
}

/// 1 if something must be repaired, else 0.
pub(crate) fn exit_code(findings: &[Finding]) -> u8 {
    u8::from(worst(findings) == Level::Fail)
}

/// Looks at everything that the daily run needs.
///
/// # Errors
/// [`SyncError::Prepare`].
pub(crate) async fn examine(
    context: &Context,
    options: &DoctorOptions,
) -> Result<Vec<Finding>, SyncError> {
    let station = &context.station;
    let strfry = context.strfry();
    let folder = absolute(station.strfry_dir());
    let data = conf::database(&strfry.conf(), &folder);
    let folders = folders::Facts::gather(station, &data);
    let mut findings = folders.judge();
    if !folders.has_station() {
        return Ok(findings);
    }
    let probe = Probe::prepare(context, options.tunnels)?;
    let dms = context.options.wanted_kinds().contains(&DIRECT_MESSAGE);
    // A database that belongs to somebody else must be mended first.
    let may_look = worst(&findings) < Level::Fail;
    let user = process::strfry_user(&station.strfry_dir(), &data).ok();
    let user = user.filter(|_| may_look);
    let conf = strfry.conf();
    let settings = Conf::read(&conf).ok().flatten();
    let is_understood = settings.is_some();
    let settings = settings.unwrap_or_else(Conf::empty);
    let command = settings.text(&edit::PLUGIN).ok().flatten();
    let command = command.unwrap_or_default();
    // Our own relay may be asked wherever its conf has it listen.
    let to_our_relay = probe.connector.unguarded();
    let binary = strfry.binary().to_owned();
    let (strfry, plugin, relay, peers, callers, synchronised) = tokio::join!(
        strfry::Facts::gather(&strfry, folders.data_length()),
        plugin::Facts::gather(&conf, command, &folder, user.as_ref()),
        relay::Facts::gather(conf.clone(), &settings, &to_our_relay, dms),
        peers::Facts::gather(context, &probe, dms),
        callers::Facts::gather(station, unix_time()),
        clock::is_synchronised(),
    );
    probe.close().await;
    let lists =
        lists::Facts::gather(station, &probe.descriptions, &probe.kept, user.as_ref()).judge();
    findings.extend(strfry.judge());
    if let Some(database) = folders.database() {
        let report = context.file(state_file::REPORT.name);
        findings.extend(disk::Facts::gather(database, &report).judge());
        let home = env::var_os("HOME").map(PathBuf::from);
        let copies = backup::Facts::gather(&folder, database, &binary, home.as_deref());
        findings.push(copies.judge());
    }
    // Without a conf there is no plugin line and no port to be right or wrong.
    if is_understood {
        findings.extend(judge_policy(context, &plugin, &folder, &lists));
        findings.extend(relay.judge());
        let versions = version::Facts {
            on_disk: strfry.version(),
            by_relay: relay.software(),
            is_replaced: process::Relay::find(&folder).and_then(|relay| relay.is_replaced(&binary)),
        };
        findings.extend(versions.judge());
    }
    findings.extend(lists);
    findings.extend(peers.judge());
    findings.push(clock::judge_synchronised(&synchronised));
    findings.extend(callers.judge());
    findings.extend(kinds::Facts::gather(context).judge());
    findings.extend(runs::Facts::gather(&station.strfry_dir(), unix_time()).judge());
    Ok(findings)
}

/// What is wrong with the policy: the plugin line, what runs of it, and which lists it uses.
fn judge_policy(
    context: &Context,
    plugin: &plugin::Facts,
    folder: &Path,
    lists: &[Finding],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let serving = serving::Facts::gather(folder, plugin.program());
    let finding = plugin.judge();
    let is_ours = finding.code == "plugin";
    let works = finding.level < Level::Fail;
    // A policy that cannot read its lists does not answer; then it is the lists that are wrong.
    if finding.code != plugin::NO_ANSWER || worst(lists) < Level::Fail {
        findings.push(finding);
    }
    // If another plugin is meant to decide, or none, the first finding says so.
    if is_ours {
        let station = &context.station;
        let settings = plugin.settings().clone();
        let file = &context.file.policy;
        let rule = rule::Facts::gather(station, plugin.command(), settings, file, serving.plugin());
        findings.extend(rule.judge());
        findings.extend(serving.judge());
    }
    // Which lists a broken plugin uses matters only once it works.
    findings.extend(context.doubts.iter().filter(|_| works).map(|doubt| {
        let folder = quoted(&context.station.strfry_dir());
        Finding::warn(
            "list_settings",
            doubt.clone(),
            Remedy::from("constellation-sync config --edit")
                .run(format!("nano {folder}/strfry.conf"))
                .because(
                    "correct that line, in one or the other; both programs then use the same lists",
                ),
        )
    }));
    let edit = "constellation-sync config --edit";
    let complaints = context.complaints.iter();
    findings.extend(complaints.map(|complaint| Finding::warn("settings", complaint.clone(), edit)));
    findings
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// Whether to use colours: only on a terminal, and not if `NO_COLOR` is set
/// (<https://no-color.org>).
pub(crate) fn wants_colours() -> bool {
    let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !unwanted
}
