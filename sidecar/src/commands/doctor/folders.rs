//! `doctor` about the station's folders and our own files in them: whether they exist, whether this
//! user may write them.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use constellation_shared::Station;

use crate::commands::doctor::finding::{Finding, Remedy, quoted};
use crate::support::state_file;
use crate::support::unix_user::{ENTER, Owned, READ, UnixUser, WRITE, name_of};

/// A file or folder, as far as it was looked at.
#[derive(Debug)]
pub(crate) struct Seen {
    path: PathBuf,
    metadata: io::Result<Metadata>,
}

impl Seen {
    fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self {
            metadata: fs::metadata(&path),
            path,
        }
    }

    fn owned(&self) -> Option<Owned> {
        self.metadata.as_ref().ok().map(Owned::from)
    }

    fn is_there(&self) -> bool {
        self.metadata.is_ok()
    }
}

/// What is known of the folders.
#[derive(Debug)]
pub(crate) struct Facts {
    root: Seen,
    strfry: Seen,
    database: Seen,
    data: Seen,
    lock: Seen,
    our_files: Vec<Seen>,
    ourselves: Option<UnixUser>,
}

impl Facts {
    /// Looks at the folders of a station whose database is this file.
    pub(crate) fn gather(station: &Station, data: &Path) -> Self {
        let folder = station.strfry_dir();
        let database = data.parent().unwrap_or(&folder);
        Self {
            root: Seen::at(station.root()),
            database: Seen::at(database),
            data: Seen::at(data),
            lock: Seen::at(database.join("lock.mdb")),
            our_files: state_file::ALL
                .map(|file| Seen::at(folder.join(file.name)))
                .into(),
            strfry: Seen::at(folder),
            ourselves: UnixUser::ourselves(),
        }
    }

    /// Whether there is a station to look at any further.
    pub(crate) fn has_station(&self) -> bool {
        is_folder(&self.root) && is_folder(&self.strfry)
    }

    /// The length of the database's file in bytes; `None` if there is no such file.
    pub(crate) fn data_length(&self) -> Option<u64> {
        self.data.metadata.as_ref().ok().map(Metadata::len)
    }

    /// The folder of the database, if it exists.
    pub(crate) fn database(&self) -> Option<&Path> {
        is_folder(&self.database).then_some(&self.database.path)
    }

    /// What is wrong with them.
    pub(crate) fn judge(&self) -> Vec<Finding> {
        if !self.has_station() {
            return vec![self.missing_station()];
        }
        let mut findings = vec![Finding::ok(
            "root",
            format!("the station is at {}", self.root.path.display()),
        )];
        findings.extend(self.judge_database());
        findings.extend(self.judge_our_files());
        findings
    }

    fn missing_station(&self) -> Finding {
        let (root, strfry) = (self.root.path.display(), self.strfry.path.display());
        for seen in [&self.root, &self.strfry] {
            if let Err(error) = &seen.metadata
                && error.kind() == io::ErrorKind::PermissionDenied
            {
                return Finding::fail(
                    "root_closed",
                    format!(
                        "this user cannot look into {}: {error}",
                        seen.path.display()
                    ),
                    Remedy::from(format!(
                        "sudo -H -u \"$(sudo stat -c %U {})\" constellation-sync doctor",
                        quoted(&self.root.path)
                    ))
                    .because("run this as the station's owner"),
                );
            }
        }
        if is_folder(&self.root) {
            Finding::fail(
                "strfry_folder_missing",
                format!("{strfry} is not a folder: strfry is not installed"),
                Remedy::explain(
                    "install strfry with the station's setup, or say where the station is with --zen DIR",
                ),
            )
        } else {
            Finding::fail(
                "root_missing",
                format!("there is no station at {root}"),
                Remedy::explain(
                    "say where it is with --zen DIR or CONSTELLATION_ZEN, or install the station",
                ),
            )
        }
    }

    fn judge_database(&self) -> Vec<Finding> {
        let path = self.database.path.display();
        if !is_folder(&self.database) {
            return vec![Finding::fail(
                "db_missing",
                format!("{path} does not exist, and strfry does not create it"),
                format!("mkdir {}", quoted(&self.database.path)),
            )];
        }
        let Some(us) = &self.ourselves else {
            return Vec::new();
        };
        let files = [&self.database, &self.data, &self.lock];
        let closed = files.iter().find(|seen| {
            let wanted = if is_folder(seen) {
                READ | WRITE | ENTER
            } else {
                READ | WRITE
            };
            // What the administrator makes there is closed to everybody else.
            let leaves_closed = |owned: Owned| us.uid == 0 && owned.uid != 0;
            seen.owned()
                .is_some_and(|owned| !us.may(owned, wanted) || leaves_closed(owned))
        });
        let foreign = closed.and_then(|seen| {
            let owner = seen.owned()?;
            (owner.uid != us.uid).then_some((seen, owner.uid))
        });
        if let Some((seen, owner)) = foreign {
            let (owner, we) = (name_of(owner), name_of(us.uid));
            return vec![Finding::fail(
                "db_not_writable",
                format!(
                    "{} belongs to {owner}, but this program runs as {we}: strfry and the backfill must run as the same user",
                    seen.path.display()
                ),
                match us.uid {
                    0 => format!("sudo -u {owner} constellation-sync doctor"),
                    _ => format!("sudo chown -R {we} {}", quoted(&self.database.path)),
                },
            )];
        }
        vec![match closed {
            Some(seen) => Finding::fail(
                "db_not_writable",
                format!("{} cannot be written", seen.path.display()),
                format!("chmod -R u+rwX {}", quoted(&self.database.path)),
            ),
            None => Finding::ok("db", format!("{path} can be written")),
        }]
    }

