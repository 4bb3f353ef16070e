//! `doctor` about what the relay accepts: whether the policy has the filters that lie beside the plugin
//! whose place it took, and the rule for strangers that the station had; and whether the running policy
//! was started with what strfry.conf says.

use std::fs;
use std::path::{Path, PathBuf};

use constellation_shared::settings::PolicySettings;
use constellation_shared::verdict::Strangers;
use constellation_shared::{Station, counted};

use crate::commands::doctor::finding::{Finding, Remedy, quoted};
use crate::commands::install::PLUGIN;
use crate::commands::install::replaced::{filters_in, rule_before};
use crate::commands::install::rule::RelayRule;
use crate::strfry::plugin_line::PluginSettings;
use crate::strfry::process::{POLICY, Plugin};

/// The options that make the rule.
const OPTIONS: [&str; 2] = ["--strangers", "--filters"];

/// How many kinds are named in one finding.
const MOST_NAMED: usize = 40;

/// What is known of the rule.
#[derive(Debug)]
pub(crate) struct Facts {
    /// The rule of the policy as strfry.conf and the settings have it.
    now: RelayRule,
    /// The arguments that strfry.conf gives it.
    arguments: Vec<String>,
    /// The rule that the relay had before the install, if that is known.
    before: Option<RelayRule>,
    /// The folder beside the station's plugin, and the kinds of the filters in it.
    beside: PathBuf,
    kinds: Vec<u64>,
    /// The running policy, if there is one.
    running: Option<Plugin>,
    conf: PathBuf,
    /// Whether the policy stands in strfry.conf itself, and not behind the station's script.
    by_conf: bool,
}

impl Facts {
    /// Compares the policy at work with what the station had. `settings` is what the plugin line
    /// tells it, and `file` what the settings file says.
    pub(crate) fn gather(
        station: &Station,
        command: &str,
        settings: PluginSettings,
        file: &PolicySettings,
        running: Option<Plugin>,
    ) -> Self {
        let beside = station.root().join("workspace/NIP-101").join(PLUGIN);
        let beside = beside.with_file_name("filter");
        let PluginSettings {
            lists,
            policy,
            arguments,
            ..
        } = settings;
        Self {
            now: RelayRule {
                strangers: lists.strangers.unwrap_or_else(|| station.strangers()),
                // What the plugin line leaves open, the settings file says.
                filters: policy.filters.or_else(|| file.filters.clone()),
            },
            arguments,
            before: rule_before(station),
            kinds: filters_in(&beside),
            beside,
            running: running.filter(|plugin| plugin.name == POLICY),
            conf: station.strfry_dir().join("strfry.conf"),
            by_conf: !command.contains(PLUGIN),
        }
    }

    /// What is wrong with the rule.
    pub(crate) fn judge(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> = [self.judge_filters(), self.judge_strangers()]
            .into_iter()
            .flatten()
            .collect();
        findings.extend(self.judge_running());
        if findings.is_empty() {
            findings.push(Finding::ok(
                "rule",
                format!("the relay accepts {}", self.now),
            ));
        }
        findings
    }

    /// The command that has the policy accept what the relay accepted before.
    fn install(&self) -> String {
        let mut command = "constellation-sync install".to_owned();
        if self.by_conf {
            command.push_str(" --write-conf");
        }
        command
    }

    fn judge_filters(&self) -> Option<Finding> {
        let had_none = self
            .before
            .as_ref()
            .is_some_and(|rule| rule.filters.is_none());
        let has_them = self
            .now
            .filters
            .as_deref()
            .is_some_and(|folder| is_same(folder, &self.beside));
        if self.kinds.is_empty() || had_none || has_them {
            return None;
        }
        let kinds: Vec<String> = self
            .kinds
            .iter()
            .take(MOST_NAMED)
            .map(u64::to_string)
            .collect();
        let instead = match &self.now.filters {
            Some(folder) => format!("runs those in {} instead", folder.display()),
            None => "runs none of them".to_owned(),
        };
        let text = format!(
            "{} {} in {} (kinds {}), and the policy {instead}: what they reject is accepted, and what else they do is not done",
            counted(self.kinds.len() as u64, "filter"),
            if self.kinds.len() == 1 { "lies" } else { "lie" },
            self.beside.display(),
            kinds.join(", ")
        );
        let remedy = match self.before {
            Some(_) => Remedy::from(self.install()),
            None => Remedy::from(format!("nano {}", quoted(&self.conf))).because(format!(
                "write in the plugin line: {POLICY} --filters {}",
                quoted(&self.beside)
            )),
        };
        Some(Finding::fail("filters_not_run", text, remedy))
    }

    fn judge_strangers(&self) -> Option<Finding> {
        let before = self.before.as_ref()?;
        let opened =
            before.strangers == Strangers::Filters && self.now.strangers == Strangers::Accept;
        opened.then(|| {
            Finding::fail(
                "strangers_let_in",
                "strangers may write everything here, and before the install they could write only what a filter accepted",
                Remedy::from(self.install()).because(format!(
                    "this brings the former rule back; if the new one is wanted: {} --strangers accept",
                    self.install()
                )),
            )
        })
    }

