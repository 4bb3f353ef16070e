//! Who starts the next run: the station's scripts, cron, or a timer of systemd.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use constellation_shared::Station;
use tokio::process::Command;
use tokio::time::timeout;

use super::finding::{Finding, quoted, quoted_text};

/// Our program, as callers name it.
const PROGRAM: &str = "constellation-sync";

/// The station's scripts that call us, below its root.
const SCRIPTS: [&str; 2] = [
    "workspace/NIP-101/backfill_constellation.sh",
    "workspace/NIP-101/constellation_sync_trigger.sh",
];

/// Where the scripts look for the program besides PATH, some below HOME.
const PROGRAM_FOLDERS: [&str; 4] = [".cargo/bin", "/usr/local/bin", ".local/bin", "/snap/bin"];

/// Where systemd keeps what it starts, some below HOME.
const UNIT_FOLDERS: [&str; 4] = [
    "/etc/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    ".config/systemd/user",
];

/// How long crontab may take.
const CRONTAB_PATIENCE: Duration = Duration::from_secs(4);

/// What is known of the callers.
#[derive(Debug)]
pub struct Facts {
    /// Those of the station's scripts that are there: whether it calls us, and may be run.
    scripts: Vec<(PathBuf, bool, bool)>,
    /// Where the scripts would find the program.
    program: Option<PathBuf>,
    /// The lines of cron's tables that name us.
    cron: Vec<String>,
    /// Our timers, and whether they are enabled.
    timers: Vec<(PathBuf, bool)>,
}

impl Facts {
    /// Looks at a station's scripts, and at cron and systemd of the machine.
    pub async fn gather(station: &Station) -> Self {
        Self {
            scripts: scripts(station),
            program: program(),
            cron: cron_lines().await,
            timers: timers(),
        }
    }

    /// What is wrong with them.
    pub fn judge(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut callers = Vec::new();
        for (path, _, may_run) in self.scripts.iter().filter(|(_, calls_us, _)| *calls_us) {
            match may_run {
                true => callers.push(path.display().to_string()),
                false => findings.push(Finding::fail(
                    "script_not_executable",
                    format!(
                        "{} may not be run: its callers pass it over",
                        path.display()
                    ),
                    format!("chmod a+x {}", quoted(path)),
                )),
            }
        }
        if !callers.is_empty() && self.program.is_none() {
            findings.push(Finding::fail(
                "program_not_found",
                format!("the station's scripts would not find {PROGRAM}: it is in none of the folders where they look"),
                format!(
                    "sudo install -m 755 {} /usr/local/bin/",
                    env::current_exe().map_or_else(|_| PROGRAM.to_owned(), |path| quoted(&path))
                ),
            ));
        }
        callers.extend(self.cron.iter().map(|line| format!("cron: {line}")));
        for (timer, enabled) in &self.timers {
            match enabled {
                true => callers.push(timer.display().to_string()),
                false if callers.is_empty() => {
                    let user = match timer.starts_with("/etc") || timer.starts_with("/usr") {
                        true => "sudo systemctl",
                        false => "systemctl --user",
                    };
                    findings.push(Finding::fail(
                        "timer_not_enabled",
                        format!("{} is there, and not enabled", timer.display()),
                        format!(
                            "{user} enable --now {}",
                            quoted_text(&timer.file_name().unwrap_or_default().to_string_lossy())
                        ),
                    ));
                }
                false => {}
            }
        }
        if !callers.is_empty() {
            let text = format!("the next run is started by {}", callers.join("; "));
            findings.push(Finding::ok("callers", text));
        } else if findings.is_empty() {
            let theirs = self.scripts.first().map_or_else(
                || "there is no script in workspace/NIP-101".to_owned(),
                |(path, ..)| format!("{} is not ours", path.display()),
            );
            findings.push(Finding::fail(
                "nobody_calls",
                format!("nobody starts the next run: {theirs}, no cron line and no timer names {PROGRAM}"),
                format!("{PROGRAM} install; or in crontab -e: 0 * * * * {PROGRAM} trigger"),
            ));
        }
        findings
    }
}

fn scripts(station: &Station) -> Vec<(PathBuf, bool, bool)> {
    let there = SCRIPTS.iter().filter_map(|script| {
        let path = station.root().join(script);
        let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
        let text = fs::read(&path).unwrap_or_default();
        let calls_us = String::from_utf8_lossy(&text).contains(PROGRAM);
        let may_run = metadata.permissions().mode() & 0o111 != 0;
        Some((path, calls_us, may_run))
    });
    there.collect()
}

