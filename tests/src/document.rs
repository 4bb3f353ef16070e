//! The documents of this repository, taken apart: prose, code, commands, links.

use constellation_shared::settings::keys::Table;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A Markdown file.
#[derive(Debug, Clone)]
pub struct Document {
    /// All of it.
    pub text: String,
    /// What is not in a block of code.
    prose: String,
    /// The lines of its blocks of code, without prompts; what goes on behind a `\` is one line.
    blocks: Vec<String>,
}

/// The top of the repository.
pub fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The text of a file, named by its path from the top.
pub fn read(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files below a folder whose names end like this, as paths from the top.
pub fn files(folder: &str, end: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(top().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = match folder {
            "." => name.clone(),
            _ => format!("{folder}/{name}"),
        };
        if entry.file_type().unwrap().is_dir() {
            if !name.starts_with('.') && !name.starts_with("target") {
                found.extend(files(&path, end));
            }
        } else if name.ends_with(end) {
            found.push(path);
        }
    }
    found
}

/// Every document of the repository, by its path from the top.
pub fn documents() -> BTreeMap<String, Document> {
    let paths = files(".", ".md").into_iter();
    paths
        .map(|path| (path.clone(), Document::parse(read(&path))))
        .collect()
}

impl Document {
    /// Takes a text apart.
    pub fn parse(text: String) -> Self {
        let (mut prose, mut blocks) = (String::new(), String::new());
        let mut is_fenced = false;
        for line in text.lines() {
            if line.trim_start().starts_with("```") {
                is_fenced = !is_fenced;
            } else if is_fenced || line.starts_with("    ") {
                blocks.push_str(line.trim().trim_start_matches("$ "));
                blocks.push('\n');
            } else {
                prose.push_str(line);
                prose.push('\n');
            }
        }
        let blocks = blocks.replace("\\\n", " ");
        Self {
            text,
            prose,
            blocks: blocks.lines().map(str::to_owned).collect(),
        }
    }

    /// The same document without the first cells of its tables, which may be messages.
    #[must_use]
    pub fn without_first_cells(&self) -> Self {
        let rest = self.text.lines().map(|line| match line.split_once(" | ") {
            Some((first, rest)) if first.starts_with('|') => rest,
            _ => line,
        });
        Self::parse(rest.collect::<Vec<_>>().join("\n"))
    }

    /// What stands between backquotes in the prose, wherever its lines break.
    pub fn spans(&self) -> Vec<String> {
        let mut spans = Vec::new();
        for paragraph in self.prose.split("\n\n") {
            // A backquote that is missing in one row of a table spoils no other row.
            let pieces: Vec<String> = if paragraph.starts_with('|') {
                paragraph.lines().map(str::to_owned).collect()
            } else {
                vec![paragraph.replace('\n', " ")]
            };
            for piece in pieces {
                spans.extend(piece.split('`').skip(1).step_by(2).map(str::to_owned));
            }
        }
        spans
    }

    /// Everything that is code: spans, and the lines of blocks.
    pub fn code(&self) -> Vec<String> {
        let mut code = self.spans();
        code.extend(self.blocks.iter().cloned());
        code
    }

    /// The examples of tables of `constellation.toml`, each from its name on.
    pub fn settings(&self) -> Vec<String> {
        let is_setting = |line: &&String| line.contains(" = ");
        let starts = self.blocks.iter().enumerate();
        let is_table = |line: &str| {
            let name = line.strip_prefix('[').and_then(|rest| rest.split_once(']'));
            name.is_some_and(|(name, _)| Table::named(name).is_some())
        };
        let starts = starts.filter(|(_, line)| is_table(line));
        starts
            .map(|(at, name)| {
                let lines = self.blocks.iter().skip(at + 1).take_while(is_setting);
                lines.fold(name.clone(), |text, line| format!("{text}\n{line}"))
            })
            .collect()
    }

    /// Where the links lead that do not leave the repository.
    pub fn links(&self) -> Vec<&str> {
        let targets = self.text.split("](").skip(1);
        let targets = targets.filter_map(|rest| rest.split(')').next());
        targets.filter(|target| !target.contains("://")).collect()
    }

    /// The anchors of the headings, as GitHub makes them.
    pub fn anchors(&self) -> BTreeSet<String> {
        let headings = self.prose.lines().filter(|line| line.starts_with('#'));
        let anchor = |line: &str| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || matches!(c, '-' | '_') => Some(c),
                _ => None,
            });
            kept.collect()
        };
        headings.map(anchor).collect()
    }

    /// The row of a table whose first cell begins with this option.
    pub fn row(&self, option: &str) -> Option<&str> {
        let first = |line: &str| {
            let cell = line.strip_prefix("| `")?;
            let end = cell.find(['`', ' '])?;
            Some(cell.get(..end)? == option)
        };
        self.text.lines().find(|line| first(line) == Some(true))
    }

    /// The lines that are shown behind a prompt with this command.
    pub fn shown_behind(&self, command: &str) -> Vec<&str> {
        let prompt = format!("$ {command}");
        let mut lines = self.text.lines().skip_while(|line| *line != prompt);
        assert!(lines.next().is_some(), "nowhere stands `{prompt}`");
        lines
            .take_while(|line| !line.starts_with("$ ") && *line != "```")
            .collect()
    }
}

