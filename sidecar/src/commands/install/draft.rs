//! [`Draft`]: a plan of an install in the making. What is missing becomes a step; what is already
//! there is recorded without one.

use std::path::Path;

use crate::commands::install::found::{Found, GitFiles, Script, Seen};
use crate::commands::install::record::{Before, Change, Record};
use crate::commands::install::step::{Action, Kind, Step};
use crate::commands::install::wanted::Wanted;
use crate::commands::install::{InstallError, PLUGIN, filter};
use crate::strfry::conf::edit::{Edit, with_plugin, without};
use crate::support::sanitize::for_terminal;

/// How much of a plugin line is shown, in characters.
const LONGEST: usize = 300;

/// Steps and the changes that they make.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) steps: Vec<Step>,
    pub(crate) changes: Vec<Change>,
}

/// A script of ours that an install puts in the place of the station's.
#[derive(Clone, Copy)]
pub(crate) struct OurScript<'a> {
    /// The name of its file.
    pub name: &'a str,
    /// Its text.
    pub content: &'a [u8],
    /// What is in its place now.
    pub seen: &'a Script,
}

impl Draft {
    /// A step that writes this, unless it is there.
    pub(crate) fn write(&mut self, file: &Seen, content: &[u8], kind: Kind, why: &str) -> bool {
        if file.content.as_deref() == Some(content) {
            return false;
        }
        let action = Action::Write {
            path: file.path.clone(),
            before: file.content.clone(),
            after: content.to_owned(),
            kind,
        };
        let why = why.to_owned();
        self.steps.push(Step { why, action });
        true
    }

