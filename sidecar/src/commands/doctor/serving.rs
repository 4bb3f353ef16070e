//! `doctor` about the running strfry: whether it uses our policy, and whether it notices changes of
//! its conf.
//!
//! strfry starts its plugin when somebody writes the first event, and a changed plugin line takes
//! effect with the next event. So it is the running process that shows which plugin decides.

use std::path::{Path, PathBuf};

use crate::commands::doctor::finding::{Finding, Remedy, quoted};
use crate::strfry::process::{POLICY, Plugin, Relay};
use crate::support::sanitize::for_terminal;

/// How much of a program's name is shown, in characters.
const LONGEST: usize = 60;

/// The command that makes strfry read its conf and start its plugin.
const RESTART: &str = "sudo systemctl restart strfry";

/// What is known of it.
#[derive(Debug)]
pub(crate) struct Facts {
    conf: PathBuf,
    /// The program whose change restarts the plugin.
    program: Option<PathBuf>,
    relay: Option<Relay>,
}

impl Facts {
    /// Looks for the strfry that works in this folder; `program` is the plugin line's.
    pub(crate) fn gather(folder: &Path, program: Option<&Path>) -> Self {
        Self {
            conf: folder.join("strfry.conf"),
            program: program.map(Path::to_owned),
            relay: Relay::find(folder),
        }
    }

    /// The running plugin, if there is one.
    pub(crate) fn plugin(&self) -> Option<Plugin> {
        self.relay.as_ref()?.plugin.clone()
    }

    /// What is wrong with it.
    pub(crate) fn judge(&self) -> Vec<Finding> {
        let Some(relay) = &self.relay else {
            let text = "no strfry of this station is running, so it was not checked whether it uses the policy";
            return vec![Finding::unknown("serving_unknown", text, RESTART)];
        };
        let mut findings = vec![self.judge_plugin(relay)];
        if relay.watches_conf == Some(false) {
            findings.push(Finding::warn(
                "conf_not_watched",
                format!(
                    "strfry (process {}) watches a file that {} has replaced, so it notices no change of the settings",
                    relay.pid,
                    self.conf.display()
                ),
                RESTART,
            ));
        }
        findings
    }

    fn judge_plugin(&self, relay: &Relay) -> Finding {
        let pid = relay.pid;
        match &relay.plugin {
            None => Finding::unknown(
                "serving_unknown",
                format!(
                    "strfry (process {pid}) has not started the policy yet, so it was not checked whether it uses it"
                ),
                Remedy::explain(
                    "strfry starts it when somebody writes the next event: look again then",
                ),
            ),
            Some(Plugin {
                pid: plugin,
                name,
                is_outdated: true,
                ..
            }) if name == POLICY => Finding::warn(
                "plugin_outdated",
                format!(
                    "strfry (process {pid}) still uses the policy as it was before its program was replaced (process {plugin})"
                ),
                self.program.as_ref().map_or_else(
                    || Remedy::from(RESTART),
                    |program| {
                        Remedy::from(format!("touch {}", quoted(program))).because(
                            "strfry starts the new one when somebody writes the next event",
                        )
                    },
                ),
            ),
            Some(Plugin {
                pid: plugin, name, ..
            }) if name == POLICY => Finding::ok(
                "serving",
                format!("strfry (process {pid}) uses the policy (process {plugin})"),
            ),
            Some(Plugin {
                pid: plugin, name, ..
            }) => Finding::warn(
                "plugin_not_taken_up",
                format!(
                    "strfry (process {pid}) uses another plugin: {} (process {plugin}); if it has noticed the change of its conf, that changes when somebody writes the next event",
                    for_terminal(name, LONGEST)
                ),
                Remedy::from(RESTART).because("if it stays so"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;

    #[test]
    fn what_runs_is_what_decides() {
        let judge = |plugin: Option<(&str, bool)>, watches_conf| {
            let plugin = plugin.map(|(name, is_outdated)| Plugin {
                pid: 8,
                name: name.to_owned(),
                is_outdated,
                arguments: Vec::new(),
            });
            let relay = Relay {
                pid: 7,
                plugin,
                watches_conf,
            };
            let facts = Facts {
                conf: "/zen/strfry/strfry.conf".into(),
                program: Some("/usr/bin/constellation-policy".into()),
                relay: Some(relay),
            };
            let findings = facts.judge();
            let bad = findings
                .into_iter()
                .filter(|found| found.level != Level::Ok);
            bad.map(|finding| finding.code).collect::<Vec<_>>()
        };
        let none: [&str; 0] = [];
        assert_eq!(judge(None, None), ["serving_unknown"]);
        assert_eq!(judge(Some((POLICY, false)), Some(true)), none);
        assert_eq!(judge(Some((POLICY, true)), Some(true)), ["plugin_outdated"]);
        assert_eq!(judge(Some(("cat", false)), None), ["plugin_not_taken_up"]);
        assert_eq!(
            judge(Some((POLICY, false)), Some(false)),
            ["conf_not_watched"]
        );
    }
}
