//! `doctor` about strfry itself: whether its binary runs, whether its conf is valid, and whether it
//! answers a scan.

use std::path::{Path, PathBuf};
use std::time::Duration;

use constellation_shared::EventId;
use rustix::process::{Resource, getrlimit};
use tokio::process::Command;
use tokio::time::timeout;

use crate::commands::doctor::finding::{Finding, Level, Remedy, edit, quoted, worst};
use crate::strfry::Strfry;
use crate::strfry::conf::{Conf, ConfError, Fault};
use crate::support::error_chain::chain;

/// How long strfry may take to say its version.
const VERSION_PATIENCE: Duration = Duration::from_secs(8);

/// How long a scan for one id may take. It waits while other processes write.
const SCAN_PATIENCE: Duration = Duration::from_secs(8);

/// The default of `dbParams.mapsize` in bytes (strfry's golpe.yaml).
const DEFAULT_MAP_SIZE: u64 = 10_995_116_277_760;

/// The default of `relay.maxWebsocketPayloadSize` in bytes.
const DEFAULT_PAYLOAD_SIZE: u64 = 131_072;

/// The smallest `events.maxEventSize` of the constellation's stations, in bytes.
const LEAST_EVENT_SIZE: u64 = 65_536;

/// The settings that we read.
const READ: [&[&str]; 10] = [
    &["db"],
    &["dbParams", "mapsize"],
    &["events", "maxEventSize"],
    &["relay", "auth", "restrictedReadKinds"],
    &["relay", "bind"],
    &["relay", "maxWebsocketPayloadSize"],
    &["relay", "nofiles"],
    &["relay", "port"],
    &["relay", "writePolicy", "plugin"],
    &["relay", "writePolicy", "timeoutSeconds"],
];

/// What is known of strfry.
#[derive(Debug)]
pub(crate) struct Facts {
    binary: PathBuf,
    conf: PathBuf,
    /// What `strfry --version` printed, or why it failed.
    version: Result<String, Trouble>,
    /// The settings of the conf; `None` if there is no conf.
    settings: Result<Option<Conf>, ConfError>,
    /// How many files a process of this user may open at most; `None` if there is no limit.
    hard_limit: Option<u64>,
    /// How long the database's file is, in bytes.
    data_length: Option<u64>,
    /// The outcome of a scan; `None` if none was made.
    scan: Option<Result<(), String>>,
}

/// Why strfry says no version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No program is there.
    Missing,
    /// The binary exists, but does not run.
    Broken(String),
    /// The binary exists, but does not answer in time.
    Slow,
}

impl Facts {
    /// Runs what is there. `data_length` is that of the database's file; without one
    /// nothing is scanned, since a scan would make it.
    pub(crate) async fn gather(strfry: &Strfry, data_length: Option<u64>) -> Self {
        let (version, scan) = tokio::join!(version(strfry), async {
            data_length?;
            Some(scan(strfry).await)
        });
        Self {
            binary: strfry.binary().to_owned(),
            conf: strfry.conf(),
            version,
            settings: Conf::read(&strfry.conf()),
            hard_limit: getrlimit(Resource::Nofile).maximum,
            data_length,
            scan,
        }
    }

    /// What the program says of its version, if it says anything.
    pub(crate) fn version(&self) -> Option<String> {
        self.version.clone().ok()
    }

    /// What is wrong with it.
    pub(crate) fn judge(&self) -> Vec<Finding> {
        let mut findings = vec![self.judge_version(), self.judge_conf()];
        if worst(&findings) < Level::Fail {
            findings.push(self.judge_nofiles());
            findings.push(self.judge_event_size());
            findings.extend(self.judge_map());
        }
        // What strfry says then is what was said above, in other words.
        if worst(&findings) < Level::Fail {
            findings.extend(self.judge_scan());
        }
        findings
    }

