//! `constellation-sync bugreport`: writes one file for a maintainer, and sends nothing. The file
//! holds only what is ours: versions, codes, numbers and words of our own messages ([`reduce`],
//! [`vocabulary`]). Whatever hooks, filters, strfry and other programs printed is left out.

mod reduce;
mod report;
mod vocabulary;

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::Args;
use constellation_shared::{counted, regular_file};
use tokio::process::Command;
use tokio::time::timeout;

use self::reduce::Reducer;

use crate::commands::doctor::{self, DoctorOptions, finding};
use crate::commands::error::SyncError;
use crate::context::Context;
use crate::members::profiles::render::utc;
use crate::strfry::process::POLICY;
use crate::support::clock::unix_time;
use crate::support::sanitize::for_terminal;
use crate::support::{atomic_file, state_file};

/// How long a program may take to say its version.
const VERSION_PATIENCE: Duration = Duration::from_secs(4);

/// How much of the end of a log is looked at, in bytes, and how many lines are kept.
const LOG_END: u64 = 256 * 1024;
const LOG_LINES: usize = 200;

/// How many words of what a program says of itself are looked at for its version.
const MOST_WORDS: usize = 20;

/// How much of the system's name is shown, in characters.
const MOST_OF_A_SYSTEM: usize = 60;

/// The longest report of a run that is taken, in bytes.
const LONGEST_REPORT: u64 = 1024 * 1024;

/// The logs whose ends are taken. Not that of the profiles: it is of people, not of us.
const LOGS: [&str; 3] = [
    state_file::ERROR_LOG.name,
    state_file::RUN_LOG.name,
    state_file::TRIGGER_LOG.name,
];

/// Gather in one file what a maintainer needs; nothing is sent
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
The file holds versions, the doctor's findings, the report of the last run and the
ends of the logs: of all these only codes, numbers and the words of this program's
own messages. Names, keys, addresses, and what other programs printed are left out.
Look it through before you pass it on.

Examples:
  constellation-sync bugreport
  constellation-sync bugreport --output /tmp/report.txt")]
pub struct BugreportOptions {
    /// The file to write [default: DIR/strfry/constellation-bugreport.txt]
    #[arg(long, value_name = "FILE", env = "CONSTELLATION_OUTPUT")]
    pub output: Option<PathBuf>,
}

/// Writes the file, and prints its path.
///
/// # Errors
/// [`SyncError::Bugreport`] if the file cannot be written, and the errors of the doctor.
pub(crate) async fn run(
    context: &Context,
    options: &BugreportOptions,
    output: &mut impl Write,
) -> Result<u8, SyncError> {
    let given = options.output.clone();
    let path = given.unwrap_or_else(|| context.file("constellation-bugreport.txt"));
    let text = gather(context).await?;
    // For its owner alone: what is in it he is to look through first.
    atomic_file::write_private(&path, text.as_bytes())
        .map_err(|error| SyncError::Bugreport(path.clone(), error))?;
    let shown = path.display();
    writeln!(
        output,
        "{shown} is written, {} kB; nothing was sent.\n\
         It holds codes, numbers and words of our own messages. Look it through before you pass it on: less {}",
        text.len().div_ceil(1000),
        finding::quoted(&path)
    )?;
    Ok(0)
}

