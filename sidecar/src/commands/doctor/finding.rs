//! [`Finding`]: what one check found, and how a row of them is shown.

use std::io::{self, Write};

use serde::Serialize;

use crate::support::sanitize::{escaped_json, for_terminal};
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
    /// The daily run does its work, though not all of it, or not for long.
    Warn,
    /// Something must be repaired, or the daily run does not work.
    Fail,
}

impl Level {
    const fn sign(self) -> char {
        match self {
            Self::Ok => '✔',
            Self::Warn => '!',
            Self::Fail => '✘',
        }
    }

    /// ANSI's colour for it.
    const fn colour(self) -> &'static str {
        match self {
            Self::Ok => "\u{1b}[32m",
            Self::Warn => "\u{1b}[33m",
            Self::Fail => "\u{1b}[31m",
        }
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
    /// The command that repairs it, or what to do if no command can.
    pub remedy: Option<String>,
}

impl Finding {
    /// Something is as it should be.
    pub(crate) fn ok(code: &'static str, text: impl Into<String>) -> Self {
        Self::new(code, Level::Ok, text.into(), None)
    }

    /// Something should be looked at.
    pub(crate) fn warn(
        code: &'static str,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(code, Level::Warn, text.into(), Some(remedy.into()))
    }

    /// A finding that something must be repaired.
    pub(crate) fn fail(
        code: &'static str,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(code, Level::Fail, text.into(), Some(remedy.into()))
    }

    const fn new(code: &'static str, level: Level, text: String, remedy: Option<String>) -> Self {
        Self {
            code,
            level,
            text,
            remedy,
        }
    }
}

/// The worst of all levels.
pub(crate) fn worst(findings: &[Finding]) -> Level {
    let levels = findings.iter().map(|finding| finding.level);
    levels.max().unwrap_or(Level::Ok)
}

/// Writes a line for each finding, and the remedy below it.
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
        let text = for_terminal(&finding.text, LONGEST);
        if colours {
            writeln!(output, "{}{sign}\u{1b}[0m {text}", finding.level.colour())?;
        } else {
            writeln!(output, "{sign} {text}")?;
        }
        if let Some(remedy) = &finding.remedy {
            writeln!(output, "    {}", for_terminal(remedy, LONGEST))?;
        }
    }
    let count = |level| findings.iter().filter(|found| found.level == level).count();
    match (count(Level::Fail), count(Level::Warn)) {
        (0, 0) => writeln!(output, "All is well."),
        (0, warn) => writeln!(output, "Nothing must be mended; {warn} to look at."),
        (fail, warn) => writeln!(output, "{fail} to mend, {warn} to look at."),
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
            Finding::fail("conf_missing", "gone", "touch it"),
        ]
    }

    #[test]
    fn a_line_each_and_what_mends_it() {
        let mut output = Vec::new();
        write(&mut output, &findings(), false).unwrap();
        assert_eq!(
            String::from_utf8(output).unwrap(),
            "✔ it is there\n! two lines [2J\n    rm 'a b'\n✘ gone\n    touch it\n\
             1 to mend, 1 to look at.\n"
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
    fn the_json_says_the_same() {
        let json: serde_json::Value = serde_json::from_str(&to_json(&findings(), 1)).unwrap();
        assert_eq!(json["schema"], 1);
        assert_eq!(json["level"], "fail");
        assert_eq!(json["exit_code"], 1);
        assert_eq!(json["findings"][1]["level"], "warn");
        assert_eq!(json["findings"][2]["remedy"], "touch it");
        assert_eq!(json["findings"][0]["remedy"], serde_json::Value::Null);
        assert_eq!(worst(&[]), Level::Ok);
    }
}