    fn judge_running(&self) -> Option<Finding> {
        let running = self.running.as_ref()?;
        if running.is_outdated || rule_options(&running.arguments) == rule_options(&self.arguments)
        {
            return None;
        }
        let text = format!(
            "the running policy (process {}) was started with another rule than {} names: {} there, {} here",
            running.pid,
            self.conf.display(),
            shown(&running.arguments),
            shown(&self.arguments)
        );
        Some(Finding::warn(
            "rule_not_taken_up",
            text,
            "sudo systemctl restart strfry",
        ))
    }
}

/// The values of the options that make the rule.
fn rule_options(arguments: &[String]) -> [Option<&str>; 2] {
    OPTIONS.map(|option| {
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            if word == option {
                return words.next().map(String::as_str);
            }
            let value = word
                .strip_prefix(option)
                .and_then(|rest| rest.strip_prefix('='));
            if value.is_some() {
                return value;
            }
        }
        None
    })
}

fn shown(arguments: &[String]) -> String {
    let told = OPTIONS.into_iter().zip(rule_options(arguments));
    let told: Vec<String> = told
        .filter_map(|(option, value)| Some(format!("{option} {}", value?)))
        .collect();
    if told.is_empty() {
        "neither --strangers nor --filters".to_owned()
    } else {
        told.join(" ")
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    real(one) == real(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;

    fn rule(strangers: Strangers, filters: Option<&str>) -> RelayRule {
        RelayRule {
            strangers,
            filters: filters.map(PathBuf::from),
        }
    }

    fn facts() -> Facts {
        let filters = rule(Strangers::Filters, Some("/filter"));
        Facts {
            now: filters.clone(),
            arguments: ["--strangers", "filters", "--filters=/filter"]
                .map(str::to_owned)
                .to_vec(),
            before: Some(filters),
            beside: "/filter".into(),
            kinds: vec![1, 7],
            running: None,
            conf: "/zen/strfry/strfry.conf".into(),
            by_conf: false,
        }
    }

    fn running(arguments: &[&str]) -> Option<Plugin> {
        Some(Plugin {
            pid: 7,
            name: POLICY.to_owned(),
            is_outdated: false,
            arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
        })
    }

    #[test]
    fn what_the_relay_lost_is_named() {
        let judge = |change: &dyn Fn(&mut Facts)| {
            let mut facts = facts();
            change(&mut facts);
            let findings = facts.judge();
            let codes = findings.iter().map(|finding| finding.code);
            codes.collect::<Vec<_>>()
        };
        assert_eq!(judge(&|_| ()), ["rule"]);
        let accept = |filters| rule(Strangers::Accept, filters);
        assert_eq!(
            judge(&|facts| facts.now = accept(None)),
            ["filters_not_run", "strangers_let_in"]
        );
        assert_eq!(
            judge(&|facts| facts.now = accept(Some("/filter"))),
            ["strangers_let_in"]
        );
        assert_eq!(
            judge(&|facts| facts.now = rule(Strangers::Filters, Some("/other"))),
            ["filters_not_run"]
        );
        // A captain without an install, and one whose plugin ran no filters.
        assert_eq!(
            judge(&|facts| (facts.now, facts.before) = (accept(None), None)),
            ["filters_not_run"]
        );
        assert_eq!(
            judge(&|facts| (facts.now, facts.before) = (accept(None), Some(accept(None)))),
            ["rule"]
        );
        assert_eq!(
            judge(
                &|facts| facts.running = running(&["--strangers=filters", "--filters", "/filter"])
            ),
            ["rule"]
        );
        assert_eq!(
            judge(&|facts| facts.running = running(&[])),
            ["rule_not_taken_up"]
        );
    }

    #[test]
    fn the_remedy_is_the_command_that_mends_it() {
        let mut facts = facts();
        facts.now = rule(Strangers::Accept, None);
        let remedies = |facts: &Facts| -> Vec<String> {
            let findings = facts.judge();
            assert!(findings.iter().all(|finding| finding.level == Level::Fail));
            findings
                .into_iter()
                .filter_map(|finding| finding.remedy)
                .collect()
        };
        assert_eq!(
            remedies(&facts),
            ["constellation-sync install", "constellation-sync install"]
        );
        facts.by_conf = true;
        assert_eq!(
            remedies(&facts)[0],
            "constellation-sync install --write-conf"
        );
        facts.before = None;
        assert_eq!(remedies(&facts), ["nano /zen/strfry/strfry.conf"]);
        let line = "write in the plugin line: constellation-policy --filters /filter";
        assert_eq!(facts.judge()[0].explanation.as_deref(), Some(line));
    }
}