async fn gather(context: &Context) -> Result<String, SyncError> {
    let mut text = format!(
        "constellation bug report, {}\n\n## Versions\n\n",
        utc(unix_time())
    );
    let mut reducer = Reducer::new();
    let strfry = context.strfry();
    let policy = policy_beside();
    let (policy, strfry) = tokio::join!(
        version(policy.as_os_str()),
        version(strfry.binary().as_os_str())
    );
    let own = env!("CARGO_PKG_VERSION");
    text.push_str(&format!(
        "constellation-sync {own}\nconstellation-policy {policy}\nstrfry {strfry}\n{}\n",
        system()
    ));
    let no_tunnels = DoctorOptions { tunnels: false };
    let findings = doctor::examine(context, &no_tunnels).await?;
    section(&mut text, "Doctor");
    for found in &findings {
        let words = reducer.text(&found.text);
        text.push_str(&format!("{:?} {}: {words}\n", found.level, found.code));
    }
    section(&mut text, "Last report");
    let report = read_start(&context.file(state_file::REPORT.name), LONGEST_REPORT);
    let report = report.map(|report| report::reduced(&report, &mut reducer));
    text.push_str(&report.unwrap_or_else(|| "none\n".to_owned()));
    for name in LOGS {
        section(&mut text, name);
        match log_end(&context.file(name)) {
            None => text.push_str("not there\n"),
            Some(end) => {
                let log = reducer.log(end.iter().map(String::as_str));
                for line in &log.lines {
                    text.push_str(&format!("{line}\n"));
                }
                if log.left_out > 0 {
                    let left_out = counted(log.left_out, "line");
                    text.push_str(&format!("({left_out} left out: not ours)\n"));
                }
            }
        }
    }
    Ok(text)
}

fn section(text: &mut String, title: &str) {
    text.push_str(&format!("\n## {title}\n\n"));
}

/// The policy beside this program, else the one on PATH.
fn policy_beside() -> PathBuf {
    let beside = env::args_os().next().map(PathBuf::from);
    let beside = beside.map(|program| program.with_file_name(POLICY));
    beside
        .filter(|path| path.is_file())
        .unwrap_or_else(|| PathBuf::from(POLICY))
}

/// The version that a program prints. Nothing else of its output is used.
async fn version(program: &OsStr) -> String {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    match timeout(VERSION_PATIENCE, command.output()).await {
        Ok(Ok(output)) => {
            let text = String::from_utf8_lossy(&output.stdout);
            let mut words = text.split_whitespace().take(MOST_WORDS);
            let version = words.find(|word| is_version(word));
            version.unwrap_or("tells no version").to_owned()
        }
        Ok(Err(error)) => format!("cannot be started: {}", error.kind()),
        Err(_) => format!("no version within {} s", VERSION_PATIENCE.as_secs()),
    }
}

/// `1.2.3`, `v1.0.4` or, as git describes it, `1.1.0-12-gf8a56a8`.
fn is_version(word: &str) -> bool {
    let numbers = word.strip_prefix('v').unwrap_or(word);
    let mut parts = numbers.splitn(3, '-');
    let are_numbers = parts.next().is_some_and(|numbers| {
        let parts: Vec<&str> = numbers.split('.').collect();
        let is_number = |part: &&str| {
            (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        (2..=4).contains(&parts.len()) && parts.iter().all(is_number)
    });
    let commits = parts.next().unwrap_or("0");
    let commit = parts.next().unwrap_or("g0");
    are_numbers
        && commits.len() <= 4
        && commits.bytes().all(|byte| byte.is_ascii_digit())
        && commit.len() <= 13
        && commit
            .strip_prefix('g')
            .is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The system, the kernel and the memory.
fn system() -> String {
    let first_of = |path, name: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        for_terminal(line.unwrap_or_default(), MOST_OF_A_SYSTEM)
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
    let file = regular_file::open(path).ok()?;
    file.take(most).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The last lines of a log. The first of what is read may be the rest of one whose start,
/// and so what it is, is unknown: it is left out.
fn log_end(path: &Path) -> Option<Vec<String>> {
    let mut file = regular_file::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    let from = length.saturating_sub(LOG_END);
    file.seek(SeekFrom::Start(from)).ok()?;
    let mut bytes = Vec::new();
    file.take(LOG_END).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().skip(usize::from(from > 0)).collect();
    let surplus = lines.len().saturating_sub(LOG_LINES);
    Some(
        lines
            .into_iter()
            .skip(surplus)
            .map(ToOwned::to_owned)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_told_from_anything_else() {
        for version in ["1.2.3", "v1.0.4", "0.9.7", "1.1.0-12-gf8a56a8"] {
            assert!(is_version(version), "{version}");
        }
        for other in [
            "strfry",
            "1",
            "1234.5",
            "1.2.3-hunter2",
            "1.1.0-1-gsecret",
            "v",
            "1..2",
        ] {
            assert!(!is_version(other), "{other}");
        }
    }
}
