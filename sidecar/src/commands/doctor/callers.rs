//! `doctor` about what starts the next run: the station's scripts, cron, or a systemd timer.

mod timers;

use std::borrow::Cow;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use constellation_shared::Station;
use tokio::process::Command;
use tokio::time::timeout;

use self::timers::Timer;
use crate::commands::doctor::finding::{Finding, Remedy, quoted};
use crate::report::history::RunHistory;
use crate::support::humanize::duration;
use crate::support::lock::Lock;
use crate::support::state_file::{LOCK, RUNS};
use crate::support::unix_user::name_of;

/// Our program, as callers name it.
const PROGRAM: &str = "constellation-sync";

/// The station's scripts that call us, below its root.
const SCRIPTS: [&str; 2] = [
    "workspace/NIP-101/backfill_constellation.sh",
    "workspace/NIP-101/constellation_sync_trigger.sh",
];

/// The station's own that call these.
const STATION_S: [&str; 2] = ["_12345.sh", "20h12.process.sh"];

/// The cron line that is suggested if nothing starts the runs.
const CRON_LINE: &str = "*/10 * * * * constellation-sync trigger";

/// How old the last run may be in seconds if runs come by themselves: some stations start one a
/// day.
const LATE: u64 = 26 * 3600;

/// How many seconds lie between two runs that come by themselves at least. Somebody who tries the
/// program by hand runs it several times within minutes.
const APART: u64 = 3000;

/// How far back runs are looked at, in seconds: two days, and some time for the runs themselves.
const TWO_DAYS: u64 = 50 * 3600;

/// Where the scripts look for the program besides PATH. Relative folders are in HOME.
const PROGRAM_FOLDERS: [&str; 4] = [".cargo/bin", "/usr/local/bin", ".local/bin", "/snap/bin"];

/// How long `crontab -l` may take.
const CRONTAB_PATIENCE: Duration = Duration::from_secs(4);

/// What is known of everything that may start a run.
#[derive(Debug)]
pub(crate) struct Facts {
    /// What `live` does, if it is running.
    live: Option<String>,
    /// The station's scripts that exist.
    scripts: Vec<StationScript>,
    /// The program that the scripts would start, if they find one.
    program: Option<PathBuf>,
    /// The lines of cron tables that name us.
    cron: Vec<String>,
    /// Our timers.
    timers: Vec<Timer>,
    /// The station's own programs that call its scripts.
    stations: Vec<String>,
    /// The runs of the last two days, if they show that something starts them.
    regular: Option<Regular>,
}

/// One of the station's scripts that exists.
#[derive(Debug)]
struct StationScript {
    path: PathBuf,
    /// Whether it starts `constellation-sync`.
    calls_us: bool,
    /// Whether its mode allows anybody to run it.
    may_run: bool,
}

/// Runs that were started regularly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Regular {
    /// How many there were in the last two days.
    count: usize,
    /// How many seconds ago the last one ended.
    last_ago: u64,
}

impl Facts {
    /// Looks at a station's scripts, at cron and systemd of the machine, and at what was
    /// recorded of runs until `now`, Unix seconds.
    pub(crate) async fn gather(station: &Station, now: u64) -> Self {
        let live = Lock::live(&station.strfry_dir().join(LOCK.name));
        let owner = fs::metadata(station.root()).map_or(0, |metadata| metadata.uid());
        let owner = name_of(owner);
        let (tables, timers) = tokio::join!(cron_tables(), Timer::all(&owner));
        let history = RunHistory::load(&station.strfry_dir().join(RUNS.name));
        Self {
            live: live.map(|live| live.to_string()),
            scripts: scripts(station),
            program: program(),
            cron: lines_that_name(&tables, &our_names()),
            timers,
            stations: [
                processes_of(&STATION_S),
                lines_that_name(&tables, &STATION_S)
                    .into_iter()
                    .map(|line| format!("cron: {line}"))
                    .collect(),
            ]
            .concat(),
            regular: regular(history.runs.iter().map(|run| run.finished_at), now),
        }
    }

    /// What is wrong with what starts the runs.
    pub(crate) fn judge(&self) -> Vec<Finding> {
        let mut findings = self.judge_scripts();
        if let Some(live) = &self.live {
            findings.push(Finding::ok("callers", live.clone()));
            return findings;
        }
        let callers = self.callers();
        if !callers.is_empty() {
            let text = format!("the next run is started by {}", callers.join("; "));
            findings.push(Finding::ok("callers", text));
            return findings;
        }
        let idle = self.timers.iter().find(|timer| !timer.runs());
        findings.extend(idle.map(Timer::judge));
        if findings.is_empty() {
            findings.push(self.nobody());
        }
        findings
    }

