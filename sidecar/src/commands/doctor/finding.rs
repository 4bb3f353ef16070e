//! [`Finding`]: what one check found, and how a row of them is shown.

use std::io::{self, Write};

use serde::Serialize;

use crate::support::sanitize::{escaped_json, for_terminal, one_line};
pub(crate) use crate::support::shell_words::{quoted, quoted_text};

/// The layout of the JSON: fields are added to it, none changes its meaning.
const SCHEMA: u32 = 1;

/// The most characters of a finding that are shown.
const LONGEST: usize = 600;

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    /// Everything is as it should be.
    Ok,
    /// It could not be checked.
    Unknown,
    /// The daily run does its work, though not all of it, or not for long.
    Warn,
    /// Something must be repaired, or the daily run does not work.
    Fail,
}

impl Level {
    const fn sign(self) -> char {
        match self {
            Self::Ok => '✔',
            Self::Unknown => '?',
            Self::Warn => '!',
            Self::Fail => '✘',
        }
    }

    /// ANSI's colour for it.
    const fn colour(self) -> &'static str {
        match self {
            Self::Ok => "\u{1b}[32m",
            Self::Unknown => "\u{1b}[36m",
            Self::Warn => "\u{1b}[33m",
            Self::Fail => "\u{1b}[31m",
        }
    }
}

/// What to do about a finding. A text alone is one command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Remedy {
    /// What the commands are for, or what to do if no command can do it.
    explanation: Option<String>,
    /// What to type, line by line.
    commands: Vec<String>,
}

impl Remedy {
    /// Something that no command can do.
    pub(crate) fn explain(words: impl Into<String>) -> Self {
        Self {
            explanation: Some(words.into()),
            commands: Vec::new(),
        }
    }

    /// Adds a command.
    #[must_use]
    pub(crate) fn run(mut self, command: impl Into<String>) -> Self {
        self.commands.push(command.into());
        self
    }

    /// Says what the commands are for, or when to use them.
    #[must_use]
    pub(crate) fn because(self, words: impl Into<String>) -> Self {
        Self {
            explanation: Some(words.into()),
            ..self
        }
    }
}

impl From<String> for Remedy {
    fn from(command: String) -> Self {
        Self::default().run(command)
    }
}

impl From<&str> for Remedy {
    fn from(command: &str) -> Self {
        Self::default().run(command)
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// The stable word for it, which the documentation explains; of a sound one, what was
    /// looked at.
    pub code: &'static str,
    /// How serious it is.
    pub level: Level,
    /// The finding in words.
    pub text: String,
    /// The commands that repair it, or what to do if no command can.
    pub remedy: Option<String>,
    /// What the commands are for, or what to do if there are none.
    pub explanation: Option<String>,
    /// What to type, each to be pasted into a shell as it is.
    pub commands: Vec<String>,
}

impl Finding {
    /// Something is as it should be.
    pub(crate) fn ok(code: &'static str, text: impl Into<String>) -> Self {
        Self::new(code, Level::Ok, text.into(), Remedy::default())
    }

    /// Something could not be checked: the text says why.
    pub(crate) fn unknown(
        code: &'static str,
        text: impl Into<String>,
        remedy: impl Into<Remedy>,
    ) -> Self {
        Self::new(code, Level::Unknown, text.into(), remedy.into())
    }

    /// Something should be looked at.
    pub(crate) fn warn(
        code: &'static str,
        text: impl Into<String>,
        remedy: impl Into<Remedy>,
    ) -> Self {
        Self::new(code, Level::Warn, text.into(), remedy.into())
    }

    /// A finding that something must be repaired.
    pub(crate) fn fail(
        code: &'static str,
        text: impl Into<String>,
        remedy: impl Into<Remedy>,
    ) -> Self {
        Self::new(code, Level::Fail, text.into(), remedy.into())
    }

