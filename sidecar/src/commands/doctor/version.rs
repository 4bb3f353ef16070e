//! `doctor` about strfry's version: whether the running one is the one on the disk, and whether it has
//! known faults.

use crate::commands::doctor::finding::{Finding, Remedy};

/// The command that starts the strfry on the disk in place of the running one.
const RESTART: &str = "sudo systemctl restart strfry";

/// A version number.
type Number = [u32; 3];

/// Before this, strfry's reconciliation was not that of NIP-77 (strfry's CHANGES, 1.0.0).
const NIP77: Number = [1, 0, 0];

/// Before this, its library for WebSockets could make it crash (strfry's CHANGES, 1.1.1).
const STEADY: Number = [1, 1, 1];

/// What is known of the versions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// What the program on the disk says, if it says anything.
    pub on_disk: Option<String>,
    /// The software and the version that the running relay names (NIP-11), if it answers.
    pub by_relay: Option<String>,
    /// Whether the running process was started from a program that has been replaced since; `None`
    /// if that cannot be seen.
    pub is_replaced: Option<bool>,
}

impl Facts {
    /// What is wrong with them.
    pub(crate) fn judge(&self) -> Vec<Finding> {
        let mut findings = vec![self.judge_running()];
        let running = self.by_relay.as_deref().and_then(version);
        let running = running.or(self.on_disk.as_deref().and_then(version));
        findings.extend(running.and_then(judge_age));
        findings
    }

    fn judge_running(&self) -> Finding {
        let on_disk = self.on_disk.as_deref().and_then(version);
        let by_relay = self.by_relay.as_deref().and_then(version);
        let differs = on_disk
            .zip(by_relay)
            .map(|(on_disk, running)| on_disk != running);
        let named = |version: Option<&str>| version.map(|version| format!(" {version}"));
        if self.is_replaced == Some(true) || differs == Some(true) {
            return Finding::warn(
                "strfry_outdated",
                format!(
                    "the running strfry{} is not the one on the disk{}: it was replaced since it was started",
                    named(by_relay).unwrap_or_default(),
                    named(on_disk).unwrap_or_default()
                ),
                RESTART,
            );
        }
        match (differs, self.is_replaced) {
            (Some(false), _) | (None, Some(false)) => Finding::ok(
                "strfry_version",
                format!(
                    "the running strfry is the one on the disk{}",
                    named(on_disk).unwrap_or_default()
                ),
            ),
            _ => Finding::unknown(
                "strfry_version_unknown",
                "which version of strfry is running cannot be seen: it names none, or does not run",
                Remedy::from("systemctl status strfry --no-pager").because(
                    "if the program was replaced since strfry was started, restart strfry",
                ),
            ),
        }
    }
}

/// Which faults a version has that a newer one has not.
fn judge_age(version: &str) -> Option<Finding> {
    let number = number(version)?;
    let fault = if number < NIP77 {
        "it cannot be reconciled with (NIP-77), so everything is paged through, by other stations, too; strfry 1.0.0 needs the database exported and imported anew"
    } else if number < STEADY {
        "it may crash (a fault in its library for WebSockets, mended in 1.1.1)"
    } else {
        return None;
    };
    Some(Finding::warn(
        "strfry_old",
        format!("strfry {version} is old: {fault}"),
        Remedy::explain("install a newer strfry with the station's setup, and restart it"),
    ))
}

/// The word of a text that is a version, such as `1.1.1-144-gf8a56a8`.
fn version(text: &str) -> Option<&str> {
    text.split_whitespace().find(|word| number(word).is_some())
}

/// The number that a version begins with.
fn number(version: &str) -> Option<Number> {
    let version = version.strip_prefix('v').unwrap_or(version);
    let mut parts = version.split(['.', '-']);
    let mut number = [0; 3];
    for (index, place) in number.iter_mut().enumerate() {
        match parts.next().map(str::parse) {
            Some(Ok(part)) => *place = part,
            _ if index < 2 => return None,
            _ => {}
        }
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(on_disk: &str, by_relay: &str, is_replaced: Option<bool>) -> Vec<&'static str> {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let facts = Facts {
            on_disk: text(on_disk),
            by_relay: text(by_relay),
            is_replaced,
        };
        facts.judge().iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn a_strfry_that_was_replaced_is_to_be_restarted() {
        let new = "strfry 1.1.1-144-gf8a56a8";
        let by_relay = "git+https://github.com/hoytech/strfry.git 1.1.1-144-gf8a56a8";
        assert_eq!(codes(new, by_relay, None), ["strfry_version"]);
        assert_eq!(codes(new, by_relay, Some(false)), ["strfry_version"]);
        assert_eq!(codes(new, by_relay, Some(true)), ["strfry_outdated"]);
        assert_eq!(codes(new, "strfry 1.1.1", Some(false)), ["strfry_outdated"]);
        assert_eq!(codes(new, "strfry", Some(false)), ["strfry_version"]);
        assert_eq!(codes(new, "strfry", None), ["strfry_version_unknown"]);
        assert_eq!(codes("", "", None), ["strfry_version_unknown"]);
    }

    #[test]
    fn old_versions_have_known_faults() {
        let old = |version: &str| codes(version, version, None);
        for version in ["strfry 0.9.7", "strfry 1.0.4", "v1.1.0", "1.1"] {
            assert_eq!(old(version), ["strfry_version", "strfry_old"], "{version}");
        }
        for version in ["strfry 1.1.1", "strfry 1.1.1-144-gf8a56a8", "2.0.0"] {
            assert_eq!(old(version), ["strfry_version"], "{version}");
        }
    }
}
