//! [`RelayRule`]: what a relay accepts from whom, besides the blacklist.

use std::fmt;
use std::path::PathBuf;

use constellation_shared::verdict::Strangers;
use serde::{Deserialize, Serialize};

use crate::commands::install::former::FormerRule;
use crate::support::shell_words::quoted;

/// For how long a filter that is too late for its event may go on, in seconds. The station's plugin
/// never killed one.
const GRACE: u64 = 300;

/// What a relay accepts, besides the blacklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayRule {
    /// What authors may write who are in no list.
    #[serde(with = "strangers")]
    pub strangers: Strangers,
    /// The folder of the filters, if they are run.
    pub filters: Option<PathBuf>,
}

mod strangers {
    use constellation_shared::verdict::Strangers;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        rule: &Strangers,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(rule.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Strangers, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl RelayRule {
    /// The policy's options for this rule. Filters may take this many seconds.
    pub(crate) fn options(&self, seconds: u64) -> String {
        let strangers = format!("--strangers {}", self.strangers);
        match &self.filters {
            Some(folder) => format!(
                "{strangers} --filters {} --filter-timeout {seconds} --filter-grace {GRACE}",
                quoted(folder)
            ),
            None => strangers,
        }
    }

    /// Whether it is what the policy does without options.
    pub(crate) fn is_default(&self) -> bool {
        self.strangers == Strangers::default() && self.filters.is_none()
    }
}

impl fmt::Display for RelayRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = FormerRule {
            strangers: self.strangers,
            runs_filters: self.filters.is_some(),
            knows_stations: true,
        };
        rule.fmt(f)
    }
}
