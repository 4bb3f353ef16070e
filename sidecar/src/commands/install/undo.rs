//! The plan of an uninstall: the recorded changes, undone in reverse order. What others have changed
//! since the install is left alone and reported.

use std::path::Path;

use crate::commands::install::draft::see;
use crate::commands::install::found::{Found, Script, Seen};
use crate::commands::install::plan::Plan;
use crate::commands::install::record::{Before, Change, Record};
use crate::commands::install::step::{Action, Kind, Step};
use crate::commands::install::{InstallError, filter};
use crate::strfry::conf::edit::{is_without, without};

/// The plan of an uninstall.
///
/// # Errors
/// If the record is not understood, or a changed file cannot be read.
pub fn uninstall(found: &Found) -> Result<Plan, InstallError> {
    let record = found.recorded()?;
    let mut undo = Undo {
        found,
        plan: Plan {
            is_whole: true,
            ..Plan::default()
        },
        kept: Vec::new(),
    };
    // git forgets the filter before it is shown its own files again.
    for change in record.changes.iter().rev() {
        if let Change::Lines {
            path,
            lines,
            created,
        } = change
        {
            undo.lines(&Seen::look(path.clone())?, lines, *created);
        }
    }
    for change in record.changes.iter().rev() {
        match change {
            Change::Lines { .. } => {}
            Change::Settings { path, content } => {
                undo.settings(&Seen::look(path.clone())?, content);
            }
            Change::Script { name, before } => undo.script(name, *before),
            Change::Conf { path, edit } => {
                let conf = Seen::look(path.clone())?;
                let text = conf.content.clone().unwrap_or_default();
                let folder = path.parent().unwrap_or(Path::new("/"));
                match without(&text, folder, edit) {
                    Some(before) => {
                        undo.write(&conf, &before, Kind::Watched, "its plugin line as it was");
                    }
                    None if is_without(&text, folder, edit) => {}
                    None => undo.leave(&conf, "strfry.conf"),
                }
            }
        }
    }
    undo.forget(&record);
    Ok(undo.plan)
}

struct Undo<'a> {
    found: &'a Found,
    plan: Plan,
    /// Backups that the captain may want, by their names.
    kept: Vec<String>,
}

impl Undo<'_> {
    fn write(&mut self, file: &Seen, content: &[u8], kind: Kind, why: &str) {
        self.step(
            Action::Write {
                path: file.path.clone(),
                before: file.content.clone(),
                after: content.to_owned(),
                kind,
            },
            why,
        );
    }

    fn remove(&mut self, file: &Seen, why: &str) {
        if let Some(before) = file.content.clone() {
            let path = file.path.clone();
            self.step(Action::Remove { path, before }, why);
        }
    }

    fn step(&mut self, action: Action, why: &str) {
        let why = why.to_owned();
        self.plan.steps.push(Step { why, action });
    }

    /// What is no longer ours.
    fn leave(&mut self, file: &Seen, backup: &str) {
        let path = file.path.display();
        let state = match file.content {
            Some(_) => "was changed since the install",
            None => "was removed since the install",
        };
        let backup_file = self.found.backup(backup);
        let kept = match backup_file.content {
            Some(_) => {
                self.kept.push(backup.to_owned());
                format!(
                    "; what was there before is in {}",
                    backup_file.path.display()
                )
            }
            None => String::new(),
        };
        self.plan
            .notes
            .push(format!("{path} {state}: it is left alone{kept}"));
        self.plan.is_whole = false;
    }

    fn lines(&mut self, file: &Seen, lines: &str, created: bool) {
        let content = file.content.as_deref().unwrap_or_default();
        match filter::cut(content, lines) {
            Some(rest) if rest.is_empty() && created => self.remove(file, "it was not there"),
            Some(rest) => self.write(file, &rest, Kind::Plain, "without our lines"),
            // A run that was cut short had not added them, or had removed them.
            None if !content
                .windows(FILTER.len())
                .any(|window| window == FILTER.as_bytes()) => {}
            None => self.leave(file, ""),
        }
    }

    /// The settings file goes if nobody has changed anything in it.
    fn settings(&mut self, file: &Seen, written: &str) {
        match &file.content {
            None => {}
            Some(content) if content == written.as_bytes() => self.remove(file, "it was not there"),
            Some(_) => {
                let path = file.path.display();
                self.plan.notes.push(format!(
                    "{path} has settings of yours: it is left alone; remove it if you do not want them any more"
                ));
                self.plan.is_whole = false;
            }
        }
    }

    fn script(&mut self, name: &str, before: Before) {
        let Some(script) = self.found.scripts.get(name) else {
            return;
        };
        let Script {
            file, committed, ..
        } = script;
        let backup = self.found.backup(name).content;
        let is_ours = file.content.is_some() && file.content == self.found.copy(name).content;
        if is_ours {
            match (before, backup, committed) {
                (Before::Kept, Some(backup), _) => {
                    self.write(file, &backup, Kind::Script, "as it was");
                }
                // What git has got since, it would miss.
                (_, _, Some(committed)) => {
                    self.write(file, committed, Kind::Script, "git's own");
                    self.plan.steps.push(see(self.found, name));
                }
                (_, _, None) => self.remove(file, "it was not there"),
            }
        } else if committed.is_some() && file.content == *committed {
            if script.is_stale {
                self.plan.steps.push(see(self.found, name));
            }
        } else {
            let is_gone = committed.is_none() && file.content.is_none();
            let is_as_before = backup.is_some() && file.content == backup;
            if !is_gone && !is_as_before {
                self.leave(file, name);
            }
        }
    }

    /// What the install kept, and the record at the very end.
    fn forget(&mut self, record: &Record) {
        let kept = &self.found.kept;
        let stays: Vec<_> = self
            .kept
            .iter()
            .map(|name| self.found.backup(name).path)
            .collect();
        for (name, content) in &self.found.kept_files {
            let path = kept.join(name);
            if !stays.contains(&path) {
                let file = Seen {
                    path,
                    content: Some(content.clone()),
                };
                self.remove(&file, "");
            }
        }
        for folder in self.found.kept_folders.iter().rev() {
            self.step(Action::RemoveFolder(folder.clone()), "where it is empty");
        }
        let file = self.found.record.clone();
        self.remove(&file, "");
        if record.changes.is_empty() && self.plan.steps.is_empty() {
            let words = "there is no install to undo".to_owned();
            self.plan.notes.push(words);
        }
    }
}

/// What our lines in git's files name.
const FILTER: &str = "constellation-sync";