    fn judge_version(&self) -> Finding {
        let path = self.binary.display();
        match &self.version {
            Ok(version) => Finding::ok("strfry", format!("{path} is {version}")),
            Err(Trouble::Missing) => Finding::fail(
                "strfry_missing",
                format!("{path} is not a program"),
                Remedy::explain("install strfry there, or say where it is with --strfry PATH or CONSTELLATION_STRFRY"),
            ),
            Err(Trouble::Slow) => Finding::warn(
                "strfry_slow",
                format!(
                    "{path} did not print its version within {} s: this machine is busy, or its disk is slow",
                    VERSION_PATIENCE.as_secs()
                ),
                Remedy::from("top -b -n 1 | head -n 15")
                    .because("try again when the machine is less busy; this shows what keeps it busy"),
            ),
            Err(Trouble::Broken(why)) => Finding::fail(
                "strfry_broken",
                format!("{path} does not run: {why}"),
                Remedy::from(format!("{} --version", quoted(&self.binary))).because(
                    "run it by hand; if a library is missing or it was built for another machine, install it again",
                ),
            ),
        }
    }

    fn judge_conf(&self) -> Finding {
        let path = self.conf.display();
        match &self.settings {
            Err(ConfError::Read(error)) => Finding::fail(
                "conf_unreadable",
                format!("{path} cannot be read: {error}"),
                format!("chmod u+r {}", quoted(&self.conf)),
            ),
            Ok(None) => Finding::fail(
                "conf_missing",
                format!("{path} does not exist"),
                Remedy::from(self.setup())
                    .run("constellation-sync install --write-conf")
                    .because("the station's setup.sh writes it; then name the policy in it"),
            ),
            Err(ConfError::Fault(fault)) => self.faulty(fault),
            Ok(Some(settings)) => {
                let doubt = READ.iter().find_map(|path| match settings.number(path) {
                    Err(fault) if !fault.is_certain => Some(fault),
                    _ => settings.text(path).err().filter(|fault| !fault.is_certain),
                });
                match doubt {
                    Some(fault) => self.faulty(&fault),
                    None => Finding::ok("conf", format!("{path} can be read")),
                }
            }
        }
    }

    /// The finding about a fault of the conf: an error if strfry refuses it, too, and a warning if
    /// only strfry understands it.
    fn faulty(&self, fault: &Fault) -> Finding {
        let folder = self.conf.parent().unwrap_or(&self.conf);
        let file = fault.file.as_ref().map(|file| folder.join(file));
        let file = quoted(file.as_ref().unwrap_or(&self.conf));
        let text = format!("{} {fault}", self.conf.display());
        let remedy = format!("nano +{} {file}", fault.line);
        if fault.is_certain {
            Finding::fail("conf_faulty", text, remedy)
        } else {
            Finding::warn(
                "conf_not_understood",
                format!("{text}; strfry may accept it, but what depends on it is unknown here"),
                Remedy::from(remedy).because("write the resulting value in its place"),
            )
        }
    }

    /// The command that writes a conf.
    fn setup(&self) -> String {
        let root = self.conf.parent().and_then(Path::parent);
        let root = root.unwrap_or(Path::new("."));
        format!("bash {}", quoted(&root.join("workspace/NIP-101/setup.sh")))
    }

    /// The command that changes a setting, or the place where to change it by hand.
    fn set(&self, path: &[&str], value: u64) -> Remedy {
        let conf = quoted(&self.conf);
        let settings = self.settings.as_ref().ok().and_then(Option::as_ref);
        let Some((settings, name)) = settings.zip(path.last()) else {
            return Remedy::from(format!("nano {conf}"));
        };
        if settings.plain_line(path).is_some() {
            let script = format!(r"'s/^(\s*{name}\s*=\s*)[^#]*/\1{value} /'");
            return Remedy::from(edit(&script, &conf));
        }
        let line = settings.line(path).unwrap_or(1);
        Remedy::from(format!("nano +{line} {conf}"))
            .because(format!("write {} = {value}", path.join(".")))
    }

    /// A number; `None` if it is not set, or if only strfry can tell.
    fn number(&self, path: &[&str]) -> Option<Result<u64, Fault>> {
        let settings = self.settings.as_ref().ok()?.as_ref()?;
        match settings.number(path) {
            Err(fault) if !fault.is_certain => None,
            number => number.transpose(),
        }
    }