    /// What keeps the station's scripts from starting a run when they are called.
    fn judge_scripts(&self) -> Vec<Finding> {
        let ours = self.scripts.iter().filter(|script| script.calls_us);
        let mut findings: Vec<Finding> = ours
            .filter(|script| !script.may_run)
            .map(|StationScript { path, .. }| {
                Finding::fail(
                    "script_not_executable",
                    format!(
                        "{} is not executable, so its callers ignore it",
                        path.display()
                    ),
                    format!("chmod a+x {}", quoted(path)),
                )
            })
            .collect();
        if !self.ready_scripts().is_empty() && self.program.is_none() {
            findings.push(Finding::fail(
                "program_not_found",
                format!("the station's scripts would not find {PROGRAM}: it is in none of the folders where they look for it"),
                format!(
                    "sudo install -m 755 {} /usr/local/bin/",
                    env::current_exe().map_or_else(|_| PROGRAM.to_owned(), |path| quoted(&path))
                ),
            ));
        }
        findings
    }

    /// The names of the station's scripts that would start a run, joined by `and`.
    fn ready_scripts(&self) -> String {
        let ready = self.scripts.iter();
        let ready = ready.filter(|script| script.calls_us && script.may_run);
        let ready: Vec<String> = ready
            .map(|script| script.path.display().to_string())
            .collect();
        ready.join(" and ")
    }

    /// Everything that starts the next run by itself.
    fn callers(&self) -> Vec<String> {
        let cron = self.cron.iter().map(|line| format!("cron: {line}"));
        let running = self.timers.iter().filter(|timer| timer.runs());
        let mut callers: Vec<String> = cron
            .chain(running.map(|timer| timer.path.display().to_string()))
            .collect();
        let scripts = self.ready_scripts();
        if scripts.is_empty() {
            return callers;
        }
        if !self.stations.is_empty() {
            let stations = self.stations.join(" and ");
            callers.push(format!("{scripts}, called by {stations}"));
        } else if let Some(Regular { count, last_ago }) = self.regular {
            callers.push(format!(
                "{scripts} (called by something that cannot be seen: there were {count} runs in the last two days, the last of them {} ago)",
                duration(last_ago)
            ));
        }
        callers
    }

    /// The finding of a station on which nothing seems to start the next run.
    fn nobody(&self) -> Finding {
        let scripts = self.ready_scripts();
        if scripts.is_empty() {
            let theirs = self.scripts.first().map_or_else(
                || "there is no script in workspace/NIP-101".to_owned(),
                |script| format!("{} is not ours", script.path.display()),
            );
            return Finding::fail(
                "nobody_calls",
                format!(
                    "nothing starts the next run: {theirs}, and no cron line and no timer names {PROGRAM}"
                ),
                Remedy::from(format!("{PROGRAM} install"))
                    .because(format!("or write into crontab -e: {CRON_LINE}")),
            );
        }
        Finding::warn(
            "nobody_seen_calling",
            format!(
                "{scripts} would start the next run, but it cannot be seen that anything calls it: no process and no cron line names {}, and no two runs an hour or more apart were recorded in the last two days",
                STATION_S.join(" or ")
            ),
            Remedy::explain(format!(
                "start the station's own programs; or write into crontab -e: {CRON_LINE}"
            )),
        )
    }
}

/// The runs of the last two days, if they show that something starts them: the last one is no
/// older than [`LATE`], and another one is at least [`APART`] older than that.
fn regular(ended: impl Iterator<Item = u64>, now: u64) -> Option<Regular> {
    let ages = ended.map(|time| now.saturating_sub(time));
    let ages: Vec<u64> = ages.filter(|&age| age <= TWO_DAYS).collect();
    let (last, first) = (ages.iter().min()?, ages.iter().max()?);
    (*last <= LATE && first - last >= APART).then_some(Regular {
        count: ages.len(),
        last_ago: *last,
    })
}

/// The processes that run one of these scripts.
fn processes_of(scripts: &[&str]) -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let found = entries.filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let arguments = fs::read(entry.path().join("cmdline")).ok()?;
        // `bash SCRIPT`, or the script itself.
        let mut words = arguments.split(|&byte| byte == 0).take(2);
        let script = words.find_map(|word| {
            let word = String::from_utf8_lossy(word);
            let name = word.rsplit('/').next()?;
            scripts.iter().find(|script| **script == name).copied()
        })?;
        Some(format!("{script} (process {pid})"))
    });
    found.collect()
}

