//! [`Relay`]: the station's running strfry, its plugin, and whether it notices changes of its conf;
//! and the user as whom it runs. All of it is read from `/proc`, as far as this user may.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::support::unix_user::UnixUser;

/// The file name of our write-policy plugin.
pub(crate) const POLICY: &str = "constellation-policy";

/// A running strfry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relay {
    /// Its process id.
    pub pid: u32,
    /// The plugin, if it is running; strfry starts it with the first event.
    pub plugin: Option<Plugin>,
    /// Whether it watches the file that is its conf now; `None` if that is unknown.
    pub watches_conf: Option<bool>,
}

/// A running plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plugin {
    /// Its process id.
    pub pid: u32,
    /// The file name of its program.
    pub name: String,
    /// Whether its program has been replaced since it was started.
    pub is_outdated: bool,
    /// Its arguments, without the program.
    pub arguments: Vec<String>,
}

impl Relay {
    /// Finds the relay that runs in this folder. Only root sees relays of other users.
    pub(crate) fn find(folder: &Path) -> Option<Self> {
        let folder = fs::canonicalize(folder).ok()?;
        let processes = processes();
        let pid = relay_pid(&folder, &processes)?;
        Some(Self {
            pid,
            plugin: plugin(pid, &processes),
            watches_conf: watches(pid, &folder.join("strfry.conf")),
        })
    }
}

impl Relay {
    /// Whether its program has been replaced since it was started; `None` if this user may not see
    /// that, or if it runs another program than this one.
    pub(crate) fn is_replaced(&self, binary: &Path) -> Option<bool> {
        let program = fs::read_link(entry(self.pid, "exe")).ok()?;
        if program.to_string_lossy().ends_with(" (deleted)") {
            return Some(true);
        }
        (fs::canonicalize(binary).ok()? == program).then_some(false)
    }
}

/// The user as whom a station's strfry runs: the user of the running relay; if none is seen, the
/// owner of the database's file or folder; if there is no database, the owner of strfry's folder.
///
/// # Errors
/// If strfry's folder cannot be looked at.
pub(crate) fn strfry_user(folder: &Path, database: &Path) -> io::Result<UnixUser> {
    let running = fs::canonicalize(folder)
        .ok()
        .and_then(|folder| UnixUser::of_process(relay_pid(&folder, &processes())?));
    if let Some(user) = running {
        return Ok(user);
    }
    let owned = fs::metadata(database)
        .or_else(|_| fs::metadata(database.parent().unwrap_or(folder)))
        .or_else(|_| fs::metadata(folder))?;
    Ok(UnixUser::owner_of(&owned))
}

/// The relay that works in this folder, which must be canonical.
fn relay_pid(folder: &Path, processes: &BTreeMap<u32, Process>) -> Option<u32> {
    processes.iter().find_map(|(pid, process)| {
        let is_it = is_relay(&process.arguments)
            && fs::read_link(entry(*pid, "cwd")).is_ok_and(|cwd| cwd == folder);
        is_it.then_some(*pid)
    })
}

/// What is known of a process.
#[derive(Debug)]
struct Process {
    parent: u32,
    arguments: Vec<String>,
}

fn entry(pid: u32, name: &str) -> PathBuf {
    Path::new("/proc").join(pid.to_string()).join(name)
}

fn processes() -> BTreeMap<u32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, look_at(pid)?))).collect()
}

fn look_at(pid: u32) -> Option<Process> {
    let arguments = fs::read(entry(pid, "cmdline")).ok()?;
    let arguments = String::from_utf8_lossy(&arguments);
    let status = fs::read_to_string(entry(pid, "status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    Some(Process {
        parent: parent.trim().parse().ok()?,
        arguments: arguments
            .split_terminator('\0')
            .map(str::to_owned)
            .collect(),
    })
}

/// Whether these are the arguments of `strfry … relay`.
fn is_relay(arguments: &[String]) -> bool {
    let mut words = arguments.iter();
    words
        .next()
        .is_some_and(|program| name(program).contains("strfry"))
        && words.any(|word| word == "relay")
}

