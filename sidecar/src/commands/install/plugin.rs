//! Whether strfry can start the plugin as the user that it runs as.

use std::fmt;
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use constellation_shared::Station;

/// How long strfry waits for a plugin's answer unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often the end of a trial is looked for.
const INTERVAL: Duration = Duration::from_millis(5);

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    /// Its number.
    pub uid: u32,
    /// Its groups, the main one first.
    pub gids: Vec<u32>,
    /// Its name, or its number where it has none.
    pub name: String,
    /// Its home.
    pub home: PathBuf,
}

impl User {
    /// The user of this number, by `/etc/passwd` and `/etc/group`.
    pub(crate) fn of(uid: u32, gid: u32) -> Self {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let groups = fs::read_to_string("/etc/group").unwrap_or_default();
        Self::parse(uid, gid, &passwd, &groups)
    }

    fn parse(uid: u32, gid: u32, passwd: &str, groups: &str) -> Self {
        let entry = passwd
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields.get(2) == Some(&uid.to_string().as_str()));
        let field = |number: usize| entry.as_ref()?.get(number).map(|&field| field.to_owned());
        let name = field(0).unwrap_or_else(|| uid.to_string());
        let mut gids = vec![field(3).and_then(|gid| gid.parse().ok()).unwrap_or(gid)];
        for line in groups.lines() {
            let fields: Vec<_> = line.split(':').collect();
            if let [_, _, number, members] = fields.as_slice()
                && members.split(',').any(|member| member == name)
                && let Ok(number) = number.parse()
            {
                gids.push(number);
            }
        }
        Self {
            uid,
            gids,
            home: PathBuf::from(field(5).unwrap_or_default()),
            name,
        }
    }

    /// The user that a station's strfry runs as: that of a running one, else the owner of
    /// its database or of its folder.
    ///
    /// # Errors
    /// Where the folder cannot be looked at.
    pub(crate) fn of_strfry(station: &Station, database: &Path) -> io::Result<Self> {
        let running = fs::canonicalize(station.strfry_dir())
            .ok()
            .and_then(|folder| owner_of_process(&folder));
        let owner = match running {
            Some(owner) => owner,
            None => fs::metadata(database).or_else(|_| fs::metadata(station.strfry_dir()))?,
        };
        Ok(Self::of(owner.uid(), owner.gid()))
    }

    fn may(&self, metadata: &Metadata, bit: u32) -> bool {
        let shift = match () {
            () if metadata.uid() == self.uid => 6,
            () if self.gids.contains(&metadata.gid()) => 3,
            () => 0,
        };
        // root may enter every folder, and start what anybody may.
        let root = self.uid == 0 && (metadata.is_dir() || metadata.mode() & 0o111 != 0);
        root || metadata.mode() >> shift & bit == bit
    }

    /// What keeps this user from starting a program, by the modes on the way to it.
    pub(crate) fn obstacle(&self, program: &Path) -> Option<Obstacle> {
        let real = match fs::canonicalize(program) {
            Ok(real) => real,
            Err(error) => return Some(Obstacle::new(program, &error.to_string())),
        };
        let mut way: Vec<&Path> = real.ancestors().collect();
        way.reverse();
        way.into_iter().find_map(|path| match fs::metadata(path) {
            Err(error) => Some(Obstacle::new(path, &error.to_string())),
            Ok(metadata) if !self.may(&metadata, 1) => {
                let verb = if metadata.is_dir() { "enter" } else { "start" };
                let words = format!("{} may not {verb} it", self.name);
                Some(Obstacle::new(path, &words))
            }
            Ok(_) => None,
        })
    }

    /// Has this user ask the policy about a key, as far as we may: it is started as strfry
    /// starts it, finds its libraries and reads the lists. Nothing is changed by that.
    pub(crate) fn try_policy(&self, policy: &Path, root: &Path) -> Option<Obstacle> {
        let ourselves = rustix::process::geteuid().as_raw();
        if ourselves != 0 && ourselves != self.uid {
            return None;
        }
        let mut command = Command::new(policy);
        command
            .arg("--zen")
            .arg(root)
            .args(["--log", "error", "explain", &"0".repeat(64)])
            .current_dir("/")
            .env("HOME", &self.home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if ourselves != self.uid {
            command.uid(self.uid);
            command.gid(self.gids.first().copied().unwrap_or(self.uid));
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

/// The folder in /proc of a strfry that works in this folder; it belongs to its user.
fn owner_of_process(folder: &Path) -> Option<Metadata> {
    let program = fs::canonicalize(folder.join("strfry")).ok()?;
    let processes = fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|entry| {
        let process = entry.path();
        let is = |name: &str, what: &Path| {
            fs::read_link(process.join(name)).is_ok_and(|found| found == what)
        };
        let is_it = is("exe", &program) && is("cwd", folder);
        is_it.then(|| fs::metadata(&process).ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1001:Ann:/home/ann:/bin/sh\n";
    const GROUPS: &str = "root:x:0:\nrelay:x:77:bob,ann\nother:x:78:bob\nodd\n";

    #[test]
    fn a_user_has_its_groups() {
        let ann = User::parse(1000, 5, PASSWD, GROUPS);
        assert_eq!((ann.name.as_str(), ann.gids), ("ann", vec![1001, 77]));
        assert_eq!(ann.home, Path::new("/home/ann"));
        let nobody = User::parse(7, 8, PASSWD, GROUPS);
        assert_eq!((nobody.name.as_str(), nobody.gids), ("7", vec![8]));
    }

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
        let stranger = User::parse(54_321, 54_321, "", "");
        assert_eq!(stranger.obstacle(&program), None);
        mode(&folder, 0o700);
        let words = stranger.obstacle(&program).unwrap().to_string();
        let folder = folder.canonicalize().unwrap();
        assert_eq!(
            words,
            format!("{}: 54321 may not enter it", folder.display())
        );
        mode(&folder, 0o711);
        mode(&program, 0o644);
        for user in [&stranger, &User::parse(0, 0, "", "")] {
            let words = user.obstacle(&program).unwrap().to_string();
            assert!(words.ends_with("may not start it"), "{words}");
        }
        fs::remove_file(&program).unwrap();
        assert!(stranger.obstacle(&program).is_some());
    }
}