    /// Tells git of the scripts that are put in place, so that it neither reports nor overwrites
    /// them.
    pub(crate) fn tell_git(
        &mut self,
        found: &Found,
        git: &GitFiles,
        record: &Record,
        scripts: &[OurScript<'_>],
    ) {
        let names = || scripts.iter().map(|script| script.name);
        let untracked = scripts
            .iter()
            .filter(|script| script.seen.committed.is_none());
        let driver = filter::driver(&found.kept.join("scripts"));
        let attributes = filter::attributes(names());
        let exclude = filter::exclude(untracked.map(|script| script.name));
        for (file, lines, why) in [
            (
                &git.config,
                driver,
                "a filter that shows our scripts and leaves git its own",
            ),
            (&git.attributes, attributes, "the scripts that it is for"),
            (
                &git.exclude,
                exclude,
                "a script that git does not have is not reported",
            ),
        ] {
            self.add_lines(file, &lines, record, why);
        }
    }

    /// The lines that an earlier install put into a file stay there.
    pub(crate) fn keep_lines(&mut self, file: &Seen, record: &Record) {
        if let Some((lines, created)) = record.lines(&file.path) {
            self.changes.push(Change::Lines {
                path: file.path.clone(),
                lines: lines.to_owned(),
                created,
            });
        }
    }

    /// Lines at the end of a file; what an earlier install put there goes.
    pub(crate) fn add_lines(&mut self, file: &Seen, lines: &str, record: &Record, why: &str) {
        let recorded = record.lines(&file.path);
        let content = file.content.clone().unwrap_or_default();
        let (old, created) = recorded.unwrap_or((lines, file.content.is_none()));
        let rest = filter::cut(&content, old);
        if rest.is_some() && old.trim_start() == lines && !lines.is_empty() {
            self.changes.push(Change::Lines {
                path: file.path.clone(),
                lines: old.to_owned(),
                created,
            });
            return;
        }
        let mut content = rest.unwrap_or(content);
        if lines.is_empty() {
            if recorded.is_some() {
                self.write(
                    file,
                    &content,
                    Kind::Plain,
                    "lines of an earlier install go",
                );
            }
            return;
        }
        let missing = !content.is_empty() && !content.ends_with(b"\n");
        let lines = format!("{}{lines}", if missing { "\n" } else { "" });
        content.extend_from_slice(lines.as_bytes());
        let why = format!("{why}; undone by taking the lines out");
        self.write(file, &content, Kind::Plain, &why);
        self.changes.push(Change::Lines {
            path: file.path.clone(),
            lines,
            created,
        });
    }

    /// Puts a script in its place.
    pub(crate) fn put(
        &mut self,
        found: &Found,
        record: &Record,
        OurScript {
            name,
            content,
            seen: script,
        }: OurScript<'_>,
    ) {
        let current = script.file.content.as_deref();
        let copy = found.copy(name).content;
        let recorded = record.before(name);
        let is_ours = current == Some(content)
            || (recorded.is_some() && current.is_some() && current == copy.as_deref());
        let is_git_s = current.is_none() || current == script.committed.as_deref();
        let before = match (is_ours, recorded) {
            (true, Some(before)) => before,
            (false, _) if current.is_some() && !is_git_s => {
                let kept = current.unwrap_or_default();
                let why = "what is there now, kept for `uninstall`; removed by it";
                self.write(&found.backup(name), kept, Kind::Plain, why);
                Before::Kept
            }
            _ if script.committed.is_some() => Before::Git,
            _ => Before::Nothing,
        };
        let undone = match before {
            Before::Git => "undone by putting back git's",
            Before::Kept => "undone by putting back what was kept",
            Before::Nothing => "undone by removing it",
        };
        let what = if name == PLUGIN {
            "strfry's plugin is constellation-policy"
        } else {
            "it calls constellation-sync"
        };
        let written = self.write(
            &script.file,
            content,
            Kind::Script,
            &format!("{what}; {undone}"),
        );
        if script.committed.is_some() && (written || script.is_stale) {
            self.steps.push(see(found, name));
        }
        self.changes.push(Change::Script {
            name: name.to_owned(),
            before,
        });
    }

    /// The line in strfry.conf; without `wanted`, what an earlier install wrote is kept in
    /// mind.
    pub(crate) fn edit_conf(
        &mut self,
        found: &Found,
        record: &Record,
        wanted: &Wanted,
        by_conf: bool,
    ) -> Result<(), InstallError> {
        let path = &found.conf.path;
        if !by_conf && found.conf.content.is_none() {
            return Ok(());
        }
        let earlier = record.conf();
        let text = text_of(&found.conf)?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        let kept = earlier.filter(|earlier| without(text, folder, earlier).is_some());
        let keep = |edit: Edit| Change::Conf {
            path: path.clone(),
            edit,
        };
        let edited = if by_conf {
            with_plugin(text, folder, &wanted.command)
        } else {
            Ok(None)
        };
        let edited = edited.map_err(|fault| InstallError::Conf {
            path: path.clone(),
            fault,
            command: wanted.command.clone(),
        })?;
        let Some(edited) = edited else {
            self.changes.extend(kept.cloned().map(keep));
            return Ok(());
        };
        let backup = found.backup("strfry.conf");
        let why = "strfry.conf as it is now; removed by `uninstall`";
        if kept.is_none() {
            self.write(&backup, text, Kind::Plain, why);
        }
        let edit = edited.edit;
        let undone = if edit.old.is_empty() {
            "taking the line out".to_owned()
        } else {
            format!("putting back {}", for_terminal(&edit.old, LONGEST))
        };
        let plugin = for_terminal(&wanted.command, LONGEST);
        let why = format!("it says plugin = \"{plugin}\"; undone by {undone}");
        self.write(&found.conf, &edited.text, Kind::Watched, &why);
        // From the first of several, so that all are undone.
        let edit = match kept {
            Some(first) => Edit {
                old: first.old.clone(),
                new: first.new.replacen(&edit.old, &edit.new, 1),
            },
            None => edit,
        };
        self.changes.push(keep(edit));
        Ok(())
    }
}

/// The step that has git see that a file is as it should be.
pub(crate) fn see(found: &Found, name: &str) -> Step {
    Step {
        why: "git sees what it has".to_owned(),
        action: Action::Git {
            folder: found.workspace.clone(),
            arguments: ["add", "--", name].map(str::to_owned).to_vec(),
        },
    }
}

/// What strfry.conf holds.
fn text_of(conf: &Seen) -> Result<&[u8], InstallError> {
    let words = "it is not there; install strfry first".to_owned();
    let missing = || InstallError::Odd(conf.path.clone(), words);
    conf.content.as_deref().ok_or_else(missing)
}
