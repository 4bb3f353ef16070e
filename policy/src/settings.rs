//! Keeps the settings of the lists up to date: those of the command line, and those of
//! `strfry/constellation.toml` for whatever the command line leaves open.

use std::fs;

use constellation_shared::Station;
use constellation_shared::list_file::Signature;
use constellation_shared::settings::{ListSettings, Settings};
use tracing::{error, info, warn};

use crate::lists::Sources;

/// The current settings, and the state of the file that they come from.
#[derive(Debug)]
pub struct WatchedSettings {
    station: Station,
    given: ListSettings,
    known: Option<Signature>,
    /// The state at the last look. A file that stays in one state is complete.
    seen: Option<Signature>,
    current: ListSettings,
}

impl WatchedSettings {
    /// Reads the settings file of a station. Settings that are `given` elsewhere win over it.
    pub fn start(station: Station, given: ListSettings) -> Self {
        let known = signature(&station);
        let path = station.settings_file();
        let file = match Settings::load(&path) {
            Ok(settings) => {
                complain(&station, &settings);
                settings.lists
            }
            Err(why) => {
                error!(
                    "{} is not understood, {why}; until it is corrected, friends of other stations do not count, the lists are the usual ones, and if it names a rule for strangers, they write only what a filter accepts",
                    path.display()
                );
                ListSettings::strictest(&path)
            }
        };
        Self {
            current: given.clone().or(file),
            given,
            known,
            seen: known,
            station,
        }
    }

    /// The files that decide, by the current settings.
    pub fn sources(&self) -> Sources {
        self.station.clone().with_lists(self.current.clone()).into()
    }

    /// Looks whether the file has changed and stayed so. If that changes which files decide, it
    /// returns them. A file that is not understood changes nothing.
    pub fn look(&mut self) -> Option<Sources> {
        let now = signature(&self.station);
        if now == self.known {
            return None;
        }
        if self.seen != now {
            self.seen = now;
            return None;
        }
        self.known = now;
        let path = self.station.settings_file();
        let lists = match Settings::load(&path) {
            Ok(settings) => {
                complain(&self.station, &settings);
                self.given.clone().or(settings.lists)
            }
            Err(why) => {
                warn!(
                    "{} is not understood, {why}; what it said before still holds",
                    path.display()
                );
                return None;
            }
        };
        if lists == self.current {
            return None;
        }
        self.current = lists;
        info!("{}: other lists count from now on", path.display());
        Some(self.sources())
    }
}

/// Logs what is unknown in the file.
fn complain(station: &Station, settings: &Settings) {
    for complaint in &settings.complaints {
        warn!("{} {complaint}", station.settings_file().display());
    }
}

fn signature(station: &Station) -> Option<Signature> {
    let metadata = fs::metadata(station.settings_file()).ok()?;
    Some(Signature::from(&metadata))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_counts_once_it_stays_and_a_broken_one_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let station = Station::new(dir.path());
        fs::create_dir_all(station.strfry_dir()).unwrap();
        let write = |text: &str| fs::write(station.settings_file(), text).unwrap();
        let given = ListSettings::default();
        let mut settings = WatchedSettings::start(station.clone(), given.clone());
        assert!(settings.sources().swarm && settings.look().is_none());
        write("[lists]\nswarm = false\n");
        assert!(settings.look().is_none());
        assert!(!settings.look().unwrap().swarm);
        assert!(settings.look().is_none());
        write("[lists]\nswarm = perhaps, perhaps not\n");
        assert!(settings.look().is_none() && settings.look().is_none());
        assert!(!settings.sources().swarm);
        // A policy that starts now never read the file before it broke.
        assert!(
            !WatchedSettings::start(station.clone(), given)
                .sources()
                .swarm
        );
        fs::remove_file(station.settings_file()).unwrap();
        assert!(settings.look().is_none());
        assert!(settings.look().unwrap().swarm);
        let told = ListSettings {
            swarm: Some(false),
            ..ListSettings::default()
        };
        write("[lists]\nswarm = true\nblacklist = 'other'\n");
        let sources = WatchedSettings::start(station.clone(), told).sources();
        assert!(!sources.swarm);
        assert_eq!(sources.blacklist, station.strfry_dir().join("other"));
    }
}