    fn judge_nofiles(&self) -> Finding {
        let remedy = self.set(&["relay", "nofiles"], 0);
        let limit = self.hard_limit.unwrap_or(u64::MAX);
        match self.number(&["relay", "nofiles"]) {
            Some(Err(fault)) => Finding::fail(
                "nofiles",
                format!("{} {fault}", self.conf.display()),
                remedy,
            ),
            Some(Ok(wanted)) if wanted > limit => Finding::fail(
                "nofiles",
                format!(
                    "relay.nofiles is {wanted}, but this user may open only {limit} files: every command of strfry fails"
                ),
                remedy,
            ),
            Some(Ok(wanted)) => Finding::ok("nofiles", format!("relay.nofiles is {wanted}")),
            None => Finding::ok("nofiles", "relay.nofiles is strfry's default"),
        }
    }

    fn judge_event_size(&self) -> Finding {
        let size = match self.number(&["events", "maxEventSize"]) {
            Some(Err(fault)) => {
                return Finding::fail(
                    "event_size",
                    format!("{} {fault}", self.conf.display()),
                    self.set(&["events", "maxEventSize"], LEAST_EVENT_SIZE),
                );
            }
            Some(Ok(size)) => size,
            None => LEAST_EVENT_SIZE,
        };
        if size < LEAST_EVENT_SIZE {
            return Finding::warn(
                "event_size",
                format!(
                    "events.maxEventSize is {size}: longer events of other stations, up to {LEAST_EVENT_SIZE} bytes, are left out here"
                ),
                self.set(&["events", "maxEventSize"], LEAST_EVENT_SIZE),
            );
        }
        let payload = match self.number(&["relay", "maxWebsocketPayloadSize"]) {
            Some(Ok(payload)) => payload,
            Some(Err(_)) | None => DEFAULT_PAYLOAD_SIZE,
        };
        if payload < size {
            return Finding::warn(
                "payload_size",
                format!(
                    "relay.maxWebsocketPayloadSize is {payload}, less than events.maxEventSize, {size}: the longest events cannot be sent to this relay"
                ),
                self.set(
                    &["relay", "maxWebsocketPayloadSize"],
                    size.saturating_mul(2),
                ),
            );
        }
        Finding::ok(
            "event_size",
            format!("events of up to {size} bytes are accepted"),
        )
    }

    fn judge_map(&self) -> Option<Finding> {
        let length = self.data_length?;
        let map = match self.number(&["dbParams", "mapsize"]) {
            Some(Ok(map)) => map,
            Some(Err(_)) | None => DEFAULT_MAP_SIZE,
        };
        let percent = u128::from(length) * 100 / u128::from(map.max(1));
        let text = format!(
            "the database has {} MB, {percent} % of dbParams.mapsize",
            length / (1024 * 1024)
        );
        let size = DEFAULT_MAP_SIZE.max(map.saturating_mul(2));
        let remedy = self
            .set(&["dbParams", "mapsize"], size)
            .run("sudo systemctl restart strfry");
        Some(match percent {
            0..80 => Finding::ok("map", text),
            80..95 => Finding::warn("map_full", text, remedy),
            _ => Finding::fail("map_full", text, remedy),
        })
    }

    fn judge_scan(&self) -> Option<Finding> {
        Some(match self.scan.as_ref()? {
            Ok(()) => Finding::ok("scan", "strfry answers a scan"),
            Err(why) if why.contains("NOFILES") => Finding::fail(
                "nofiles",
                format!("strfry does not start: {why}"),
                edit(
                    r"'s/^\s*relay\s*\{/&\n    nofiles = 0/'",
                    &quoted(&self.conf),
                ),
            ),
            Err(why) => Finding::fail(
                "strfry_refuses",
                format!("strfry does not answer a scan: {why}"),
                Remedy::from(format!(
                    "cd {} && {} --config=./strfry.conf scan --count '{{\"limit\":1}}'",
                    quoted(self.conf.parent().unwrap_or(&self.conf)),
                    quoted(&self.binary)
                ))
                .because("run it by hand"),
            ),
        })
    }
}

