//! What the tests about members share.

use std::path::{Path, PathBuf};

use constellation_shared::{Event, Pubkey};

use crate::author::now;
use crate::command::{Output, TestCommand};
use crate::{Author, StationDir};

/// The name of the program.
pub const SYNC: &str = "constellation-sync";

/// A profile of this content, an hour old.
pub fn profile(author: &Author, content: &str) -> Event {
    author.sign(0, now() - 3600, &[], content)
}

/// A profile of this name, older than any window of days.
pub fn old_profile(author: &Author, name: &str) -> Event {
    author.sign(
        0,
        now() - 400 * 86_400,
        &[],
        &format!(r#"{{"name":"{name}"}}"#),
    )
}

/// Notes of long ago, a minute apart.
pub fn old_notes(author: &Author, count: u64) -> Vec<Event> {
    let newest = now() - 300 * 86_400;
    (0..count)
        .map(|number| author.note(newest - number * 60, &format!("note {number}")))
        .collect()
}

/// A contact list (NIP-02) that names these.
pub fn follows(author: &Author, created_at: u64, friends: &[Pubkey]) -> Event {
    let keys: Vec<String> = friends.iter().map(Pubkey::to_hex).collect();
    let tags: Vec<[&str; 2]> = keys.iter().map(|key| ["p", key.as_str()]).collect();
    let tags: Vec<&[&str]> = tags.iter().map(|tag| &tag[..]).collect();
    author.sign(3, created_at, &tags, "")
}

/// The backfill of this station, which asks nobody on the internet.
pub fn sync(station: &StationDir, args: &[&str]) -> Output {
    command(station, args).output()
}

/// The same, about to be run.
pub fn command(station: &StationDir, args: &[&str]) -> TestCommand {
    let command = station.command(SYNC).args(args);
    command.env_remove("CONSTELLATION_NO_PROFILES")
}

/// The log of the last backfill.
pub fn log(station: &StationDir) -> String {
    station.read("strfry/constellation-backfill.log")
}

/// The messages of a log, without times and levels.
pub fn messages(log: &str) -> Vec<&str> {
    log.lines()
        .map(|line| {
            line.splitn(3, ']')
                .nth(2)
                .unwrap()
                .strip_prefix(' ')
                .unwrap()
        })
        .collect()
}

/// Everything below a folder, at any depth.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => files.extend(files_below(&entry.path())),
            false => files.push(entry.path()),
        }
    }
    files
}

/// Processes, zombies not counted, whose executable, arguments or folder lie in this one.
pub fn processes_in(folder: &Path) -> Vec<String> {
    let folder = folder.to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.bytes().all(|c| c.is_ascii_digit()) {
            continue;
        }
        let arguments = std::fs::read(path.join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        let cwd = std::fs::read_link(path.join("cwd")).unwrap_or_default();
        if arguments.contains(&folder) || cwd.to_string_lossy().starts_with(&folder) {
            found.push(format!("{name} {arguments}"));
        }
    }
    found
}
