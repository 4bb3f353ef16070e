//! A stand-in for the strfry program: `scan`, `scan --count` and `import` as strfry master
//! f8a56a8 does them, held against it by `tests/tests/stand_ins/strfry`.
//!
//! It differs where nothing may depend on strfry: the time in its log lines stands still,
//! its words about malformed JSON are its own, `/etc/strfry.conf` is not looked at, and
//! `import` without `--no-verify` rejects spellings that NIP-01 does not know.
//!
//! These variables of the environment make it fail; each holds for every command unless
//! `STANDIN_ONLY` or `STANDIN_ONCE` say otherwise:
//!
//! | variable | what happens |
//! |---|---|
//! | `STANDIN_EXIT=N` | a strfry error and exit code N, at once |
//! | `STANDIN_HANG=1` | nothing is read, written or answered, until the parent is gone |
//! | `STANDIN_NOISE=1` | stderr is written to without end, until the summary |
//! | `STANDIN_DIE_AFTER=N` | `import` ends itself with SIGKILL once it has read N lines; what it had not committed is lost |
//! | `STANDIN_COMMIT_EVERY=K` | `import` commits every K lines, as `--write-batch=K` |
//! | `STANDIN_DISK_FULL_AFTER=N` | `import` aborts as on a full map (SIGABRT) instead of a commit with which the database would hold more than N events |
//! | `STANDIN_ONLY=import` | the others hold for this command alone |
//! | `STANDIN_ONCE=PATH` | the others hold for the first command alone: the one that makes this file |

mod conf;
mod database;
mod hooks;
mod import;
mod index;
mod log;
mod scan;

use std::ffi::OsString;
use std::io::{Write, stdout};
use std::process::ExitCode;

use conf::Conf;
use hooks::Hooks;
use log::{Level, Log};

/// What `--version` answers.
pub const VERSION: &str = "strfry 1.1.1-stand-in";

const BARE: &str =
    "strfry is a relay for the nostr protocol\n\nTo see sub-commands, run: strfry --help\n";

/// Why a command ended before its end.
enum Stop {
    /// strfry's own words; exit code 1.
    Error(String),
    /// The command's usage and what is wrong with the arguments; exit code 255.
    Usage(&'static str, String),
}

impl From<String> for Stop {
    fn from(words: String) -> Self {
        Self::Error(words)
    }
}

/// What was asked for on the command line.
#[derive(Default)]
struct Asked {
    config: Option<OsString>,
    set: Vec<(String, String)>,
    verbosity: Option<String>,
    command: Option<String>,
    args: Vec<String>,
}

/// Runs the command; the arguments are those behind the program's name. strfry's exit code.
pub fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let words: Vec<String> = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    let asked = parse(&words);
    if words.iter().any(|word| word == "--version") && asked.command.is_none() {
        return say(&format!("{VERSION}\n"), ExitCode::SUCCESS);
    }
    let Some(command) = asked.command.clone() else {
        return say(BARE, ExitCode::FAILURE);
    };
    let level = match asked.verbosity.as_deref() {
        None | Some("INFO") => Level::Info,
        Some("WARNING") => Level::Warning,
        Some("ERROR" | "OFF") => Level::Error,
        // WARN, which strfry's own help names, ends strfry with SIGABRT.
        Some(_) => std::process::abort(),
    };
    let hooks = Hooks::from_env(&command);
    let log = Log::start(level, hooks.noise);
    log.begin(&words);
    let result = obey(&command, &asked, &hooks, &log);
    log.end_noise();
    let code = match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Error(words)) => {
            log.raw(&format!("strfry error: {words}\n"));
            ExitCode::from(hooks.exit.unwrap_or(1))
        }
        Err(Stop::Usage(usage, words)) => {
            log.raw(&words);
            say(usage, ExitCode::from(255))
        }
    };
    log.line(Level::Info, "main thread", "atexit");
    code
}

fn obey(command: &str, asked: &Asked, hooks: &Hooks, log: &Log) -> Result<(), Stop> {
    let conf = Conf::load(asked.config.as_deref(), &asked.set, log)?;
    hooks.at_start()?;
    match command {
        "scan" => scan::scan(&asked.args, &conf),
        "import" => import::import(&asked.args, &conf, hooks, log),
        _ => Err(Stop::Error(format!("unknown command: {command}"))),
    }
}

/// Everything before the command is strfry's own, everything behind it the command's.
fn parse(words: &[String]) -> Asked {
    let mut asked = Asked::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if let Some(path) = word.strip_prefix("--config=") {
            asked.config = Some(path.into());
        } else if let Some(entry) = word.strip_prefix("--set=") {
            let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
            asked.set.push((key.to_owned(), value.to_owned()));
        } else if let Some(level) = word.strip_prefix("--verbosity=") {
            asked.verbosity = Some(level.to_owned());
        } else if word == "--config" {
            asked.config = words.next().map(OsString::from);
        } else if !word.starts_with('-') {
            asked.command = Some(word.clone());
            asked.args = words.cloned().collect();
            break;
        }
    }
    asked
}

fn say(text: &str, code: ExitCode) -> ExitCode {
    // A closed stdout is nobody's fault here.
    let _ = stdout().lock().write_all(text.as_bytes());
    code
}
