//! `doctor` about the plugin line of `strfry.conf`: whether it names our policy, and whether the policy
//! answers correctly on [`trial`].

pub(crate) mod trial;

use std::env;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use constellation_shared::regular_file;

use crate::commands::doctor::finding::{Finding, Remedy, quoted, quoted_text};
use crate::strfry::plugin_line::{self, PluginSettings};
use crate::strfry::process::POLICY;
use crate::support::unix_user::{ENTER, READ, UnixUser};

/// The code of the finding that our policy does not answer as it should.
pub(crate) const NO_ANSWER: &str = "plugin_no_answer";

/// How much of a script is searched for the policy's name, in bytes.
const LONGEST_SCRIPT: u64 = 64 * 1024;

/// What is known of the plugin.
#[derive(Debug)]
pub(crate) struct Facts {
    conf: PathBuf,
    /// The value of the line; empty if there is none.
    command: String,
    /// The program that the line starts, if it exists.
    program: Option<PathBuf>,
    /// Whether it is our policy, or a script that calls it.
    is_ours: bool,
    /// Whether the line names the station's folder (`--zen`).
    says_where: bool,
    /// What keeps strfry's user from running it.
    closed: Option<Closed>,
    /// Whether strfry runs as another user than this program.
    other_user: bool,
    /// The answers of our own policy to trial requests, or why there are none.
    answers: Option<Result<Vec<String>, String>>,
    /// What the line tells our policy; nothing if that is not understood.
    settings: PluginSettings,
}

/// What keeps strfry's user from running the plugin.
#[derive(Debug)]
struct Closed {
    /// The folder that the user cannot enter, or the program itself.
    obstacle: PathBuf,
    /// The name of the user.
    user: String,
}

impl Closed {
    fn judge(&self, program: &Path) -> Finding {
        let obstacle = &self.obstacle;
        let mode = if obstacle == program { "a+rx" } else { "a+x" };
        Finding::fail(
            "plugin_not_startable",
            format!(
                "strfry's user {} cannot run {}: {} is closed to that user",
                self.user,
                program.display(),
                obstacle.display()
            ),
            format!("chmod {mode} {}", quoted(obstacle)),
        )
    }
}

impl Facts {
    /// Looks at the plugin of this conf, and tries it if it is ours. `folder` is strfry's working
    /// directory.
    pub(crate) async fn gather(
        conf: &Path,
        command: &str,
        folder: &Path,
        strfry_user: Option<&UnixUser>,
    ) -> Self {
        let program = program(command, folder);
        let script = program.as_deref().map(script).unwrap_or_default();
        let is_ours = program.as_deref().is_some_and(is_policy) || script.contains(POLICY);
        let closed = program
            .as_deref()
            .zip(strfry_user)
            .and_then(|(path, user)| {
                let wanted = if script.is_empty() {
                    ENTER
                } else {
                    READ | ENTER
                };
                let real = fs::canonicalize(path).ok()?;
                let obstacle = user.reaches(&real, wanted).err()?;
                Some(Closed {
                    obstacle: obstacle.to_owned(),
                    user: user.name.clone(),
                })
            });
        let us = UnixUser::ourselves();
        let other_user = us
            .zip(strfry_user)
            .is_some_and(|(us, strfry)| us.uid != strfry.uid);
        let answers = if is_ours && closed.is_none() {
            Some(trial::ask(command, folder).await)
        } else {
            None
        };
        Self {
            conf: conf.to_owned(),
            says_where: [command, &script]
                .iter()
                .any(|text| text.contains("--zen") || text.contains("CONSTELLATION_ZEN")),
            command: command.to_owned(),
            program,
            is_ours,
            closed,
            other_user,
            answers,
            settings: plugin_line::read(command, folder)
                .ok()
                .flatten()
                .unwrap_or_default(),
        }
    }

    /// The program that the line names, if it exists.
    pub(crate) fn program(&self) -> Option<&Path> {
        self.program.as_deref()
    }

    /// The value of the line.
    pub(crate) fn command(&self) -> &str {
        &self.command
    }

    /// What the line tells our policy.
    pub(crate) const fn settings(&self) -> &PluginSettings {
        &self.settings
    }

