//! The plugin line of `strfry.conf`: that it names our policy, and that the policy answers.

use std::env;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use constellation_shared::counted;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::finding::{Finding, quoted, quoted_text};
use super::person::{ENTER, Person, READ, name_of};
use crate::foreign::shown;
use crate::whole_file;

/// The name of the policy's program.
const POLICY: &str = "constellation-policy";

/// It is our policy, and does not answer as it should.
pub const NO_ANSWER: &str = "plugin_no_answer";

/// How long it may take to answer: half of strfry's own patience.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much of a script is searched for the policy's name, in bytes.
const LONGEST_SCRIPT: u64 = 64 * 1024;

/// How much of an answer is shown, in characters.
const LONGEST_ANSWER: usize = 200;

/// Two requests: of an author whom nobody is, and of one who may or may not write; of a
/// kind for which no station has a filter.
const REQUESTS: &str = concat!(
    r#"{"type":"new","event":{"id":"doctor-1","kind":65535,"pubkey":"not a key"},"receivedAt":0,"sourceType":"IP4","sourceInfo":"127.0.0.1"}"#,
    "\n",
    r#"{"type":"new","event":{"id":"doctor-2","kind":65535,"pubkey":"0000000000000000000000000000000000000000000000000000000000000001"},"receivedAt":0,"sourceType":"IP4","sourceInfo":"127.0.0.1"}"#,
    "\n"
);

/// What is known of the plugin.
#[derive(Debug)]
pub struct Facts {
    conf: PathBuf,
    /// The line's value; empty where there is none.
    command: String,
    /// The program in it, where one is there.
    program: Option<PathBuf>,
    /// Whether it is our policy, or a script that calls it.
    is_ours: bool,
    /// Whether it says where the station is.
    says_where: bool,
    /// What strfry's user cannot enter or run on the way to it, and his name.
    closed: Option<(PathBuf, String)>,
    /// Whether strfry runs as another user than this program.
    other_user: bool,
    /// The answers to the requests, or why there are none; only of our own.
    answers: Option<Result<Vec<String>, String>>,
}

impl Facts {
    /// Looks at the plugin of this conf, and asks it where it is ours. `folder` is
    /// strfry's working directory.
    pub async fn gather(
        conf: &Path,
        command: &str,
        folder: &Path,
        strfry_user: Option<&Person>,
    ) -> Self {
        let program = program(command, folder);
        let script = program.as_deref().map(script).unwrap_or_default();
        let is_ours = program.as_deref().is_some_and(is_policy) || script.contains(POLICY);
        let closed = program
            .as_deref()
            .zip(strfry_user)
            .and_then(|(path, user)| {
                let wanted = match script.is_empty() {
                    true => ENTER,
                    false => READ | ENTER,
                };
                let real = fs::canonicalize(path).ok()?;
                let obstacle = user.reaches(&real, wanted).err()?;
                Some((obstacle.to_owned(), name_of(user.uid)))
            });
        let us = Person::ourselves();
        let other_user = us
            .zip(strfry_user)
            .is_some_and(|(us, strfry)| us.uid != strfry.uid);
        let answers = match is_ours && closed.is_none() {
            true => Some(ask(command, folder).await),
            false => None,
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
        }
    }

    /// What is wrong with it.
    pub fn judge(&self) -> Finding {
        let (conf, command) = (self.conf.display(), &self.command);
        let install = "constellation-sync install --write-conf";
        if command.is_empty() {
            return Finding::fail(
                "plugin_unset",
                format!("{conf} names no relay.writePolicy.plugin: everybody may write here"),
                install,
            );
        }
        let Some(program) = &self.program else {
            return Finding::fail(
                "plugin_not_startable",
                format!("the plugin {command:?} is not there: strfry refuses every event"),
                install,
            );
        };
        if let Some((obstacle, user)) = &self.closed {
            let how = match obstacle == program {
                true => "a+rx",
                false => "a+x",
            };
            return Finding::fail(
                "plugin_not_startable",
                format!(
                    "strfry's user {user} cannot run {}: {} is closed to him",
                    program.display(),
                    obstacle.display()
                ),
                format!("chmod {how} {}", quoted(obstacle)),
            );
        }
        if !self.is_ours {
            return Finding::warn(
                "plugin_other",
                format!(
                    "the plugin is {command:?}, not {POLICY}; whether it decides as the constellation does was not looked at"
                ),
                install,
            );
        }
        if let Some(fault) = self.answers.as_ref().and_then(fault) {
            return Finding::fail(
                NO_ANSWER,
                format!("the plugin {command:?} does not answer as it should: {fault}"),
                format!(
                    "run it by hand as strfry's user: cd {} && sh -c {} </dev/null",
                    quoted(self.conf.parent().unwrap_or(&self.conf)),
                    quoted_text(&format!("{command} --log debug"))
                ),
            );
        }
        if self.other_user && !self.says_where {
            return Finding::warn(
                "plugin_other_home",
                "strfry runs as another user, and the plugin line does not say where the station is: the policy looks into that user's home",
                format!(
                    "in {conf}: plugin = \"{command} --zen {}\"",
                    self.station().display()
                ),
            );
        }
        Finding::ok("plugin", format!("the plugin {command:?} answers"))
    }

    fn station(&self) -> &Path {
        let folder = self.conf.parent().and_then(Path::parent);
        folder.unwrap_or(Path::new("~/.zen"))
    }
}