/// What the scripts would start; see `sidecar/backfill_constellation.sh`.
fn program() -> Option<PathBuf> {
    let name = env::var_os("CONSTELLATION_SYNC").filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| OsString::from(PROGRAM));
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = PROGRAM_FOLDERS.iter().map(|folder| home.join(folder));
    let mut found = env::split_paths(&path)
        .chain(usual)
        .map(|folder| folder.join(&name));
    found.find(|path| crate::backfill::is_program(path))
}

/// The lines of this user's table and of the machine's that name us.
async fn cron_lines() -> Vec<String> {
    let mut command = Command::new("crontab");
    command
        .arg("-l")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let own = timeout(CRONTAB_PATIENCE, command.output()).await;
    let own = own.ok().and_then(Result::ok);
    let mut tables = vec![own.map_or_else(Vec::new, |output| output.stdout)];
    tables.push(fs::read("/etc/crontab").unwrap_or_default());
    for entry in fs::read_dir("/etc/cron.d").into_iter().flatten().flatten() {
        tables.push(fs::read(entry.path()).unwrap_or_default());
    }
    let texts = tables.iter().map(|table| String::from_utf8_lossy(table));
    texts.flat_map(|text| lines_that_call(&text)).collect()
}

fn lines_that_call(table: &str) -> Vec<String> {
    let calls = |line: &&str| {
        let scripts = SCRIPTS
            .iter()
            .filter_map(|script| script.rsplit('/').next());
        let mut names = scripts.chain([PROGRAM]);
        !line.starts_with('#') && names.any(|name| line.contains(name))
    };
    let lines = table.lines().map(str::trim).filter(calls);
    lines.map(ToOwned::to_owned).collect()
}

/// Enabled ones first: the others may be the templates of these.
fn timers() -> Vec<(PathBuf, bool)> {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let folders = UNIT_FOLDERS.map(|folder| home.join(folder));
    let enabled = folders
        .iter()
        .flat_map(|folder| timers_in(&folder.join("timers.target.wants")));
    let there = folders.iter().flat_map(|folder| timers_in(folder));
    let enabled = enabled.map(|path| (path, true));
    enabled.chain(there.map(|path| (path, false))).collect()
}

fn timers_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // One for each user may be made of the template.
        name.starts_with(PROGRAM) && name.ends_with(".timer") && !name.ends_with("@.timer")
    };
    entries.map(|entry| entry.path()).filter(is_ours).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    fn bad(change: impl Fn(&mut Facts)) -> Vec<&'static str> {
        let mut facts = Facts {
            scripts: vec![("/zen/workspace/NIP-101/a.sh".into(), true, true)],
            program: Some("/usr/local/bin/constellation-sync".into()),
            cron: Vec::new(),
            timers: Vec::new(),
        };
        change(&mut facts);
        let findings = facts.judge();
        let bad = findings.iter().filter(|found| found.level != Level::Ok);
        bad.map(|finding| finding.code).collect()
    }

    #[test]
    fn one_caller_is_enough() {
        let none: [&str; 0] = [];
        assert_eq!(bad(|_| ()), none);
        let nobody = |facts: &mut Facts| facts.scripts.clear();
        assert_eq!(bad(nobody), ["nobody_calls"]);
        assert_eq!(bad(|facts| facts.scripts[0].1 = false), ["nobody_calls"]);
        assert_eq!(
            bad(|facts| facts.scripts[0].2 = false),
            ["script_not_executable"]
        );
        assert_eq!(bad(|facts| facts.program = None), ["program_not_found"]);
        let timer = |enabled| {
            bad(move |facts| {
                facts.scripts.clear();
                facts.timers = vec![("/etc/systemd/system/x.timer".into(), enabled)];
            })
        };
        assert_eq!(timer(true), none);
        assert_eq!(timer(false), ["timer_not_enabled"]);
        let cron = bad(|facts| {
            facts.scripts.clear();
            facts.cron = vec!["0 * * * * constellation-sync trigger".to_owned()];
        });
        assert_eq!(cron, none);
    }

    #[test]
    fn cron_lines_that_call_us() {
        let table = "# constellation-sync trigger\n\n0 * * * * /usr/local/bin/constellation-sync trigger\n\
                     5 12 * * * root ~/.zen/workspace/NIP-101/backfill_constellation.sh --days 1\n1 1 * * * true\n";
        assert_eq!(lines_that_call(table).len(), 2);
    }
}
