//! `doctor` about copies of the database. There is no usual place for them, so none that is seen does
//! not mean that there is none.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::commands::doctor::finding::{Finding, Remedy, quoted};
use crate::support::humanize::duration;

/// How old the newest copy may be.
const RECENT: Duration = Duration::from_secs(31 * 86_400);

/// How many entries of a folder are looked at.
const MOST_ENTRIES: usize = 10_000;

/// How the names of copies end: of `strfry export`, compressed or not, and of the database's file.
const ENDINGS: [&str; 8] = [
    ".jsonl",
    ".jsonl.gz",
    ".jsonl.zst",
    ".jsonl.xz",
    ".jsonl.bz2",
    ".fried",
    ".mdb.bak",
    ".mdb.gz",
];

/// A copy of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Copy {
    path: PathBuf,
    age: Duration,
}

/// What is known of copies.
#[derive(Debug)]
pub(crate) struct Facts {
    /// strfry's folder.
    folder: PathBuf,
    /// strfry's program.
    binary: PathBuf,
    newest: Option<Copy>,
}

impl Facts {
    /// Looks for copies in strfry's folder, in that of the database, in `backup` and `backups`
    /// below and beside strfry's, and in the home.
    pub(crate) fn gather(
        folder: &Path,
        database: &Path,
        binary: &Path,
        home: Option<&Path>,
    ) -> Self {
        let root = folder.parent().unwrap_or(folder);
        let mut folders = vec![folder.to_owned(), database.to_owned()];
        for name in ["backup", "backups"] {
            folders.extend([folder, root].map(|folder| folder.join(name)));
            folders.extend(home.map(|home| home.join(name)));
        }
        folders.extend(home.map(Path::to_owned));
        let copies = folders.iter().flat_map(|folder| copies(folder));
        Self {
            folder: folder.to_owned(),
            binary: binary.to_owned(),
            newest: copies.min_by_key(|copy| copy.age),
        }
    }

    /// Whether a recent copy is seen.
    pub(crate) fn judge(&self) -> Finding {
        let what = match &self.newest {
            Some(copy) if copy.age <= RECENT => {
                return Finding::ok(
                    "backup",
                    format!(
                        "{} is a copy of the database, made {}",
                        copy.path.display(),
                        ago(copy)
                    ),
                );
            }
            Some(copy) => format!(
                "the newest copy of the database that is seen, {}, was made {}",
                copy.path.display(),
                ago(copy)
            ),
            None => "no copy of the database is seen on this machine".to_owned(),
        };
        Finding::unknown(
            "backup_unknown",
            format!("{what}; whether there is one elsewhere was not checked"),
            Remedy::from(format!(
                "cd {} && {} --config=./strfry.conf export | gzip > \"$HOME/strfry-$(date +%F).jsonl.gz\"",
                quoted(&self.folder),
                quoted(&self.binary)
            ))
            .because(
                "what other stations hold comes back by itself; for the rest, this writes a copy, to be kept on another disk",
            ),
        )
    }
}

fn ago(copy: &Copy) -> String {
    format!("{} ago", duration(copy.age.as_secs()))
}

/// The copies in a folder that hold anything.
fn copies(folder: &Path) -> Vec<Copy> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let found = entries.take(MOST_ENTRIES).filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().to_lowercase();
        let is_named_so = ENDINGS.iter().any(|ending| name.ends_with(ending));
        let is_of_strfry = name.contains("strfry") || name.contains("data.mdb");
        let file = (is_named_so && is_of_strfry).then(|| entry.metadata().ok())??;
        let age = SystemTime::now().duration_since(file.modified().ok()?);
        (file.is_file() && file.len() > 0).then(|| Copy {
            path: entry.path(),
            age: age.unwrap_or_default(),
        })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recent_copy_is_seen_and_anything_else_is_unknown() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, home) = (dir.path().join("strfry"), dir.path().join("home"));
        fs::create_dir_all(folder.join("strfry-db")).unwrap();
        fs::create_dir_all(home.join("backups")).unwrap();
        let judge = || {
            let database = folder.join("strfry-db");
            let facts = Facts::gather(&folder, &database, &folder.join("strfry"), Some(&home));
            facts.judge()
        };
        let none = judge();
        assert_eq!(none.code, "backup_unknown");
        assert!(none.text.starts_with("no copy"), "{}", none.text);
        assert!(none.commands[0].contains(" export | gzip > "));
        // Neither of these is one.
        fs::write(folder.join("strfry-db/data.mdb"), "x").unwrap();
        fs::write(home.join("strfry-empty.jsonl"), "").unwrap();
        fs::write(home.join("letters.jsonl"), "x").unwrap();
        assert_eq!(judge().code, "backup_unknown");
        let copy = home.join("backups/strfry-2026-11-01.jsonl.gz");
        fs::write(&copy, "x").unwrap();
        assert_eq!(judge().code, "backup");
        let file = fs::File::options().write(true).open(&copy).unwrap();
        file.set_modified(SystemTime::now() - 2 * RECENT).unwrap();
        let old = judge();
        assert_eq!(old.code, "backup_unknown");
        assert!(old.text.contains("was made 62 d"), "{}", old.text);
    }
}
