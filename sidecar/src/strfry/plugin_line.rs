//! What the plugin line of `strfry.conf` tells the policy about the lists, so that the
//! backfill follows nobody whom the policy blocks.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use constellation_shared::regular_file;
use constellation_shared::settings::{ListSettings, PolicySettings, grace, timeout};
use constellation_shared::verdict::Strangers;

use crate::strfry::process::POLICY;
use crate::support::shell_words::split;

/// How much of a script is read, in bytes.
const LONGEST_SCRIPT: u64 = 64 * 1024;

/// The policy's options that take a value, and their variables.
const WITH_VALUE: [Spelling; 9] = [
    Spelling::of("--zen", "CONSTELLATION_ZEN"),
    Spelling::of("--config", "CONSTELLATION_CONFIG"),
    Spelling::of("--blacklist", "CONSTELLATION_BLACKLIST"),
    Spelling::of("--amis", "CONSTELLATION_AMIS"),
    Spelling::of("--strangers", "CONSTELLATION_STRANGERS"),
    Spelling::of("--filters", "CONSTELLATION_FILTERS"),
    Spelling::of("--filter-timeout", "CONSTELLATION_FILTER_TIMEOUT"),
    Spelling::of("--filter-grace", "CONSTELLATION_FILTER_GRACE"),
    Spelling::of("--log", "CONSTELLATION_LOG"),
];

/// Its options that are true or false, true if no value stands behind them.
const FLAGS: [Spelling; 3] = [
    Spelling::of("--no-swarm", "CONSTELLATION_NO_SWARM"),
    Spelling::of("--no-remove", "CONSTELLATION_NO_REMOVE"),
    Spelling::of("--shadow", "CONSTELLATION_SHADOW"),
];

/// An option, and the variable that stands for it.
struct Spelling {
    option: &'static str,
    variable: &'static str,
}

impl Spelling {
    const fn of(option: &'static str, variable: &'static str) -> Self {
        Self { option, variable }
    }
}

/// What a plugin line says to the policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PluginSettings {
    /// By the policy's options and, where these say nothing, its variables.
    pub lists: ListSettings,
    /// The station that it works on, where the line says it.
    pub zen: Option<PathBuf>,
    /// The settings file that it reads, where the line says it.
    pub config: Option<PathBuf>,
    /// What else it is told to do.
    pub policy: PolicySettings,
    /// The arguments that the policy is started with.
    pub arguments: Vec<String>,
}

/// Understands a plugin line; nothing where the plugin is not our policy. A script that
/// starts the policy and does nothing else is read, too. Paths are relative to `folder`, in
/// which strfry starts it.
///
/// # Errors
/// What in it is not understood, in words.
pub(crate) fn read(line: &str, folder: &Path) -> Result<Option<PluginSettings>, String> {
    // Another plugin's line may say whatever it wants.
    match settings(line, folder) {
        Err(_) if !line.contains(POLICY) => Ok(None),
        read => read,
    }
}

fn settings(line: &str, folder: &Path) -> Result<Option<PluginSettings>, String> {
    let called = Call::parse(line)?;
    let program = folder.join(&called.program);
    if is_policy(&program) {
        return called.settings(folder).map(Some);
    }
    let Some(script) = script(&program).filter(|script| script.contains(POLICY)) else {
        return Ok(None);
    };
    // What stands before the script's name is in its environment, too.
    let mut variables = called.variables;
    for line in script.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') || line.starts_with("set -") {
            continue;
        }
        let line = line.replace("\"$@\"", "");
        let inner = Call::parse(line.strip_prefix("export ").unwrap_or(&line))
            .map_err(|why| format!("{}: {why}", program.display()))?;
        variables.extend(inner.variables);
        if inner.program.is_empty() {
            continue;
        }
        if !is_policy(Path::new(&inner.program)) {
            return Err(format!(
                "{} does more than start {POLICY}: {}",
                program.display(),
                inner.program
            ));
        }
        let arguments = [inner.arguments, called.arguments].concat();
        let policy = Call {
            variables,
            program: inner.program,
            arguments,
        };
        return policy.settings(folder).map(Some);
    }
    Ok(None)
}

fn is_policy(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name == POLICY)
}

/// The text of a script; none where it is none.
fn script(path: &Path) -> Option<String> {
    let file: File = regular_file::open(path).ok()?;
    let mut text = Vec::new();
    file.take(LONGEST_SCRIPT).read_to_end(&mut text).ok()?;
    let is_script = text.starts_with(b"#!");
    is_script.then(|| String::from_utf8_lossy(&text).into_owned())
}

