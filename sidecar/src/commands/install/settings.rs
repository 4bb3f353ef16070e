//! The settings file: a commented one is written if there is none, and an existing one stays the
//! captain's.

use constellation_shared::counted;
use constellation_shared::settings::Settings;

use crate::commands::config::template;
use crate::commands::install::draft::Draft;
use crate::commands::install::found::Found;
use crate::commands::install::kinds::KindsAsked;
use crate::commands::install::record::{Change, Record};
use crate::commands::install::step::Kind;

impl Draft {
    /// Writes the settings file if there is none, or nobody has touched the one that is there, with
    /// the kinds that the station's own backfill asks for. Returns a note if the captain has to write
    /// something himself.
    pub(crate) fn settings(&mut self, found: &Found, record: &Record) -> Option<String> {
        let file = &found.settings;
        let asked = KindsAsked::before(found, record);
        let text = commented(&asked);
        let recorded = record.settings(&file.path);
        let untouched = [recorded, Some(&text), Some(&template::text())];
        let is_untouched = file.content.as_deref().is_none_or(|content| {
            let mut untouched = untouched.into_iter().flatten();
            untouched.any(|text| text.as_bytes() == content)
        });
        if is_untouched && record.lines(&file.path).is_none() {
            let kinds = asked.kinds.len();
            let of_theirs = if asked.lines().is_empty() {
                String::new()
            } else {
                format!("; the station's own backfill asks for {kinds} kinds, so ours does, too")
            };
            let why = format!(
                "the settings of both programs, with every one of them explained{of_theirs}; undone by removing it unless somebody has changed it"
            );
            self.write(file, text.as_bytes(), Kind::Plain, &why);
            self.changes.push(Change::Settings {
                path: file.path.clone(),
                content: text,
            });
            return None;
        }
        if let Some(content) = recorded {
            self.changes.push(Change::Settings {
                path: file.path.clone(),
                content: content.to_owned(),
            });
        }
        self.add_kinds(found, record, &asked)
    }

    /// Adds the kinds that the station's own backfill asks for to a file of the captain's, unless it has
    /// a table for them.
    fn add_kinds(&mut self, found: &Found, record: &Record, asked: &KindsAsked) -> Option<String> {
        let file = &found.settings;
        let text = String::from_utf8_lossy(file.content.as_deref().unwrap_or_default());
        let is_ours = record.lines(&file.path).is_some();
        let settings = Settings::parse(&text, &found.root);
        // A file that is not understood is for its author to mend.
        let is_understood = settings.fault.is_none();
        if !is_ours && is_understood && settings.has_sync {
            return asked.note_on(&settings, &file.path);
        }
        if let Some(lines) = asked.table().filter(|_| is_understood) {
            let kinds = counted(asked.kinds.len() as u64, "kind");
            let why = format!("the station's own backfill asks for {kinds}, so ours does, too");
            self.add_lines(file, &lines, record, &why);
        } else if is_ours {
            self.keep_lines(file, record);
        }
        None
    }
}

/// The commented settings file, with these kinds.
fn commented(asked: &KindsAsked) -> String {
    let mut lines = asked.lines();
    if !lines.is_empty() {
        let why = "# `constellation-sync install` wrote this: the station's own backfill asks for these kinds, too.";
        lines.insert(0, why.to_owned());
    }
    template::text_with(&lines)
}
