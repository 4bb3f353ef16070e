//! [`Running`]: the policy that strfry has started for a station, and the rule that it was told; and
//! [`Installed`]: the rule that an install wrote down.
//!
//! Whoever asks by hand what becomes of a key wants to know what the relay does, and not what the
//! options of the question would do.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process;

use constellation_shared::{Station, regular_file};
use serde_json::Value;

/// The longest record of an install that is read, in bytes.
const LONGEST_RECORD: u64 = 1024 * 1024;

/// The file name of this program.
const PROGRAM: &str = "constellation-policy";

/// What an install wrote down about a relay.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Installed {
    /// The rule for strangers, as it is written.
    pub(crate) strangers: Option<String>,
    /// The folder of the filters.
    pub(crate) filters: Option<PathBuf>,
}

impl Installed {
    /// Reads what `constellation-sync install` wrote down for this station. `None` if there is no
    /// install, or it wrote down no rule.
    pub(crate) fn read(station: &Station) -> Option<Self> {
        let path = station.strfry_dir().join("constellation-install.json");
        let mut text = Vec::new();
        let file = regular_file::open(&path).ok()?;
        file.take(LONGEST_RECORD).read_to_end(&mut text).ok()?;
        let record: Value = serde_json::from_slice(&text).ok()?;
        let rule = record.get("rule")?;
        let text = |name: &str| rule.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            strangers: text("strangers"),
            filters: text("filters").map(PathBuf::from),
        })
    }
}

/// A policy that answers strfry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Running {
    /// Its process id.
    pub(crate) pid: u32,
    /// What it was told about strangers, as it is written.
    pub(crate) strangers: Option<String>,
    /// The folder of its filters.
    pub(crate) filters: Option<PathBuf>,
    /// The file with its settings.
    pub(crate) config: Option<PathBuf>,
}

/// How a program was called.
#[derive(Debug, Default)]
struct Call {
    arguments: Vec<OsString>,
    environment: Vec<OsString>,
    folder: PathBuf,
}

impl Running {
    /// Finds the policy of the station in this folder. `None` if none is running, or this user may
    /// not see it.
    pub(crate) fn find(root: &Path) -> Option<Self> {
        let root = fs::canonicalize(root).ok()?;
        let entries = fs::read_dir("/proc").ok()?.flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| *pid != process::id())
            .find_map(|pid| Self::from_call(pid, &Call::of(pid)?, &root))
    }

    fn from_call(pid: u32, call: &Call, root: &Path) -> Option<Self> {
        let program = Path::new(call.arguments.first()?);
        let is_explaining = call.arguments.iter().any(|argument| argument == "explain");
        if program.file_name() != Some(OsStr::new(PROGRAM)) || is_explaining {
            return None;
        }
        let zen = call.value("--zen", "CONSTELLATION_ZEN").or_else(|| {
            let home = call.variable("HOME")?;
            Some(Path::new(&home).join(".zen").into_os_string())
        })?;
        let zen = fs::canonicalize(call.folder.join(zen)).ok()?;
        if zen != root {
            return None;
        }
        let strangers = call.value("--strangers", "CONSTELLATION_STRANGERS");
        let filters = call.value("--filters", "CONSTELLATION_FILTERS");
        let config = call.value("--config", "CONSTELLATION_CONFIG");
        Some(Self {
            pid,
            strangers: strangers.and_then(|rule| rule.into_string().ok()),
            filters: filters.map(|folder| call.folder.join(folder)),
            config: config.map(|file| call.folder.join(file)),
        })
    }
}

impl Call {
    fn of(pid: u32) -> Option<Self> {
        let folder = Path::new("/proc").join(pid.to_string());
        let read = |name: &str| fs::read(folder.join(name)).ok().map(|bytes| words(&bytes));
        Some(Self {
            arguments: read("cmdline")?,
            // Those of other users are hidden.
            environment: read("environ").unwrap_or_default(),
            folder: fs::read_link(folder.join("cwd")).unwrap_or_default(),
        })
    }

    /// The value of an option, or else of its variable.
    fn value(&self, option: &str, variable: &str) -> Option<OsString> {
        let mut arguments = self.arguments.iter();
        while let Some(argument) = arguments.next() {
            if argument == option {
                return arguments.next().cloned();
            }
            let text = argument.as_encoded_bytes();
            let value = text
                .strip_prefix(option.as_bytes())
                .and_then(|rest| rest.strip_prefix(b"="));
            if let Some(value) = value {
                return Some(OsString::from_vec(value.to_owned()));
            }
        }
        self.variable(variable)
    }

    fn variable(&self, name: &str) -> Option<OsString> {
        self.environment.iter().find_map(|variable| {
            let value = variable
                .as_encoded_bytes()
                .strip_prefix(name.as_bytes())?
                .strip_prefix(b"=")?;
            Some(OsString::from_vec(value.to_owned()))
        })
    }
}

/// The words of a list in which each ends with a zero byte.
fn words(bytes: &[u8]) -> Vec<OsString> {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    let words = bytes.split(|&byte| byte == 0);
    words
        .map(|word| OsString::from_vec(word.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_install_wrote_down_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let station = Station::new(dir.path());
        assert_eq!(Installed::read(&station), None);
        fs::create_dir_all(station.strfry_dir()).unwrap();
        let written = |text: &str| {
            let path = station.strfry_dir().join("constellation-install.json");
            fs::write(path, text).unwrap();
            Installed::read(&station)
        };
        assert_eq!(written("{\"version\":1,\"changes\":[]}"), None);
        assert_eq!(written("{\"rule\":"), None);
        let rule = Installed {
            strangers: Some("filters".to_owned()),
            filters: Some("/f".into()),
        };
        let text = "{\"version\":1,\"rule\":{\"strangers\":\"filters\",\"filters\":\"/f\"}}";
        assert_eq!(written(text), Some(rule));
    }

    #[test]
    fn the_policy_of_this_station_is_told_from_everything_else() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        let zen = root.to_str().unwrap();
        let found = |arguments: &[&str], environment: &[&str]| {
            let call = Call {
                arguments: arguments.iter().map(OsString::from).collect(),
                environment: environment.iter().map(OsString::from).collect(),
                folder: "/".into(),
            };
            Running::from_call(7, &call, &root)
        };
        let running = |strangers: Option<&str>, filters: Option<&str>| {
            Some(Running {
                pid: 7,
                strangers: strangers.map(str::to_owned),
                filters: filters.map(PathBuf::from),
                config: None,
            })
        };
        let program = "/usr/bin/constellation-policy";
        let option = format!("--zen={zen}");
        let variable = format!("CONSTELLATION_ZEN={zen}");
        assert_eq!(found(&[program, &option], &[]), running(None, None));
        assert_eq!(
            found(
                &[
                    program,
                    "--strangers",
                    "filters",
                    "--filters=f",
                    "--zen",
                    zen
                ],
                &[]
            ),
            running(Some("filters"), Some("/f"))
        );
        assert_eq!(
            found(&[program], &[&variable, "CONSTELLATION_STRANGERS=filters"]),
            running(Some("filters"), None)
        );
        assert_eq!(found(&[program, &option, "explain"], &[]), None);
        assert_eq!(found(&["/bin/sh", &option], &[]), None);
        assert_eq!(found(&[program, "--zen", "/elsewhere"], &[]), None);
        assert_eq!(found(&[program], &["HOME=/nowhere"]), None);
        assert_eq!(found(&[], &[]), None);
        assert_eq!(words(b"a\0b c\0"), ["a", "b c"]);
    }
}
