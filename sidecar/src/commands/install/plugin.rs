//! Whether strfry can start the plugin as the user that strfry runs as.

use std::fmt;
use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::unix_user::{ENTER, Owned, UnixUser};

/// How long strfry waits for a plugin's answer by default.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often the end of a trial is looked for.
const INTERVAL: Duration = Duration::from_millis(5);

/// What keeps a user from starting a program, according to the modes on the way to it.
pub(crate) fn obstacle(user: &UnixUser, program: &Path) -> Option<Obstacle> {
    let real = match fs::canonicalize(program) {
        Ok(real) => real,
        Err(error) => return Some(Obstacle::new(program, &error.to_string())),
    };
    let mut way: Vec<&Path> = real.ancestors().collect();
    way.reverse();
    way.into_iter().find_map(|path| match fs::metadata(path) {
        Err(error) => Some(Obstacle::new(path, &error.to_string())),
        Ok(metadata) if !user.may(Owned::from(&metadata), ENTER) => {
            let verb = if metadata.is_dir() { "enter" } else { "start" };
            let words = format!("{} may not {verb} it", user.name);
            Some(Obstacle::new(path, &words))
        }
        Ok(_) => None,
    })
}

/// Has strfry's user ask the policy about a key, if we may act as that user. The policy is
/// started as strfry starts it, finds its libraries and reads the lists. Nothing is changed.
pub(crate) fn try_policy(user: &UnixUser, policy: &Path, root: &Path) -> Option<Obstacle> {
    let ourselves = rustix::process::geteuid().as_raw();
    if ourselves != 0 && ourselves != user.uid {
        return None;
    }
    let mut command = Command::new(policy);
    command
        .arg("--zen")
        .arg(root)
        .args(["--log", "error", "explain", &"0".repeat(64)])
        .current_dir("/")
        .env("HOME", &user.home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    if ourselves != user.uid {
        command.uid(user.uid);
        command.gid(user.groups.first().copied().unwrap_or(user.uid));
    }
    let wrong = |words: &str| Some(Obstacle::new(policy, words));
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return wrong(&error.to_string()),
    };
    let begin = Instant::now();
    loop {
        match child.try_wait() {
            // 1: the key is blocked, which is none of our business.
            Ok(Some(status)) if matches!(status.code(), Some(0 | 1)) => return None,
            Ok(Some(status)) => {
                let mut said = String::new();
                if let Some(mut stderr) = child.stderr.take() {
                    let _ = stderr.read_to_string(&mut said);
                }
                return wrong(&format!("it ends with {status}: {}", said.trim()));
            }
            Ok(None) if begin.elapsed() < PATIENCE => thread::sleep(INTERVAL),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return wrong("it does not answer within 10 s");
            }
        }
    }
}
/// Why a program cannot be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    path: PathBuf,
    words: String,
}

impl Obstacle {
    fn new(path: &Path, words: &str) -> Self {
        Self {
            path: path.to_owned(),
            words: words.to_owned(),
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.words)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_closed_folder_on_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("folder");
        fs::create_dir(&folder).unwrap();
        let program = folder.join("program");
        fs::write(&program, "").unwrap();
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(dir.path(), 0o755);
        mode(&folder, 0o755);
        mode(&program, 0o755);
        let stranger = UnixUser::stranger(54_321);
        assert_eq!(obstacle(&stranger, &program), None);
        mode(&folder, 0o700);
        let words = obstacle(&stranger, &program).unwrap().to_string();
        let folder = folder.canonicalize().unwrap();
        assert_eq!(
            words,
            format!("{}: 54321 may not enter it", folder.display())
        );
        mode(&folder, 0o711);
        mode(&program, 0o644);
        for user in [&stranger, &UnixUser::stranger(0)] {
            let words = obstacle(user, &program).unwrap().to_string();
            assert!(words.ends_with("may not start it"), "{words}");
        }
        fs::remove_file(&program).unwrap();
        assert!(obstacle(&stranger, &program).is_some());
    }
}