/// A command as a shell starts it.
#[derive(Debug, Default)]
struct Call {
    variables: Vec<(String, String)>,
    /// Empty where the line only sets variables.
    program: String,
    arguments: Vec<String>,
}

impl Call {
    fn parse(line: &str) -> Result<Self, String> {
        let mut call = Self::default();
        let mut words = split(line)?.into_iter();
        for word in words.by_ref() {
            match word.split_once('=') {
                Some((name, value)) if is_name(name) => {
                    call.variables.push((name.to_owned(), value.to_owned()));
                }
                _ if word == "exec" || word == "env" => {}
                _ => {
                    call.program = word;
                    break;
                }
            }
        }
        call.arguments = words.collect();
        Ok(call)
    }

    fn settings(&self, folder: &Path) -> Result<PluginSettings, String> {
        let mut found = PluginSettings {
            arguments: self.arguments.clone(),
            ..PluginSettings::default()
        };
        let mut arguments = self.arguments.iter();
        while let Some(argument) = arguments.next() {
            let (name, given) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let is = |spelling: &&Spelling| spelling.option == name;
            if let Some(flag) = FLAGS.iter().find(is) {
                let value = given.as_deref().unwrap_or("true");
                found.take_flag(flag.option, truth(name, value)?);
            } else if let Some(option) = WITH_VALUE.iter().find(is) {
                let value = given.or_else(|| arguments.next().cloned());
                let value = value.ok_or_else(|| format!("{name} without a value"))?;
                found.take(option.option, name, &value, folder)?;
            } else {
                return Err(format!("{argument} is no option of {POLICY} that we know"));
            }
        }
        let weaker = self.by_variables(folder)?;
        found.lists = found.lists.or(weaker.lists);
        found.policy = found.policy.or(weaker.policy);
        found.zen = found.zen.or(weaker.zen);
        found.config = found.config.or(weaker.config);
        Ok(found)
    }

    fn by_variables(&self, folder: &Path) -> Result<PluginSettings, String> {
        let mut found = PluginSettings::default();
        for (name, value) in &self.variables {
            let is = |spelling: &&Spelling| spelling.variable == name;
            if let Some(flag) = FLAGS.iter().find(is) {
                found.take_flag(flag.option, truth(name, value)?);
            } else if let Some(option) = WITH_VALUE.iter().find(is) {
                if option.option == "--amis" {
                    found.lists.amis = None;
                }
                found.take(option.option, name, value, folder)?;
            }
        }
        Ok(found)
    }
}

impl PluginSettings {
    fn take_flag(&mut self, option: &str, flag: bool) {
        match option {
            "--no-swarm" => self.lists.swarm = Some(!flag),
            "--no-remove" => self.policy.no_remove = Some(flag),
            _ => self.policy.shadow = Some(flag),
        }
    }

    /// Takes the value of an option that is spelled `name` in the line, as a variable may be.
    fn take(&mut self, option: &str, name: &str, value: &str, folder: &Path) -> Result<(), String> {
        let wrong = |why: String| format!("{name} is {why}: {value}");
        let path = || Some(folder.join(value));
        match option {
            "--zen" => self.zen = path(),
            "--config" => self.config = path(),
            "--blacklist" => self.lists.blacklist = path(),
            "--filters" => self.policy.filters = path(),
            "--strangers" => {
                let rule = value.parse::<Strangers>();
                self.lists.strangers = Some(rule.map_err(|why| wrong(why.to_string()))?);
            }
            "--amis" => {
                let amis = self.lists.amis.get_or_insert_default();
                amis.extend(value.split(':').map(|path| folder.join(path)));
            }
            "--filter-timeout" => self.policy.filter_timeout = Some(timeout(value).map_err(wrong)?),
            "--filter-grace" => self.policy.filter_grace = Some(grace(value).map_err(wrong)?),
            _ => self.policy.log = Some(value.to_owned()),
        }
        Ok(())
    }
}