/// The station's scripts that exist.
fn scripts(station: &Station) -> Vec<StationScript> {
    let existing = SCRIPTS.iter().filter_map(|script| {
        let path = station.root().join(script);
        let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
        let text = fs::read(&path).unwrap_or_default();
        let calls_us = String::from_utf8_lossy(&text).contains(PROGRAM);
        let may_run = metadata.permissions().mode() & 0o111 != 0;
        Some(StationScript {
            path,
            calls_us,
            may_run,
        })
    });
    existing.collect()
}

/// The program that the scripts would start, found as `sidecar/backfill_constellation.sh` does.
fn program() -> Option<PathBuf> {
    let name = env::var_os("CONSTELLATION_SYNC").filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| OsString::from(PROGRAM));
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = PROGRAM_FOLDERS.iter().map(|folder| home.join(folder));
    let mut found = env::split_paths(&path)
        .chain(usual)
        .map(|folder| folder.join(&name));
    found.find(|path| crate::support::program::is_program(path))
}

/// The cron tables of this user and of the machine.
async fn cron_tables() -> Vec<String> {
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
    texts.map(Cow::into_owned).collect()
}

fn our_names() -> Vec<&'static str> {
    let scripts = SCRIPTS
        .iter()
        .filter_map(|script| script.rsplit('/').next());
    scripts.chain([PROGRAM]).collect()
}

/// The lines that are not comments and contain one of these names.
fn lines_that_name(tables: &[String], names: &[&str]) -> Vec<String> {
    let lines = tables.iter().flat_map(|table| table.lines()).map(str::trim);
    let lines =
        lines.filter(|line| !line.starts_with('#') && names.iter().any(|name| line.contains(name)));
    lines.map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;

    fn bad(change: impl Fn(&mut Facts)) -> Vec<&'static str> {
        let mut facts = Facts {
            live: None,
            scripts: vec![StationScript {
                path: "/zen/workspace/NIP-101/a.sh".into(),
                calls_us: true,
                may_run: true,
            }],
            program: Some("/usr/local/bin/constellation-sync".into()),
            cron: Vec::new(),
            timers: Vec::new(),
            stations: vec!["_12345.sh (process 7)".to_owned()],
            regular: None,
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
        assert_eq!(
            bad(|facts| facts.scripts[0].calls_us = false),
            ["nobody_calls"]
        );
        assert_eq!(
            bad(|facts| facts.scripts[0].may_run = false),
            ["script_not_executable"]
        );
        assert_eq!(bad(|facts| facts.program = None), ["program_not_found"]);
        let timer = |is_enabled| {
            bad(move |facts| {
                facts.scripts.clear();
                facts.timers = vec![Timer {
                    path: "/etc/systemd/system/x.timer".into(),
                    is_enabled,
                    is_active: None,
                }];
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
    fn scripts_that_nobody_calls_start_nothing() {
        let alone = |change: fn(&mut Facts)| {
            bad(move |facts| {
                facts.stations.clear();
                change(facts);
            })
        };
        assert_eq!(alone(|_| ()), ["nobody_seen_calling"]);
        let regular = |facts: &mut Facts| {
            facts.regular = Some(Regular {
                count: 9,
                last_ago: 60,
            });
        };
        assert_eq!(alone(regular), [""; 0]);
        let cron = |facts: &mut Facts| facts.cron = vec!["* * * * * x.sh".to_owned()];
        assert_eq!(alone(cron), [""; 0]);
    }

    #[test]
    fn runs_that_come_by_themselves_are_an_hour_apart() {
        const NOW: u64 = 1_800_000_000;
        let regular = |ages: &[u64]| {
            let found = regular(ages.iter().map(|age| NOW - age), NOW);
            found.map(|Regular { count, last_ago }| (count, last_ago))
        };
        assert_eq!(regular(&[]), None);
        assert_eq!(regular(&[60]), None);
        assert_eq!(regular(&[60, 120, 180]), None);
        assert_eq!(regular(&[60, 60 + APART]), Some((2, 60)));
        assert_eq!(regular(&[LATE + 1, LATE + 1 + APART]), None);
        assert_eq!(regular(&[60, TWO_DAYS + 1]), None);
        assert_eq!(regular(&[LATE, TWO_DAYS]), Some((2, LATE)));
    }

    #[test]
    fn cron_lines_that_call_us() {
        let table = "# constellation-sync trigger\n\n0 * * * * /usr/local/bin/constellation-sync trigger\n\
                     5 12 * * * root ~/.zen/workspace/NIP-101/backfill_constellation.sh --days 1\n\
                     12 20 * * * ~/.zen/Astroport.ONE/20h12.process.sh\n1 1 * * * true\n";
        let tables = [table.to_owned()];
        assert_eq!(lines_that_name(&tables, &our_names()).len(), 2);
        assert_eq!(lines_that_name(&tables, &STATION_S).len(), 1);
    }
}
