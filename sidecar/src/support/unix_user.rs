//! [`Person`]: a user of this machine, and what he may do with a file, by its mode alone:
//! the doctor asks that for strfry's user too, as whom it does not run.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Reading, writing, and running or entering, as in a mode.
pub(crate) const READ: u32 = 4;
/// See [`READ`].
pub(crate) const WRITE: u32 = 2;
/// See [`READ`].
pub(crate) const ENTER: u32 = 1;

/// A user and his groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    /// The user's number.
    pub uid: u32,
    /// The numbers of his groups.
    pub groups: Vec<u32>,
}

/// Who owns a file, and its mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owned {
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The mode.
    pub mode: u32,
}

impl From<&Metadata> for Owned {
    fn from(metadata: &Metadata) -> Self {
        Self {
            uid: metadata.uid(),
            gid: metadata.gid(),
            mode: metadata.mode(),
        }
    }
}

impl Person {
    /// Who runs this program.
    pub(crate) fn ourselves() -> Option<Self> {
        Self::parse_status(&fs::read_to_string("/proc/self/status").ok()?)
    }

    /// The user of this number, with the groups that the machine's files give him.
    pub(crate) fn of_number(uid: u32) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            uid,
            groups: groups_of(uid, &read("/etc/passwd"), &read("/etc/group")),
        }
    }

    /// Reads `/proc/PID/status`.
    fn parse_status(text: &str) -> Option<Self> {
        let numbers = |name: &str| -> Option<Vec<u32>> {
            let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
            let words = rest.split_whitespace();
            Some(words.filter_map(|word| word.parse().ok()).collect())
        };
        // Real, effective, saved, and for file systems: the last one counts for files.
        let uid = *numbers("Uid:")?.last()?;
        let mut groups = numbers("Groups:").unwrap_or_default();
        groups.extend(numbers("Gid:")?.last());
        Some(Self { uid, groups })
    }

    /// Whether the mode of a file gives him all of `wanted`.
    pub(crate) fn may(&self, file: Owned, wanted: u32) -> bool {
        if self.uid == 0 {
            let folder_or_program = file.mode & 0o111 != 0 || file.mode & 0o170_000 == 0o040_000;
            return wanted & ENTER == 0 || folder_or_program;
        }
        let granted = match () {
            () if file.uid == self.uid => file.mode >> 6,
            () if self.groups.contains(&file.gid) => file.mode >> 3,
            () => file.mode,
        };
        granted & wanted == wanted
    }

    /// Whether he may enter all folders on the way to an absolute path, and has `wanted`
    /// there; the first obstacle otherwise. What cannot be looked at is one.
    pub(crate) fn reaches<'a>(&self, path: &'a Path, wanted: u32) -> Result<(), &'a Path> {
        let may = |path: &Path, wanted| {
            fs::metadata(path).is_ok_and(|metadata| self.may(Owned::from(&metadata), wanted))
        };
        let mut folders: Vec<&Path> = path.ancestors().skip(1).collect();
        folders.reverse();
        if let Some(closed) = folders.into_iter().find(|folder| !may(folder, ENTER)) {
            return Err(closed);
        }
        match may(path, wanted) {
            true => Ok(()),
            false => Err(path),
        }
    }
}

/// The name of a user; his number where `/etc/passwd` knows none.
pub(crate) fn name_of(uid: u32) -> String {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    entry(uid, &passwd).map_or_else(|| uid.to_string(), |(name, _)| name.to_owned())
}

/// Name and first group in `/etc/passwd`.
fn entry(uid: u32, passwd: &str) -> Option<(&str, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        (number == uid).then_some((name, group))
    })
}

fn groups_of(uid: u32, passwd: &str, group: &str) -> Vec<u32> {
    let Some((name, first)) = entry(uid, passwd) else {
        return Vec::new();
    };
    let others = group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let number = fields.nth(2)?.parse().ok()?;
        let mut members = fields.next()?.split(',');
        members.any(|member| member == name).then_some(number)
    });
    std::iter::once(first).chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nstrfry:x:104:110::/home/strfry:\n";
    const GROUP: &str = "root:x:0:\nstrfry:x:110:\nwww:x:33:captain,strfry\n";

    #[test]
    fn a_user_has_the_groups_that_the_files_give_him() {
        assert_eq!(groups_of(104, PASSWD, GROUP), [110, 33]);
        assert!(groups_of(7, PASSWD, GROUP).is_empty());
        assert_eq!(entry(104, PASSWD), Some(("strfry", 110)));
        let status = "Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t9 10 \n";
        let person = Person::parse_status(status).unwrap();
        assert_eq!((person.uid, person.groups), (4, vec![9, 10, 8]));
        assert_eq!(Person::parse_status(""), None);
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        let person = |uid| Person {
            uid,
            groups: vec![50],
        };
        let owned = |mode| Owned {
            uid: 7,
            gid: 50,
            mode,
        };
        for (uid, mode, wanted, may) in [
            (7, 0o600, READ | WRITE, true),
            (7, 0o077, READ, false),
            (8, 0o640, READ, true),
            (8, 0o640, WRITE, false),
            (8, 0o707, READ, false),
            (0, 0o000, READ | WRITE, true),
            (0, 0o000, ENTER, false),
            (0, 0o001, ENTER, true),
            (0, 0o040_000, ENTER, true),
        ] {
            let seen = person(uid).may(owned(mode), wanted);
            assert_eq!(seen, may, "{uid} {mode:o} {wanted}");
        }
        let stranger = Person {
            uid: 8,
            groups: Vec::new(),
        };
        assert!(stranger.may(owned(0o705), READ | ENTER));
    }

    #[test]
    fn a_closed_folder_on_the_way_is_the_obstacle() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let owner = Owned::from(&fs::metadata(&file).unwrap()).uid;
        let stranger = Person {
            uid: owner + 1,
            groups: Vec::new(),
        };
        assert_eq!(stranger.reaches(&file, READ), Err(dir.path()));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(stranger.reaches(&file, READ), Ok(()));
        assert_eq!(stranger.reaches(&file, WRITE), Err(file.as_path()));
    }
}