fn is_name(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !text.is_empty() && text.chars().all(is_word) && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// What the policy takes for yes and no.
fn truth(name: &str, value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "y" | "yes" | "t" | "true" | "on" | "1" => Ok(true),
        "n" | "no" | "f" | "false" | "off" | "0" => Ok(false),
        _ => Err(format!("{name} is neither true nor false: {value}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(line: &str) -> ListSettings {
        let read = read(line, Path::new("/zen/strfry")).unwrap();
        read.unwrap_or_default().lists
    }

    #[test]
    fn what_the_line_says_is_what_the_policy_is_told() {
        let no_swarm = ListSettings {
            swarm: Some(false),
            ..ListSettings::default()
        };
        for line in [
            "/usr/local/bin/constellation-policy --no-swarm",
            "constellation-policy --zen '/a b' --no-swarm --shadow --log=warn",
            "CONSTELLATION_NO_SWARM=1 exec /x/constellation-policy # --blacklist /y",
            "env CONSTELLATION_NO_SWARM='yes' constellation-policy --filters /f",
            "CONSTELLATION_NO_SWARM=false constellation-policy --no-swarm",
            "/x/constellation-policy \"--no-swarm\"",
            "/x/constellation-policy --no\\-swarm",
        ] {
            assert_eq!(lists(line), no_swarm, "{line}");
        }
        let all = lists("A=b constellation-policy --blacklist 'b l' --amis /a:c --amis=d");
        assert_eq!(all.blacklist, Some("/zen/strfry/b l".into()));
        let amis = ["/a", "/zen/strfry/c", "/zen/strfry/d"];
        assert_eq!(all.amis, Some(amis.map(PathBuf::from).to_vec()));
        for line in [
            "constellation-policy --filters f --strangers filters --filter-grace 9",
            "CONSTELLATION_FILTERS=f CONSTELLATION_STRANGERS=filters constellation-policy",
            "CONSTELLATION_STRANGERS=accept constellation-policy --strangers=filters --filters=f",
        ] {
            let found = read(line, Path::new("/zen/strfry")).unwrap().unwrap();
            assert_eq!(found.lists.strangers, Some(Strangers::Filters), "{line}");
            assert_eq!(found.policy.filters, Some("/zen/strfry/f".into()), "{line}");
        }
        for line in [
            "",
            "/theirs/all_but_blacklist.sh --no-swarm",
            "/theirs $(x) --no-swarm",
            "constellation-policy",
        ] {
            assert_eq!(lists(line), ListSettings::default(), "{line}");
        }
    }

    #[test]
    fn what_the_policy_is_told_to_do_is_read() {
        let read = |line: &str| read(line, Path::new("/zen/strfry")).unwrap().unwrap();
        for line in [
            "constellation-policy --config c --shadow --no-remove=false --filter-timeout 2 --log=warn",
            "CONSTELLATION_CONFIG=c CONSTELLATION_SHADOW=1 CONSTELLATION_NO_REMOVE=0 CONSTELLATION_FILTER_TIMEOUT=2 CONSTELLATION_LOG=warn constellation-policy",
        ] {
            let found = read(line);
            assert_eq!(found.config, Some("/zen/strfry/c".into()), "{line}");
            let expected = PolicySettings {
                filter_timeout: Some(std::time::Duration::from_secs(2)),
                shadow: Some(true),
                no_remove: Some(false),
                log: Some("warn".to_owned()),
                ..PolicySettings::default()
            };
            assert_eq!(found.policy, expected, "{line}");
        }
    }

    #[test]
    fn what_only_a_shell_knows_is_no_guess() {
        for line in [
            "constellation-policy --blacklist $HOME/x",
            "constellation-policy --blacklist \"$(cat x)\"",
            "constellation-policy `x`",
            "constellation-policy | tee x",
            "constellation-policy 2>/dev/null",
            "constellation-policy --blacklist *.txt",
            "constellation-policy --blacklist ~/x",
            "constellation-policy --no-swarms",
            "constellation-policy --blacklist",
            "constellation-policy --strangers perhaps",
            "constellation-policy --filter-timeout 0",
            "constellation-policy --shadow=perhaps",
            "constellation-policy 'x",
            "cd x; constellation-policy",
            "CONSTELLATION_NO_SWARM=perhaps constellation-policy",
        ] {
            assert!(read(line, Path::new("/zen/strfry")).is_err(), "{line}");
        }
    }

    #[test]
    fn a_script_that_starts_the_policy_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("all_but_blacklist.sh");
        let line = format!("{} --no-swarm", path.display());
        for script in [
            "#!/bin/sh\n# ours\nexec '/usr/bin/constellation-policy' --zen /z --blacklist /b \"$@\"\n",
            "#!/bin/sh\nset -e\nexport CONSTELLATION_BLACKLIST=/b\nexec constellation-policy \"$@\"\n",
        ] {
            std::fs::write(&path, script).unwrap();
            let lists = lists(&line);
            assert_eq!(
                (lists.blacklist, lists.swarm),
                (Some("/b".into()), Some(false))
            );
        }
        let script = "#!/bin/sh\n[ -e x ] && exit 1\nexec constellation-policy\n";
        std::fs::write(&path, script).unwrap();
        assert!(settings(&line, dir.path()).is_err());
    }
}