async fn version(strfry: &Strfry) -> Result<String, Trouble> {
    if !crate::support::program::is_program(strfry.binary()) {
        return Err(Trouble::Missing);
    }
    let broken = |why: String| Trouble::Broken(why);
    let mut command = Command::new(strfry.binary());
    command
        .arg("--version")
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    let output = timeout(VERSION_PATIENCE, command.output())
        .await
        .map_err(|_| Trouble::Slow)?
        .map_err(|error| broken(error.to_string()))?;
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let line = text.lines().map(str::trim).find(|line| !line.is_empty());
        line.map(ToOwned::to_owned)
    };
    if output.status.success() {
        Ok(text(&output.stdout).unwrap_or_else(|| "strfry".to_owned()))
    } else {
        let words = text(&output.stderr).unwrap_or_else(|| "it printed nothing".to_owned());
        Err(broken(format!("it ended with {}: {words}", output.status)))
    }
}

/// A scan that finds nothing and changes nothing.
async fn scan(strfry: &Strfry) -> Result<(), String> {
    let nobody = EventId::from_bytes([0; 32]);
    match timeout(SCAN_PATIENCE, strfry.event(nobody)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err(format!("no answer within {} s", SCAN_PATIENCE.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn facts(text: &str) -> Facts {
        Facts {
            binary: "/zen/strfry/strfry".into(),
            conf: "/zen/strfry/strfry.conf".into(),
            version: Ok("strfry 1.1.1".to_owned()),
            settings: Conf::parse(text.as_bytes(), Path::new("/nonexistent"))
                .map(Some)
                .map_err(ConfError::Fault),
            hard_limit: Some(20_000),
            data_length: Some(1_000_000),
            scan: Some(Ok(())),
        }
    }

    fn codes(facts: &Facts) -> Vec<(&'static str, Level)> {
        let findings = facts.judge();
        let bad = findings.iter().filter(|finding| finding.level != Level::Ok);
        bad.map(|finding| (finding.code, finding.level)).collect()
    }

    #[test]
    fn each_setting_has_its_bounds() {
        use Level::{Fail, Warn};
        for (text, expected) in [
            ("", None),
            ("relay { nofiles = 20000 }", None),
            ("relay { nofiles = 20001 }", Some(("nofiles", Fail))),
            ("relay { nofiles = many }", Some(("conf_faulty", Fail))),
            ("relay { nofiles = \"many\" }", Some(("nofiles", Fail))),
            ("relay.nofiles : 0x4e20", None),
            ("relay.nofiles : 0x4e21", Some(("nofiles", Fail))),
            (
                "relay.nofiles = (env \"FILES\")",
                Some(("conf_not_understood", Warn)),
            ),
            (
                "(include (env \"MORE\"))",
                Some(("conf_not_understood", Warn)),
            ),
            ("events { maxEventSize = 131072 }", None),
            (
                "events { maxEventSize = 131073 }",
                Some(("payload_size", Warn)),
            ),
            (
                "events { maxEventSize = 65535 }",
                Some(("event_size", Warn)),
            ),
            ("events { maxEventSize = big }", Some(("conf_faulty", Fail))),
            ("events { maxEventSize = 1.5 }", Some(("event_size", Fail))),
            ("dbParams { mapsize = 1250001 }", None),
            ("dbParams { mapsize = 1250000 }", Some(("map_full", Warn))),
            ("dbParams { mapsize = 1000000 }", Some(("map_full", Fail))),
            ("relay {", Some(("conf_faulty", Fail))),
        ] {
            let expected: Vec<_> = expected.into_iter().collect();
            assert_eq!(codes(&facts(text)), expected, "{text}");
        }
        let unlimited = Facts {
            hard_limit: None,
            ..facts("relay { nofiles = 1000000 }")
        };
        assert_eq!(codes(&unlimited), []);
    }

    #[test]
    fn what_strfry_says_counts_where_we_saw_nothing() {
        let saying = |words: &str| Facts {
            scan: Some(Err(words.to_owned())),
            ..facts("")
        };
        let words = "Unable to set NOFILES limit to 524288, exceeds max of 20000";
        assert_eq!(codes(&saying(words)), [("nofiles", Level::Fail)]);
        assert_eq!(
            codes(&saying("DB too old")),
            [("strfry_refuses", Level::Fail)]
        );
        let slow = Facts {
            version: Err(Trouble::Slow),
            ..facts("")
        };
        assert_eq!(codes(&slow), [("strfry_slow", Level::Warn)]);
        let known = Facts {
            scan: saying(words).scan,
            ..facts("relay { nofiles = 20001 }")
        };
        assert_eq!(codes(&known), [("nofiles", Level::Fail)]);
    }
}
