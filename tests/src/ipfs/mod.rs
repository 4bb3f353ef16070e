//! A stand-in for the ipfs program (kubo): `p2p forward`, `p2p close` and `p2p ls`, with
//! TCP that really flows.
//!
//! What kubo's daemon would keep lies in `$HOME/.ipfs/stand-in` ([`Repository`]). Each
//! forward is a process of its own that lives on when the command has ended, as a listener
//! of the daemon does, until `p2p close` or until the folder is gone. As with kubo, it
//! listens whether the other side can be reached or not: what cannot is hung up on.
//!
//! These variables of the environment make it fail:
//!
//! | variable | what happens |
//! |---|---|
//! | `STANDIN_IPFS_EXIT=N` | kubo's words for a daemon that does not run, and exit code N |
//! | `STANDIN_IPFS_HANG=1` | no answer, until the parent is gone |
//! | `STANDIN_IPFS_DEAF=1` | `forward` succeeds, and nobody listens |
//! | `STANDIN_IPFS_LATE=MS` | `forward` succeeds, and the port answers so much later |
//! | `STANDIN_IPFS_ONLY=forward` | the others hold for this command alone |
//! | `STANDIN_IPFS_PEER=ID` | the others hold for forwards to this peer alone |
//! | `STANDIN_IPFS_TIMES=K` | the others hold for so many commands alone |

mod forward;
mod hooks;
mod repository;

use std::ffi::OsString;
use std::io::{Write, stderr, stdout};
use std::path::Path;
use std::process::ExitCode;

use hooks::Hooks;
pub use repository::{Call, Forward, Repository};

/// The command that a forward's own process is started with.
const LISTEN: &str = "stand-in-listen";

/// Runs the command; the arguments are those behind the program's name. kubo's exit code.
pub fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let words: Vec<String> = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    let home = std::env::var_os("HOME").unwrap_or_default();
    let repository = Repository::of_home(Path::new(&home));
    if words.first().is_some_and(|word| word.starts_with("--api=")) {
        repository.note_api(words.remove(0));
    }
    if let [LISTEN, folder, port, late] = words[..] {
        return forward::listen(&Repository::at(folder), port, late);
    }
    repository.note_call(&words);
    match obey(&repository, &words) {
        Ok(text) => {
            let _ = stdout().lock().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err((code, text)) => {
            let _ = writeln!(stderr(), "Error: {text}");
            ExitCode::from(code)
        }
    }
}

fn obey(repository: &Repository, words: &[&str]) -> Result<String, (u8, String)> {
    let wrong = |text: String| (1, text);
    match words {
        ["p2p", "forward", service, listen, target] => {
            let hooks = Hooks::from_env(repository, "forward", target);
            hooks.at_start()?;
            forward::open(repository, service, listen, target, &hooks).map_err(wrong)?;
            Ok(String::new())
        }
        ["p2p", "close", "--listen-address", address] => {
            Hooks::from_env(repository, "close", "").at_start()?;
            let all = repository.forwards();
            let closed = all.iter().filter(|forward| forward.listen == *address);
            let count = closed.map(|forward| repository.end(forward)).count();
            Ok(format!("{count}\n"))
        }
        ["p2p", "ls"] => {
            Hooks::from_env(repository, "ls", "").at_start()?;
            let line = |forward: &Forward| {
                let Forward {
                    service,
                    listen,
                    target,
                    ..
                } = forward;
                format!("{service} {listen} {target}\n")
            };
            Ok(repository.forwards().iter().map(line).collect())
        }
        other => Err((1, format!("unknown to the stand-in: ipfs {other:?}"))),
    }
}
