//! Keeps the settings up to date: those of the command line, and those of
//! `strfry/constellation.toml` for whatever the command line leaves open.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use constellation_shared::Station;
use constellation_shared::list_file::Signature;
use constellation_shared::settings::{ListSettings, PolicySettings, Settings};
use tracing::level_filters::LevelFilter;
use tracing::{error, info, warn};

use crate::filters::Limits;
use crate::lists::Sources;

/// How long a filter may take if nothing says otherwise.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What the command line and the environment say. They win over the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// About the lists and the rule for strangers.
    pub lists: ListSettings,
    /// About the rest.
    pub policy: PolicySettings,
}

/// What the policy does, besides what the lists say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conduct {
    /// Whose filters are asked.
    pub filters: FilterFolder,
    /// How long a filter may take.
    pub limits: Limits,
    /// Whether the lines of pardoned authors are removed from the blacklist.
    pub remove: bool,
    /// Whether blocked authors are told that their events were accepted.
    pub shadow: bool,
    /// How much is logged.
    pub log: LevelFilter,
}

/// The folder of the filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterFolder {
    /// There are no filters.
    None,
    /// They are in this folder.
    At(PathBuf),
    /// A file that is not understood may name one.
    Unknown,
}

/// What a change of the file changes.
#[derive(Debug, Default)]
pub struct Change {
    /// Which files decide from now on, if these are others.
    pub sources: Option<Sources>,
    /// What the policy does from now on, if that is something else.
    pub conduct: Option<Conduct>,
}

/// The current settings, and the state of the file that they come from.
#[derive(Debug)]
pub struct WatchedSettings {
    station: Station,
    given: Given,
    known: Option<Signature>,
    /// The state at the last look. A file that stays in one state is complete.
    seen: Option<Signature>,
    lists: ListSettings,
    conduct: Conduct,
    /// What the file says of strangers.
    strangers_by_file: ListSettings,
}

impl WatchedSettings {
    /// Reads the settings file of a station. Settings that are `given` elsewhere win over it.
    pub fn start(station: Station, given: Given) -> Self {
        let known = signature(&station);
        let path = station.settings_file();
        let settings = Settings::load(&path);
        complain(&station, &settings);
        if station.has_given_settings_file() && known.is_none() {
            warn!(
                "{} is not there: until it is, no setting in it counts; check --config or CONSTELLATION_CONFIG",
                path.display()
            );
        }
        let file = settings.strictest_lists();
        let mut conduct = conduct(&given, settings.policy.clone());
        if let Some(why) = &settings.fault {
            let mentioned = settings.mentioned;
            let mut consequence = String::new();
            if mentioned.filters && given.policy.filters.is_none() {
                conduct.filters = FilterFolder::Unknown;
                consequence.push_str(", and as it may name filters, every event is rejected");
            }
            conduct.remove &= !mentioned.no_remove;
            error!(
                "{} is not understood, {why}; until it is corrected, friends of other stations do not count, the lists are the usual ones, and if it names a rule for strangers, they write only what a filter accepts{consequence}",
                path.display()
            );
        }
        Self {
            lists: given.lists.clone().or(file.clone()),
            strangers_by_file: file,
            conduct,
            given,
            known,
            seen: known,
            station,
        }
    }

    /// The files that decide, by the current settings.
    pub fn sources(&self) -> Sources {
        self.station.clone().with_lists(self.lists.clone()).into()
    }

    /// What the policy does, by the current settings.
    pub const fn conduct(&self) -> &Conduct {
        &self.conduct
    }

    /// Whether the rule for strangers, or the folder of the filters, comes from the file.
    pub fn has_rule_of_file(&self) -> bool {
        let has_filters = self.conduct.filters != FilterFolder::None;
        (self.given.lists.strangers.is_none() && self.strangers_by_file.strangers.is_some())
            || (self.given.policy.filters.is_none() && has_filters)
    }

    /// Looks whether the file has changed and stayed so, and returns what that changes. A file that is
    /// not understood changes nothing.
    pub fn look(&mut self) -> Option<Change> {
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
        let settings = Settings::load(&path);
        complain(&self.station, &settings);
        if let Some(why) = &settings.fault {
            warn!(
                "{} is not understood, {why}; what it said before still holds",
                path.display()
            );
            return None;
        }
        let mut change = Change::default();
        let lists = self.given.lists.clone().or(settings.lists.clone());
        self.strangers_by_file = settings.lists;
        if lists != self.lists {
            self.lists = lists;
            info!("{}: other lists count from now on", path.display());
            change.sources = Some(self.sources());
        }
        let conduct = conduct(&self.given, settings.policy);
        if conduct != self.conduct {
            self.conduct = conduct;
            info!(
                "{}: {} from now on",
                path.display(),
                described(&self.conduct)
            );
            change.conduct = Some(self.conduct.clone());
        }
        (change.sources.is_some() || change.conduct.is_some()).then_some(change)
    }
}

/// What the policy does if the file says this.
fn conduct(given: &Given, file: PolicySettings) -> Conduct {
    let settings = given.policy.clone().or(file);
    Conduct {
        filters: settings
            .filters
            .map_or(FilterFolder::None, FilterFolder::At),
        limits: Limits {
            timeout: settings.filter_timeout.unwrap_or(TIMEOUT),
            grace: settings.filter_grace.unwrap_or_default(),
        },
        remove: !settings.no_remove.unwrap_or_default(),
        shadow: settings.shadow.unwrap_or_default(),
        log: settings
            .log
            .and_then(|level| level.parse().ok())
            .unwrap_or(LevelFilter::INFO),
    }
}