    fn judge_our_files(&self) -> Vec<Finding> {
        let Some(us) = &self.ourselves else {
            return Vec::new();
        };
        let folder_is_closed = self
            .strfry
            .owned()
            .is_some_and(|owned| !us.may(owned, READ | WRITE | ENTER));
        if folder_is_closed {
            let path = &self.strfry.path;
            let owner = self.strfry.owned().map_or(us.uid, |owned| owned.uid);
            let (words, remedy) = if owner == us.uid {
                (String::new(), format!("chmod u+rwx {}", quoted(path)))
            } else {
                let (owner, we) = (name_of(owner), name_of(us.uid));
                let words = format!(" by {we}, because it belongs to {owner}");
                (
                    words,
                    format!("sudo -u {owner} -H constellation-sync doctor"),
                )
            };
            return vec![Finding::fail(
                "strfry_folder_not_writable",
                format!(
                    "{} cannot be written{words}: there can be no log and no lock",
                    path.display()
                ),
                remedy,
            )];
        }
        let mut findings = Vec::new();
        for seen in self.our_files.iter().filter(|seen| seen.is_there()) {
            let is_file = seen.metadata.as_ref().is_ok_and(Metadata::is_file);
            let is_ours = seen
                .owned()
                .is_some_and(|owned| us.may(owned, READ | WRITE));
            let path = &seen.path;
            if !is_file {
                findings.push(Finding::fail(
                    "own_file_not_writable",
                    format!("{} is not a file", path.display()),
                    format!("mv {p} {p}.old", p = quoted(path)),
                ));
            } else if !is_ours {
                findings.push(Finding::fail(
                    "own_file_not_writable",
                    format!("{} cannot be written by this user", path.display()),
                    format!("sudo chown {} {}", name_of(us.uid), quoted(path)),
                ));
            }
        }
        if findings.is_empty() {
            let text = "our files in strfry's folder can be written";
            findings.push(Finding::ok("own_files", text));
        }
        findings
    }
}

fn is_folder(seen: &Seen) -> bool {
    seen.metadata.as_ref().is_ok_and(Metadata::is_dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn a_station_that_is_hidden_is_not_called_missing() {
        let hidden = |path: &str| Seen {
            path: path.into(),
            metadata: Err(io::ErrorKind::PermissionDenied.into()),
        };
        let dir = tempfile::tempdir().unwrap();
        let facts = Facts::gather(&Station::new(dir.path()), &dir.path().join("data.mdb"));
        assert_eq!(facts.judge()[0].code, "strfry_folder_missing");
        let facts = Facts {
            root: hidden("/zen"),
            strfry: hidden("/zen/strfry"),
            ..facts
        };
        let finding = &facts.judge()[0];
        assert_eq!(finding.code, "root_closed");
        assert!(
            finding.text.contains("cannot look into /zen"),
            "{finding:?}"
        );
    }

    #[test]
    fn a_database_of_another_user_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let station = Station::new(dir.path());
        let data = station.strfry_dir().join("strfry-db/data.mdb");
        fs::create_dir_all(data.parent().unwrap()).unwrap();
        fs::write(&data, "").unwrap();
        let owner = fs::metadata(&data).unwrap().uid();
        let code = |uid, of_folder, of_file| {
            let mode = |path: &Path, mode| {
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            };
            mode(data.parent().unwrap(), of_folder);
            mode(&data, of_file);
            let facts = Facts {
                ourselves: Some(UnixUser::stranger(uid)),
                ..Facts::gather(&station, &data)
            };
            facts.judge_database()[0].code
        };
        assert_eq!(code(owner, 0o700, 0o600), "db");
        assert_eq!(code(owner + 1, 0o700, 0o666), "db_not_writable");
        assert_eq!(code(owner + 1, 0o777, 0o644), "db_not_writable");
        assert_eq!(code(owner + 1, 0o777, 0o666), "db");
    }
}