    fn new(code: &'static str, level: Level, text: String, remedy: Remedy) -> Self {
        let Remedy {
            explanation,
            commands,
        } = remedy;
        let together = (!commands.is_empty()).then(|| commands.join("; "));
        Self {
            code,
            level,
            text,
            remedy: together.or_else(|| explanation.clone()),
            explanation,
            commands,
        }
    }
}

/// The worst of all levels.
pub(crate) fn worst(findings: &[Finding]) -> Level {
    let levels = findings.iter().map(|finding| finding.level);
    levels.max().unwrap_or(Level::Ok)
}

/// Writes a line for each finding, with its code if it is not sound; below it what to do, in words
/// and then in commands, each on a line of its own.
///
/// # Errors
/// If writing fails.
pub(crate) fn write(
    output: &mut impl Write,
    findings: &[Finding],
    colours: bool,
) -> io::Result<()> {
    for finding in findings {
        let sign = finding.level.sign();
        let mut text = for_terminal(&finding.text, LONGEST);
        if finding.level > Level::Ok {
            text.push_str(&format!(" [{}]", finding.code));
        }
        if colours {
            writeln!(output, "{}{sign}\u{1b}[0m {text}", finding.level.colour())?;
        } else {
            writeln!(output, "{sign} {text}")?;
        }
        if let Some(explanation) = &finding.explanation {
            writeln!(output, "  → {}", for_terminal(explanation, LONGEST))?;
        }
        for command in &finding.commands {
            // Not shortened: half a command does something else.
            writeln!(output, "    {}", one_line(command))?;
        }
    }
    writeln!(output, "{}", summary(findings))?;
    if worst(findings) > Level::Ok {
        let page = "sidecar/TROUBLESHOOTING.md, \"What the doctor finds\"";
        writeln!(output, "The codes in brackets are explained in {page}.")?;
    }
    Ok(())
}

/// How many findings there are of each kind.
fn summary(findings: &[Finding]) -> String {
    let count = |level| findings.iter().filter(|found| found.level == level).count();
    let unknown = match count(Level::Unknown) {
        0 => String::new(),
        unknown => format!(" {unknown} could not be checked."),
    };
    match (count(Level::Fail), count(Level::Warn)) {
        (0, 0) if unknown.is_empty() => "All is well.".to_owned(),
        (0, 0) => format!("All that was checked is well.{unknown}"),
        (0, warn) => format!("Nothing must be mended; {warn} to look at.{unknown}"),
        (fail, warn) => format!("{fail} to mend, {warn} to look at.{unknown}"),
    }
}

/// The findings as one JSON document.
pub(crate) fn to_json(findings: &[Finding], exit_code: u8) -> String {
    let json = serde_json::json!({
        "schema": SCHEMA,
        "level": worst(findings),
        "exit_code": exit_code,
        "findings": findings,
    });
    escaped_json(&json.to_string())
}

/// The command that changes a file by this script of sed, both quoted: the file itself. What
/// `sed -i` puts in its place strfry takes up once, and then watches no more.
pub(crate) fn edit(script: &str, file: &str) -> String {
    format!("sed -E {script} {file} > {file}.new && cat {file}.new > {file} && rm {file}.new")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Vec<Finding> {
        vec![
            Finding::ok("root", "it is there"),
            Finding::warn("lists", "two\nlines \u{1b}[2J", "rm 'a b'"),
            Finding::fail(
                "conf_missing",
                "gone",
                Remedy::from("touch it").run("ls").because("make it"),
            ),
            Finding::unknown("clock_unknown", "who knows", Remedy::explain("wait")),
        ]
    }

    #[test]
    fn a_line_each_and_what_mends_it() {
        let mut output = Vec::new();
        write(&mut output, &findings(), false).unwrap();
        assert_eq!(
            String::from_utf8(output).unwrap(),
            "✔ it is there\n! two lines [2J [lists]\n    rm 'a b'\n\
             ✘ gone [conf_missing]\n  → make it\n    touch it\n    ls\n\
             ? who knows [clock_unknown]\n  → wait\n\
             1 to mend, 1 to look at. 1 could not be checked.\n\
             The codes in brackets are explained in sidecar/TROUBLESHOOTING.md, \"What the doctor finds\".\n"
        );
        let mut output = Vec::new();
        write(&mut output, &findings()[..1], true).unwrap();
        let text = String::from_utf8(output).unwrap();
        assert_eq!(
            text, "\u{1b}[32m✔\u{1b}[0m it is there\nAll is well.\n",
            "{text}"
        );
    }

    #[test]
    fn what_could_not_be_checked_is_not_called_well_and_no_fault() {
        let unknown = [findings().remove(3)];
        assert!(worst(&unknown) < Level::Warn);
        let words = "All that was checked is well. 1 could not be checked.";
        assert_eq!(summary(&unknown), words);
    }

    #[test]
    fn the_json_says_the_same() {
        let json: serde_json::Value = serde_json::from_str(&to_json(&findings(), 1)).unwrap();
        assert_eq!(json["schema"], 1);
        assert_eq!(json["level"], "fail");
        assert_eq!(json["exit_code"], 1);
        assert_eq!(json["findings"][1]["level"], "warn");
        assert_eq!(json["findings"][2]["remedy"], "touch it; ls");
        assert_eq!(
            json["findings"][2]["commands"],
            serde_json::json!(["touch it", "ls"])
        );
        assert_eq!(json["findings"][2]["explanation"], "make it");
        assert_eq!(json["findings"][3]["level"], "unknown");
        assert_eq!(json["findings"][3]["remedy"], "wait");
        assert_eq!(json["findings"][0]["remedy"], serde_json::Value::Null);
        assert_eq!(worst(&[]), Level::Ok);
    }
}