/// What the policy does, in words.
fn described(conduct: &Conduct) -> String {
    let filters = match &conduct.filters {
        FilterFolder::At(folder) => format!(
            "the filters in {} are asked for at most {:?}",
            folder.display(),
            conduct.limits.timeout
        ),
        FilterFolder::None | FilterFolder::Unknown => "no filter is asked".to_owned(),
    };
    let told = if conduct.shadow {
        "blocked authors are told that their events were accepted"
    } else {
        "blocked authors are told so"
    };
    let lines = if conduct.remove { "leave" } else { "stay in" };
    format!("{filters}, {told}, and lines of friends and members {lines} the blacklist")
}

/// Logs what is wrong or unknown in the file.
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

    struct Case {
        _dir: tempfile::TempDir,
        station: Station,
    }

    impl Case {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let station = Station::new(dir.path());
            fs::create_dir_all(station.strfry_dir()).unwrap();
            Self { _dir: dir, station }
        }

        fn write(&self, text: &str) {
            fs::write(self.station.settings_file(), text).unwrap();
        }

        fn start(&self, given: Given) -> WatchedSettings {
            WatchedSettings::start(self.station.clone(), given)
        }
    }

    /// Looks until a change counts.
    fn changed(settings: &mut WatchedSettings) -> Option<Change> {
        settings.look().or_else(|| settings.look())
    }

    #[test]
    fn a_changed_file_counts_once_it_stays_and_a_broken_one_changes_nothing() {
        let case = Case::new();
        let mut settings = case.start(Given::default());
        assert!(settings.sources().swarm && settings.look().is_none());
        case.write("[lists]\nswarm = false\n");
        assert!(settings.look().is_none());
        let change = settings.look().unwrap();
        assert!(!change.sources.unwrap().swarm && change.conduct.is_none());
        assert!(settings.look().is_none());
        case.write("[lists]\nswarm = perhaps, perhaps not\n");
        assert!(settings.look().is_none() && settings.look().is_none());
        assert!(!settings.sources().swarm);
        // A policy that starts now never read the file before it broke.
        assert!(!case.start(Given::default()).sources().swarm);
        fs::remove_file(case.station.settings_file()).unwrap();
        assert!(settings.look().is_none());
        assert!(settings.look().unwrap().sources.unwrap().swarm);
        let mut told = Given::default();
        told.lists.swarm = Some(false);
        case.write("[lists]\nswarm = true\nblacklist = 'other'\n");
        let sources = case.start(told).sources();
        assert!(!sources.swarm);
        assert_eq!(sources.blacklist, case.station.strfry_dir().join("other"));
    }

    #[test]
    fn what_the_policy_does_follows_the_file_and_the_command_line_wins() {
        let case = Case::new();
        let mut told = Given::default();
        told.policy.shadow = Some(false);
        let mut settings = case.start(told);
        assert_eq!(settings.conduct().limits.timeout, TIMEOUT);
        case.write(
            "[policy]\nfilters = \"f\"\nfilter-timeout = 2\nfilter-grace = 3\nshadow = true\n\
             no-remove = true\nlog = \"debug\"\n",
        );
        let conduct = changed(&mut settings).unwrap().conduct.unwrap();
        let expected = Conduct {
            filters: FilterFolder::At(case.station.strfry_dir().join("f")),
            limits: Limits {
                timeout: Duration::from_secs(2),
                grace: Duration::from_secs(3),
            },
            remove: false,
            shadow: false,
            log: LevelFilter::DEBUG,
        };
        assert_eq!(conduct, expected);
        // Half an edit.
        case.write("[policy]\nfilters = \"f\"\nfilter-tim");
        assert!(changed(&mut settings).is_none());
        assert_eq!(settings.conduct(), &expected);
        case.write("[policy]\nfilters = \"f\"\n");
        let conduct = changed(&mut settings).unwrap().conduct.unwrap();
        assert_eq!((conduct.limits.timeout, conduct.remove), (TIMEOUT, true));
    }

    #[test]
    fn a_file_that_is_broken_at_the_start_is_taken_for_the_strictest_that_it_may_say() {
        let case = Case::new();
        let start = |text: &str, given: Given| {
            case.write(text);
            case.start(given)
        };
        let none = Given::default;
        let filters = |text: &str| start(text, none()).conduct().filters.clone();
        let (usual, unknown) = (FilterFolder::None, FilterFolder::Unknown);
        assert_eq!(
            filters("[policy]\nfilters = \"/f\nshadow = true\n"),
            unknown
        );
        assert_eq!(filters("[policy]\nfilters = \"/f\"\nshadow = 1\n"), unknown);
        assert_eq!(filters("[policy]\n# filters = \"/f\"\nshadow = 1\n"), usual);
        assert_eq!(filters("[policy]\nstrangers = \"filters\"\nx"), usual);
        let mut told = none();
        told.policy.filters = Some("/f".into());
        let settings = start("[policy]\nfilters = 1\n", told);
        assert_eq!(settings.conduct().filters, FilterFolder::At("/f".into()));
        let removes = |text: &str| start(text, none()).conduct().remove;
        assert!(!removes("[policy]\nno-remove = tru") && removes("[policy]\nlog = 1"));
        // Mended, it counts.
        let mut settings = start("[policy]\nfilters = \"/f\nshadow = true\n", none());
        case.write("[policy]\nfilters = \"/f\"\nshadow = true\n");
        let conduct = changed(&mut settings).unwrap().conduct.unwrap();
        assert_eq!(conduct.filters, FilterFolder::At("/f".into()));
    }
}