fn name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// The plugin of a relay: the last process in the chain that begins with the relay's `sh -c`, since
/// some shells keep running beside the program that they start.
fn plugin(relay: u32, processes: &BTreeMap<u32, Process>) -> Option<Plugin> {
    let mut found = None;
    let mut parent = relay;
    while let Some((pid, process)) = processes.iter().find(|(_, child)| child.parent == parent) {
        let program = process.arguments.first().map_or("", String::as_str);
        let is_outdated = fs::read_link(entry(*pid, "exe"))
            .is_ok_and(|program| program.to_string_lossy().ends_with(" (deleted)"));
        let plugin = Plugin {
            pid: *pid,
            name: name(program).to_owned(),
            is_outdated,
            arguments: process.arguments.iter().skip(1).cloned().collect(),
        };
        // The policy's own children are its filters.
        if plugin.name == POLICY {
            return Some(plugin);
        }
        found = Some(plugin);
        parent = *pid;
    }
    found
}

/// Whether one of the process's inotify watches is for this very file; `None` if it watches
/// nothing.
fn watches(pid: u32, file: &Path) -> Option<bool> {
    let inode = format!("ino:{:x}", fs::metadata(file).ok()?.ino());
    let mut watched = None;
    for entry in fs::read_dir(entry(pid, "fdinfo")).ok()? {
        let text = fs::read_to_string(entry.ok()?.path()).unwrap_or_default();
        for line in text.lines().filter(|line| line.starts_with("inotify ")) {
            let is_it = line.split(' ').any(|word| word == inode);
            watched = Some(is_it || watched == Some(true));
        }
    }
    watched
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_told_by_its_arguments() {
        let is = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            is_relay(&words)
        };
        assert!(is("./strfry relay"));
        assert!(is(
            "/home/ann/.zen/strfry/strfry --config=strfry.conf relay"
        ));
        assert!(!is("./strfry scan {}") && !is("relay strfry") && !is("sh -c relay"));
    }

    #[test]
    fn the_plugin_is_at_the_end_of_what_the_relay_started() {
        let process = |parent, program: &str| Process {
            parent,
            arguments: vec![program.to_owned()],
        };
        let of = |processes: &[(u32, Process)]| {
            let processes = processes.iter().map(|(pid, process)| {
                let arguments = process.arguments.clone();
                (
                    *pid,
                    Process {
                        arguments,
                        ..*process
                    },
                )
            });
            let found = plugin(u32::MAX - 9, &processes.collect());
            found.map(|plugin| (plugin.pid, plugin.name))
        };
        let relay = u32::MAX - 9;
        let (shell, policy, filter) = (relay + 1, relay + 2, relay + 3);
        assert_eq!(of(&[]), None);
        assert_eq!(
            of(&[
                (shell, process(relay, "sh")),
                (policy, process(shell, "/bin/other"))
            ]),
            Some((policy, "other".to_owned()))
        );
        assert_eq!(
            of(&[
                (shell, process(relay, "sh")),
                (policy, process(shell, "/usr/bin/constellation-policy")),
                (filter, process(policy, "bash")),
            ]),
            Some((policy, "constellation-policy".to_owned()))
        );
    }

    #[test]
    fn a_file_that_is_not_watched_is_told_from_one_that_is() {
        let dir = tempfile::tempdir().unwrap();
        let (watched, other) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&watched, "").unwrap();
        fs::write(&other, "").unwrap();
        use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
        let inotify = init(CreateFlags::CLOEXEC).unwrap();
        add_watch(&inotify, &watched, WatchFlags::MODIFY).unwrap();
        let ourselves = std::process::id();
        assert_eq!(watches(ourselves, &watched), Some(true));
        assert_eq!(watches(ourselves, &other), Some(false));
        assert_eq!(watches(ourselves, &dir.path().join("none")), None);
    }
}