/// The words of the first command of a line, as a shell would split it.
pub fn shell_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, '#') if word.is_none() => break,
            (None, '|' | '<' | '>' | ';' | '&') => break,
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// A call of one of our programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The program's name.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
}

impl Call {
    /// The call that a line of code makes, if any: with `sudo`, variables or the columns of a
    /// crontab before it, or as the value of a setting.
    pub fn parse(line: &str) -> Option<Self> {
        let words = shell_words(line);
        if let [_, sign, value] = &words[..]
            && sign == "="
        {
            return Self::parse(value);
        }
        let is_before = |word: &str| {
            let is_variable = word.starts_with("CONSTELLATION_") && word.contains('=');
            let is_column = word.starts_with('*');
            is_variable || is_column || ["sudo", "-u", "-H", "strfry", "exec"].contains(&word)
        };
        let mut words = words.into_iter().skip_while(|word| is_before(word));
        let path = words.next()?;
        let program = Path::new(&path).file_name()?.to_str()?.to_owned();
        let is_ours = ["constellation-policy", "constellation-sync"].contains(&program.as_str());
        is_ours.then(|| Self {
            program,
            arguments: words.collect(),
        })
    }
}

/// The names of variables of ours in a text.
pub fn variables(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| c != '_' && !c.is_ascii_alphanumeric());
    let is_ours = |word: &&str| word.starts_with("CONSTELLATION_");
    words.filter(is_ours).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_found_behind_what_may_stand_before_it() {
        let call = |line: &str| Call::parse(line).map(|call| call.arguments.join("|"));
        assert_eq!(
            call("constellation-sync --days 7 -v # a week").unwrap(),
            "--days|7|-v"
        );
        assert_eq!(
            call("sudo -u strfry /usr/bin/constellation-policy </dev/null").unwrap(),
            ""
        );
        let conf = "plugin = \"/x/constellation-policy --zen '/a b'\"";
        assert_eq!(call(conf).unwrap(), "--zen|/a b");
        assert_eq!(
            call("*/10 * * * * constellation-sync trigger").unwrap(),
            "trigger"
        );
        assert_eq!(
            call("sudo systemctl edit constellation-sync@USER.service"),
            None
        );
        assert_eq!(call("cargo test -p constellation-sync"), None);
    }

    #[test]
    fn a_document_is_taken_apart() {
        let text =
            "# A `b` c's!\n\nsee [`x\ny`](z.md#a)\n\n    one \\\n    two\n\n| `--o N` | 1 |\n";
        let document = Document::parse(text.to_owned());
        assert_eq!(document.code(), ["b", "x y", "--o N", "one  two"]);
        assert_eq!(document.links(), ["z.md#a"]);
        assert!(document.anchors().contains("a-b-cs"));
        assert_eq!(document.row("--o"), Some("| `--o N` | 1 |"));
        assert_eq!(document.without_first_cells().spans(), ["b", "x y"]);
    }
}
