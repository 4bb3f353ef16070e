//! `constellation-sync bugreport`: one file for a maintainer, sent nowhere. Everything in it
//! passes through [`redact`].

pub mod redact;

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::Args;
use tokio::process::Command;
use tokio::time::timeout;

use crate::commands::doctor::{self, DoctorOptions, finding};
use crate::commands::error::SyncError;
use crate::context::Run;
use crate::members::profiles::render::utc;
use crate::strfry::process::POLICY;
use crate::support::clock::unix_time;
use crate::support::{atomic_file, state_file};

/// How long a program may take to say its version.
const VERSION_PATIENCE: Duration = Duration::from_secs(4);

/// How much of the end of a log is looked at, in bytes, and how many lines are kept.
const LOG_END: u64 = 256 * 1024;
const LOG_LINES: usize = 200;

/// The longest report of a run that is taken, in bytes.
const LONGEST_REPORT: u64 = 1024 * 1024;

/// The logs whose ends are taken. Not that of the profiles: it is of people, not of us.
const LOGS: [&str; 3] = [
    state_file::ERROR_LOG.name,
    state_file::RUN_LOG.name,
    state_file::TRIGGER_LOG.name,
];

/// Gather in one file what a maintainer needs; it is sent nowhere
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Versions, what the doctor says, the report of the last run, and the ends of the logs. Keys and
e-mail addresses are shortened, and what looks like a secret is taken out. Look it through before
you pass it on.

Examples:
  constellation-sync bugreport
  constellation-sync bugreport --output /tmp/report.txt")]
pub struct BugreportOptions {
    /// The file to write [default: DIR/strfry/constellation-bugreport.txt]
    #[arg(long, value_name = "FILE", env = "CONSTELLATION_OUTPUT")]
    pub output: Option<PathBuf>,
}

/// Writes the file, and says where it lies.
///
/// # Errors
/// [`SyncError::Bugreport`] where it cannot be written, and those of the doctor.
pub async fn obey(
    run: &Run,
    options: &BugreportOptions,
    output: &mut impl Write,
) -> Result<u8, SyncError> {
    let given = options.output.clone();
    let path = given.unwrap_or_else(|| run.file("constellation-bugreport.txt"));
    let home = env::var("HOME").unwrap_or_default();
    let text = redact::redact(&gather(run).await?, &home);
    // For its owner alone: what is in it he is to look through first.
    atomic_file::write_private(&path, text.as_bytes())
        .map_err(|error| SyncError::Bugreport(path.clone(), error))?;
    let shown = path.display();
    writeln!(
        output,
        "{shown} is written, {} kB; nothing was sent.\n\
         Keys and e-mail addresses in it are shortened. Look it through before you pass it on: less {}",
        text.len().div_ceil(1000),
        finding::quoted(&path)
    )?;
    Ok(0)
}

async fn gather(run: &Run) -> Result<String, SyncError> {
    let mut text = format!(
        "constellation bug report, {}\n\n## Versions\n\n",
        utc(unix_time())
    );
    let own = format!("constellation-sync {}", env!("CARGO_PKG_VERSION"));
    let strfry = run.strfry();
    let policy = policy_beside();
    let (policy, strfry) = tokio::join!(
        version(policy.as_os_str()),
        version(strfry.binary().as_os_str())
    );
    for line in [own, policy, strfry, system()] {
        text.push_str(&format!("{line}\n"));
    }
    let no_tunnels = DoctorOptions { tunnels: false };
    let mut findings = doctor::examine(run, &no_tunnels).await?;
    for faulty in findings
        .iter_mut()
        .filter(|found| found.code == "list_faulty")
    {
        // The lines themselves may be cut in the middle of an address.
        if let Some((words, _)) = faulty.text.split_once(" skipped") {
            faulty.text = format!("{words} skipped");
        }
    }
    section(&mut text, "Doctor");
    let exit_code = doctor::exit_code(&findings);
    let json = finding::to_json(&findings, exit_code);
    text.push_str(&pretty(&json));
    section(&mut text, "Last report");
    let report = read_start(&run.file(state_file::REPORT.name), LONGEST_REPORT);
    text.push_str(&report.map_or_else(|| "none\n".to_owned(), |report| pretty(&report)));
    for name in LOGS {
        section(&mut text, name);
        let end = log_end(&run.file(name));
        text.push_str(&end.unwrap_or_else(|| "not there\n".to_owned()));
    }
    Ok(text)
}

fn section(text: &mut String, title: &str) {
    text.push_str(&format!("\n## {title}\n\n"));
}

/// JSON in lines, so that nothing hides in escapes; as it is where it is none.
fn pretty(json: &str) -> String {
    let value = serde_json::from_str::<serde_json::Value>(json).ok();
    let lines = value.and_then(|value| serde_json::to_string_pretty(&value).ok());
    lines.unwrap_or_else(|| json.to_owned()) + "\n"
}

/// The policy beside this program, else the one on PATH.
fn policy_beside() -> PathBuf {
    let beside = env::args_os().next().map(PathBuf::from);
    let beside = beside.map(|program| program.with_file_name(POLICY));
    beside
        .filter(|path| path.is_file())
        .unwrap_or_else(|| PathBuf::from(POLICY))
}

async fn version(program: &OsStr) -> String {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let name = Path::new(program).display();
    match timeout(VERSION_PATIENCE, command.output()).await {
        Ok(Ok(output)) => {
            let text = String::from_utf8_lossy(&output.stdout);
            let line = text.lines().next().unwrap_or("no version");
            format!("{line} ({name})")
        }
        Ok(Err(error)) => format!("{name}: {error}"),
        Err(_) => format!("{name}: no version within {} s", VERSION_PATIENCE.as_secs()),
    }
}

fn system() -> String {
    let first_of = |path, name: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    format!(
        "{}, Linux {} on {}, memory {}",
        first_of("/etc/os-release", "PRETTY_NAME="),
        first_of("/proc/sys/kernel/osrelease", ""),
        env::consts::ARCH,
        first_of("/proc/meminfo", "MemTotal:")
    )
}

fn read_start(path: &Path, most: u64) -> Option<String> {
    let mut bytes = Vec::new();
    let file = atomic_file::open(path).ok()?;
    file.take(most).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The last lines of a log. The first of what is read may be the rest of one whose start,
/// and so what it is, is unknown: it is left out.
fn log_end(path: &Path) -> Option<String> {
    let mut file = atomic_file::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    let from = length.saturating_sub(LOG_END);
    file.seek(SeekFrom::Start(from)).ok()?;
    let mut bytes = Vec::new();
    file.take(LOG_END).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().skip(usize::from(from > 0)).collect();
    let surplus = lines.len().saturating_sub(LOG_LINES);
    let lines = lines.into_iter().skip(surplus);
    Some(lines.map(|line| format!("{line}\n")).collect())
}