    /// What is wrong with the plugin.
    pub(crate) fn judge(&self) -> Finding {
        let (conf, command) = (self.conf.display(), &self.command);
        let install = "constellation-sync install --write-conf";
        if command.is_empty() {
            return Finding::fail(
                "plugin_unset",
                format!("{conf} names no relay.writePolicy.plugin, so everybody may write here"),
                install,
            );
        }
        let Some(program) = &self.program else {
            return Finding::fail(
                "plugin_not_startable",
                format!("the plugin {command:?} does not exist: strfry rejects every event"),
                install,
            );
        };
        if let Some(closed) = &self.closed {
            return closed.judge(program);
        }
        if !self.is_ours {
            return Finding::warn(
                "plugin_other",
                format!(
                    "the plugin is {command:?}, not {POLICY}; it was not checked whether it decides as the constellation does"
                ),
                install,
            );
        }
        if let Some(fault) = self.answers.as_ref().and_then(trial::fault) {
            return Finding::fail(
                NO_ANSWER,
                format!("the plugin {command:?} does not answer as it should: {fault}"),
                Remedy::from(format!(
                    "cd {} && sh -c {} </dev/null",
                    quoted(self.conf.parent().unwrap_or(&self.conf)),
                    quoted_text(&format!("{command} --log debug"))
                ))
                .because("run it by hand as strfry's user"),
            );
        }
        if self.other_user && !self.says_where {
            return Finding::warn(
                "plugin_other_home",
                "strfry runs as another user, and the plugin line does not say where the station is, so the policy looks for it in that user's home",
                Remedy::from(format!("nano {}", quoted(&self.conf))).because(format!(
                    "write there: plugin = \"{command} --zen {}\"",
                    self.station().display()
                )),
            );
        }
        Finding::ok("plugin", format!("the plugin {command:?} answers"))
    }

    fn station(&self) -> &Path {
        let folder = self.conf.parent().and_then(Path::parent);
        folder.unwrap_or(Path::new("~/.zen"))
    }
}

/// The program that a shell would start first, if it exists.
fn program(command: &str, folder: &Path) -> Option<PathBuf> {
    let mut words = command.split_whitespace().skip_while(|word| {
        matches!(*word, "exec" | "env")
            || word.split_once('=').is_some_and(|(name, _)| is_name(name))
    });
    let word = words.next()?.trim_matches(['"', '\'']);
    let is_program = |path: &PathBuf| crate::support::program::is_program(path);
    if word.contains('/') {
        return Some(folder.join(word)).filter(is_program);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let mut found = env::split_paths(&path).map(|folder| folder.join(word));
    found.find(is_program)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_policy(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name == POLICY)
}

/// The text of a script; empty if the file is not a script.
fn script(path: &Path) -> String {
    let read = || -> io::Result<String> {
        let file = regular_file::open(path)?;
        let mut text = Vec::new();
        file.take(LONGEST_SCRIPT).read_to_end(&mut text)?;
        Ok(if text.starts_with(b"#!") {
            String::from_utf8_lossy(&text).into_owned()
        } else {
            String::new()
        })
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;

    #[test]
    fn the_first_program_of_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        let sh = Some(PathBuf::from("/bin/sh"));
        for (command, expected) in [
            ("/bin/sh", sh.clone()),
            ("/bin/sh --zen '/a b'", sh.clone()),
            ("A=1 B=2 exec /bin/sh", sh.clone()),
            ("\"/bin/sh\"", sh),
            ("/bin/not-there", None),
            ("/tmp", None),
            ("  ", None),
        ] {
            assert_eq!(program(command, folder), expected, "{command}");
        }
        assert!(program("sh", folder).is_some());
    }

    fn facts() -> Facts {
        Facts {
            conf: "/zen/strfry/strfry.conf".into(),
            command: "/usr/local/bin/constellation-policy".to_owned(),
            program: Some("/usr/local/bin/constellation-policy".into()),
            is_ours: true,
            says_where: false,
            closed: None,
            other_user: false,
            answers: None,
            settings: PluginSettings::default(),
        }
    }

    #[test]
    fn each_trouble_with_the_line_is_named() {
        let judge = |change: &dyn Fn(&mut Facts)| {
            let mut facts = facts();
            change(&mut facts);
            let finding = facts.judge();
            (finding.code, finding.level)
        };
        assert_eq!(
            judge(&|facts| facts.command.clear()),
            ("plugin_unset", Level::Fail)
        );
        assert_eq!(
            judge(&|facts| facts.program = None),
            ("plugin_not_startable", Level::Fail)
        );
        assert_eq!(
            judge(&|facts| facts.closed = Some(Closed {
                obstacle: "/root".into(),
                user: "strfry".to_owned()
            })),
            ("plugin_not_startable", Level::Fail)
        );
        assert_eq!(
            judge(&|facts| facts.is_ours = false),
            ("plugin_other", Level::Warn)
        );
        assert_eq!(
            judge(&|facts| facts.other_user = true),
            ("plugin_other_home", Level::Warn)
        );
        let both = |facts: &mut Facts| (facts.other_user, facts.says_where) = (true, true);
        assert_eq!(judge(&both), ("plugin", Level::Ok));
    }
}
