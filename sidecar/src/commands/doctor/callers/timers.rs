//! Our systemd timers: whether they are enabled and running.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::commands::doctor::callers::PROGRAM;
use crate::commands::doctor::finding::{Finding, quoted_text};

/// The folders of systemd's units. Relative ones are in HOME.
const UNIT_FOLDERS: [&str; 4] = [
    "/etc/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    ".config/systemd/user",
];

/// The folder that exists if systemd runs this machine (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";

/// How long systemctl may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// A timer of ours for a station.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Timer {
    pub(crate) path: PathBuf,
    pub(crate) is_enabled: bool,
    /// Whether the timer is running; `None` if that is unknown.
    pub(crate) is_active: Option<bool>,
}

impl Timer {
    /// Those for the station of this user, the enabled ones first: the others may be the
    /// templates of these.
    pub(crate) async fn all(user: &str) -> Vec<Self> {
        let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let folders = UNIT_FOLDERS.map(|folder| home.join(folder));
        let wants = folders
            .iter()
            .map(|folder| folder.join("timers.target.wants"));
        let enabled = wants.flat_map(|folder| in_folder(&folder, user));
        let there = folders.iter().flat_map(|folder| in_folder(folder, user));
        let all = enabled
            .map(|path| (path, true))
            .chain(there.map(|path| (path, false)));
        let mut timers = Vec::new();
        for (path, is_enabled) in all.collect::<Vec<_>>() {
            let is_active = if is_enabled {
                is_active(&path).await
            } else {
                None
            };
            timers.push(Self {
                path,
                is_enabled,
                is_active,
            });
        }
        timers
    }

    /// Whether it starts runs.
    pub(crate) fn runs(&self) -> bool {
        self.is_enabled && self.is_active != Some(false)
    }

    /// What is wrong with one that does not.
    pub(crate) fn judge(&self) -> Finding {
        let systemctl = systemctl(&self.path).join(" ");
        let sudo = if is_user_s(&self.path) { "" } else { "sudo " };
        let name = quoted_text(&name(&self.path));
        let path = self.path.display();
        if self.is_enabled {
            Finding::fail(
                "timer_not_active",
                format!("{path} is enabled, but systemd is not running it"),
                format!("{sudo}{systemctl} start {name}"),
            )
        } else {
            Finding::fail(
                "timer_not_enabled",
                format!("{path} exists, but is not enabled"),
                format!("{sudo}{systemctl} enable --now {name}"),
            )
        }
    }
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn is_user_s(path: &Path) -> bool {
    !path.starts_with("/etc") && !path.starts_with("/usr") && !path.starts_with("/lib")
}

fn systemctl(path: &Path) -> Vec<&'static str> {
    if is_user_s(path) {
        vec!["systemctl", "--user"]
    } else {
        vec!["systemctl"]
    }
}

fn in_folder(folder: &Path, user: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| is_for(&name(path), user)).collect()
}

/// Whether a file of this name is a timer of ours that may be for this user's station; the
/// template is for nobody yet.
fn is_for(name: &str, user: &str) -> bool {
    let Some(rest) = name.strip_prefix(PROGRAM) else {
        return false;
    };
    match rest.strip_suffix(".timer") {
        None => false,
        Some(rest) => rest.strip_prefix('@').is_none_or(|named| named == user),
    }
}

async fn is_active(path: &Path) -> Option<bool> {
    if !Path::new(BOOTED).exists() {
        return None;
    }
    let words = systemctl(path);
    let (program, arguments) = words.split_first()?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .args(["is-active", "--", &name(path)])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    match String::from_utf8_lossy(&output.stdout).trim() {
        "active" | "activating" => Some(true),
        "inactive" | "failed" | "deactivating" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timer_of_another_user_is_not_ours() {
        for (name, ours) in [
            ("constellation-sync@ann.timer", true),
            ("constellation-sync@bob.timer", false),
            ("constellation-sync@.timer", false),
            ("constellation-sync.timer", true),
            ("constellation-sync@ann.service", false),
            ("other.timer", false),
        ] {
            assert_eq!(is_for(name, "ann"), ours, "{name}");
        }
    }

    #[test]
    fn one_that_does_not_wait_starts_nothing() {
        let timer = |is_enabled, is_active| Timer {
            path: "/etc/systemd/system/constellation-sync@ann.timer".into(),
            is_enabled,
            is_active,
        };
        assert!(timer(true, None).runs() && timer(true, Some(true)).runs());
        assert!(!timer(true, Some(false)).runs() && !timer(false, None).runs());
        let finding = timer(true, Some(false)).judge();
        assert_eq!(finding.code, "timer_not_active");
        assert_eq!(
            finding.remedy.as_deref(),
            Some("sudo systemctl start constellation-sync@ann.timer")
        );
        assert_eq!(timer(false, None).judge().code, "timer_not_enabled");
    }
}