/// What is wrong with the answers to [`REQUESTS`].
fn fault(answers: &Result<Vec<String>, String>) -> Option<String> {
    let answers = match answers {
        Ok(answers) => answers,
        Err(why) => return Some(why.clone()),
    };
    let [first, second] = answers.as_slice() else {
        return Some(format!(
            "{} to 2 requests",
            counted(answers.len(), "answer")
        ));
    };
    let quote = |answer: &str| Some(format!("it says {}", shown(answer, LONGEST_ANSWER)));
    if !first.contains("\"doctor-1\"") || !first.contains("\"invalid: ") {
        // A shadowing policy says no reason.
        let is_shadow = first.contains("\"doctor-1\"") && first.contains("\"shadowReject\"");
        if !is_shadow {
            return quote(first);
        }
    }
    if !second.contains("\"doctor-2\"") || second.contains("\"error: ") {
        return quote(second);
    }
    None
}

/// The program that a shell would start first, where it is there.
fn program(command: &str, folder: &Path) -> Option<PathBuf> {
    let mut words = command.split_whitespace().skip_while(|word| {
        matches!(*word, "exec" | "env")
            || word.split_once('=').is_some_and(|(name, _)| is_name(name))
    });
    let word = words.next()?.trim_matches(['"', '\'']);
    let is_program = |path: &PathBuf| crate::backfill::is_program(path);
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

/// The text of a script; nothing where it is none.
fn script(path: &Path) -> String {
    let read = || -> io::Result<String> {
        let file = whole_file::open(path)?;
        let mut text = Vec::new();
        file.take(LONGEST_SCRIPT).read_to_end(&mut text)?;
        Ok(match text.starts_with(b"#!") {
            true => String::from_utf8_lossy(&text).into_owned(),
            false => String::new(),
        })
    };
    read().unwrap_or_default()
}

/// Starts it as strfry does, and asks. The policy is told to change nothing.
async fn ask(command: &str, folder: &Path) -> Result<Vec<String>, String> {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .current_dir(folder)
        .env("CONSTELLATION_NO_REMOVE", "true")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = shell.spawn().map_err(|error| error.to_string())?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let talk = async {
        let mut answers = Vec::new();
        if let (Some(mut stdin), Some(stdout)) = (stdin, stdout) {
            // One that ends at once does not read it.
            let _ = stdin.write_all(REQUESTS.as_bytes()).await;
            let mut lines = BufReader::new(stdout).lines();
            while answers.len() < 2 {
                match lines.next_line().await {
                    Ok(Some(line)) => answers.push(line),
                    Ok(None) | Err(_) => break,
                }
            }
        }
        answers
    };
    let talked = timeout(PATIENCE, talk).await;
    let ended = match &talked {
        Ok(answers) if answers.is_empty() => timeout(PATIENCE, child.wait()).await.ok(),
        _ => None,
    };
    // The shell and whatever it started.
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(group) = group.and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    match talked {
        Err(_) => Err(format!("nothing within {} s", PATIENCE.as_secs())),
        Ok(answers) if answers.is_empty() => {
            let status = ended.and_then(Result::ok);
            Err(status.map_or_else(
                || "it says nothing".to_owned(),
                |status| format!("it says nothing, and ends with {status}"),
            ))
        }
        Ok(answers) => Ok(answers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

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

    fn facts(answers: Option<Result<Vec<String>, String>>) -> Facts {
        Facts {
            conf: "/zen/strfry/strfry.conf".into(),
            command: "/usr/local/bin/constellation-policy".to_owned(),
            program: Some("/usr/local/bin/constellation-policy".into()),
            is_ours: true,
            says_where: false,
            closed: None,
            other_user: false,
            answers,
        }
    }

    fn good() -> Option<Result<Vec<String>, String>> {
        Some(Ok(vec![
            r#"{"id":"doctor-1","action":"reject","msg":"invalid: pubkey is not 32 bytes of hex"}"#
                .to_owned(),
            r#"{"id":"doctor-2","action":"accept"}"#.to_owned(),
        ]))
    }

    #[test]
    fn what_the_policy_answers_is_understood() {
        let code = |answers| facts(answers).judge().code;
        assert_eq!(code(good()), "plugin");
        let answer = |text: &str| vec![text.to_owned()];
        let closed =
            r#"{"id":"doctor-2","action":"reject","msg":"error: policy lists unavailable"}"#;
        let good = good().unwrap().unwrap();
        for bad in [
            Ok(Vec::new()),
            Ok(answer(&good[0])),
            Ok([answer(&good[0]), answer(closed)].concat()),
            Ok([answer(&good[1]), answer(&good[0])].concat()),
            Err("nothing within 5 s".to_owned()),
        ] {
            assert_eq!(code(Some(bad.clone())), "plugin_no_answer", "{bad:?}");
        }
        let shadow = answer(r#"{"id":"doctor-1","action":"shadowReject"}"#);
        assert_eq!(
            code(Some(Ok([shadow, answer(&good[1])].concat()))),
            "plugin"
        );
    }

    #[test]
    fn each_trouble_with_the_line_is_named() {
        let judge = |change: &dyn Fn(&mut Facts)| {
            let mut facts = facts(good());
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
            judge(&|facts| facts.closed = Some(("/root".into(), "strfry".to_owned()))),
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
