//! The settings that both programs understand: the lists, and what the policy does.

use std::path::PathBuf;
use std::time::Duration;

use crate::kinds::KindList;
use crate::settings::entry::Entry;
use crate::verdict::Strangers;

/// Settings of the lists from one source. `None` if the source does not mention them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListSettings {
    /// The list of the keys that may not write.
    pub blacklist: Option<PathBuf>,
    /// The lists of this station's friends of friends.
    pub amis: Option<Vec<PathBuf>>,
    /// Whether the friends of other stations count.
    pub swarm: Option<bool>,
    /// What authors may write who are in no list.
    pub strangers: Option<Strangers>,
}

impl ListSettings {
    /// Fills in the settings that are missing here from a weaker source.
    #[must_use]
    pub fn or(self, weaker: Self) -> Self {
        Self {
            blacklist: self.blacklist.or(weaker.blacklist),
            amis: self.amis.or(weaker.amis),
            swarm: self.swarm.or(weaker.swarm),
            strangers: self.strangers.or(weaker.strangers),
        }
    }

    /// Takes an entry if it is about the lists.
    pub(super) fn take(&mut self, entry: &Entry) -> Result<(), String> {
        let mut paths = entry.words.iter().map(PathBuf::from);
        match entry.name {
            "blacklist" => self.blacklist = paths.next(),
            "amis" => self.amis = Some(paths.collect()),
            "swarm" | "no-swarm" if self.swarm.is_some() => {
                return Err("swarm and no-swarm say the same: write only one of them".to_owned());
            }
            "swarm" => self.swarm = entry.flag(),
            "no-swarm" => self.swarm = entry.flag().map(|flag| !flag),
            "strangers" => {
                let rule = entry.text().and_then(|text| text.parse().ok());
                let wrong = || "strangers is not \"accept\" or \"filters\"".to_owned();
                self.strangers = Some(rule.ok_or_else(wrong)?);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Settings of the policy besides the lists, from one source. `None` if the source does not mention
/// them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicySettings {
    /// The folder of the filters.
    pub filters: Option<PathBuf>,
    /// For how long the answer of a filter is waited for.
    pub filter_timeout: Option<Duration>,
    /// For how long a filter that is too late may go on.
    pub filter_grace: Option<Duration>,
    /// Whether the lines of pardoned authors stay in the blacklist.
    pub no_remove: Option<bool>,
    /// Whether blocked authors are told that their events were accepted.
    pub shadow: Option<bool>,
    /// How much is logged: one of [`LOG_LEVELS`].
    pub log: Option<String>,
}

/// How much the policy can log, from nothing to everything.
pub const LOG_LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl PolicySettings {
    /// Fills in the settings that are missing here from a weaker source.
    #[must_use]
    pub fn or(self, weaker: Self) -> Self {
        Self {
            filters: self.filters.or(weaker.filters),
            filter_timeout: self.filter_timeout.or(weaker.filter_timeout),
            filter_grace: self.filter_grace.or(weaker.filter_grace),
            no_remove: self.no_remove.or(weaker.no_remove),
            shadow: self.shadow.or(weaker.shadow),
            log: self.log.or(weaker.log),
        }
    }

    /// Takes an entry if it is about the policy.
    pub(super) fn take(&mut self, entry: &Entry) -> Result<(), String> {
        let text = entry.text().unwrap_or_default();
        let wrong = |why: String| format!("{} is {why}", entry.name);
        match entry.name {
            "filters" => self.filters = entry.words.first().map(PathBuf::from),
            "filter-timeout" => self.filter_timeout = Some(timeout(text).map_err(wrong)?),
            "filter-grace" => self.filter_grace = Some(grace(text).map_err(wrong)?),
            "no-remove" => self.no_remove = entry.flag(),
            "shadow" => self.shadow = entry.flag(),
            "log" => {
                if !LOG_LEVELS.contains(&text) {
                    return Err(wrong(format!("none of {}", LOG_LEVELS.join(", "))));
                }
                self.log = Some(text.to_owned());
            }
            _ => {}
        }
        Ok(())
    }
}

/// Parses the time that a filter may take, in seconds: above 0 and at most an hour.
///
/// # Errors
/// What would be right, in words.
pub fn timeout(text: &str) -> Result<Duration, String> {
    let time = seconds(text).filter(|time| !time.is_zero());
    time.ok_or_else(|| "not a number of seconds above 0, at most 3600".to_owned())
}

/// Parses the time that a filter may go on after its event was rejected, in seconds: at most an hour.
///
/// # Errors
/// What would be right, in words.
pub fn grace(text: &str) -> Result<Duration, String> {
    seconds(text).ok_or_else(|| "not a number of seconds from 0 to 3600".to_owned())
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.parse().ok().filter(|seconds| *seconds <= 3600.0)?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// The kinds that the backfill fetches. `None` if the file does not mention them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncSettings {
    /// The kinds that are fetched.
    pub kinds: Option<KindList>,
    /// The kinds that are fetched whoever wrote them.
    pub any_author_kinds: Option<KindList>,
}

impl SyncSettings {
    /// Takes an entry if it is about kinds.
    pub(super) fn take(&mut self, entry: &Entry) -> Result<(), String> {
        let list = match entry.name {
            "kinds" => &mut self.kinds,
            "any-author-kinds" => &mut self.any_author_kinds,
            _ => return Ok(()),
        };
        let kinds = entry.text().unwrap_or_default().parse();
        *list = Some(kinds.map_err(|error| format!("{} is passed over: {error}", entry.name))?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_above_0_and_at_most_an_hour() {
        for (text, milliseconds) in [("0.5", 500), ("30", 30_000), ("3600", 3_600_000)] {
            let time = Duration::from_millis(milliseconds);
            assert_eq!(timeout(text), Ok(time), "{text}");
        }
        assert_eq!(grace("0"), Ok(Duration::ZERO));
        assert!(grace("-1").is_err() && grace("3600.1").is_err());
        for text in ["0", "-1", "3600.1", "1e99", "NaN", "inf", "soon", ""] {
            assert!(timeout(text).is_err(), "{text}");
        }
    }
}
