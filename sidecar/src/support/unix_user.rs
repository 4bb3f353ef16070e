//! [`UnixUser`]: a user of this machine, and what he may do with a file according to its mode.
//! It answers for other users, too, without running anything as one of them.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The bit of a file mode that allows reading.
pub(crate) const READ: u32 = 4;
/// The bit of a file mode that allows writing.
pub(crate) const WRITE: u32 = 2;
/// The bit of a file mode that allows running a program or entering a folder.
pub(crate) const ENTER: u32 = 1;

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnixUser {
    /// The user's number.
    pub uid: u32,
    /// The numbers of the user's groups, the primary group first.
    pub groups: Vec<u32>,
    /// The login name, or the number if `/etc/passwd` has no entry.
    pub name: String,
    /// The home folder, empty if `/etc/passwd` has no entry.
    pub home: PathBuf,
}

/// Owner, group and mode of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owned {
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// The mode, the file's type included.
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

impl UnixUser {
    /// The user who runs this program.
    pub(crate) fn ourselves() -> Option<Self> {
        Self::of_process_folder(Path::new("/proc/self"))
    }

    /// The user as whom a process runs, with the groups that the process really has.
    pub(crate) fn of_process(pid: u32) -> Option<Self> {
        Self::of_process_folder(&Path::new("/proc").join(pid.to_string()))
    }

    fn of_process_folder(folder: &Path) -> Option<Self> {
        let status = fs::read_to_string(folder.join("status")).ok()?;
        Self::parse_status(&status, &passwd())
    }

    /// The owner of a file, with the groups that `/etc/passwd` and `/etc/group` list.
    pub(crate) fn owner_of(metadata: &Metadata) -> Self {
        let groups = fs::read_to_string("/etc/group").unwrap_or_default();
        Self::parse(metadata.uid(), metadata.gid(), &passwd(), &groups)
    }

    /// The user of this number by the text of `/etc/passwd` and `/etc/group`. `gid` is the
    /// primary group if `/etc/passwd` has no entry.
    pub(crate) fn parse(uid: u32, gid: u32, passwd: &str, groups: &str) -> Self {
        let mut user = Self::with_groups(uid, Vec::new(), passwd);
        let primary = entry(uid, passwd).map_or(gid, |entry| entry.gid);
        let others = groups.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let number = fields.nth(2)?.parse().ok()?;
            let mut members = fields.next()?.split(',');
            members.any(|member| member == user.name).then_some(number)
        });
        user.groups = std::iter::once(primary).chain(others).collect();
        user
    }

    /// Reads `/proc/PID/status`.
    fn parse_status(text: &str, passwd: &str) -> Option<Self> {
        let numbers = |name: &str| -> Option<Vec<u32>> {
            let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
            let fields = rest.split_whitespace();
            Some(fields.filter_map(|field| field.parse().ok()).collect())
        };
        // The fields are the real, effective, saved and file system id; files go by the last.
        let uid = *numbers("Uid:")?.last()?;
        let mut groups: Vec<u32> = numbers("Gid:")?.last().copied().into_iter().collect();
        groups.extend(numbers("Groups:").unwrap_or_default());
        Some(Self::with_groups(uid, groups, passwd))
    }

    fn with_groups(uid: u32, groups: Vec<u32>, passwd: &str) -> Self {
        let entry = entry(uid, passwd);
        Self {
            uid,
            groups,
            name: entry.map_or_else(|| uid.to_string(), |entry| entry.name.to_owned()),
            home: entry.map_or_else(PathBuf::new, |entry| entry.home.into()),
        }
    }

    /// A user without any name, home or group.
    #[cfg(test)]
    pub(crate) fn stranger(uid: u32) -> Self {
        Self::with_groups(uid, Vec::new(), "")
    }

    /// Whether the mode of a file gives this user every permission in `wanted`.
    pub(crate) fn may(&self, file: Owned, wanted: u32) -> bool {
        if self.uid == 0 {
            let folder_or_program = file.mode & 0o111 != 0 || file.mode & 0o170_000 == 0o040_000;
            return wanted & ENTER == 0 || folder_or_program;
        }
        let granted = if file.uid == self.uid {
            file.mode >> 6
        } else if self.groups.contains(&file.gid) {
            file.mode >> 3
        } else {
            file.mode
        };
        granted & wanted == wanted
    }

    /// Whether this user may enter every folder on the way to an absolute path and has every
    /// permission in `wanted` there. The error is the first path that stands in the way; one
    /// that we cannot look at ourselves counts as such.
    pub(crate) fn reaches<'a>(&self, path: &'a Path, wanted: u32) -> Result<(), &'a Path> {
        let may = |path: &Path, wanted| {
            fs::metadata(path).is_ok_and(|metadata| self.may(Owned::from(&metadata), wanted))
        };
        let mut folders: Vec<&Path> = path.ancestors().skip(1).collect();
        folders.reverse();
        if let Some(closed) = folders.into_iter().find(|folder| !may(folder, ENTER)) {
            return Err(closed);
        }
        if may(path, wanted) { Ok(()) } else { Err(path) }
    }
}

/// The login name of a user, or the number if `/etc/passwd` has no entry.
pub(crate) fn name_of(uid: u32) -> String {
    UnixUser::with_groups(uid, Vec::new(), &passwd()).name
}

fn passwd() -> String {
    fs::read_to_string("/etc/passwd").unwrap_or_default()
}

/// A line of `/etc/passwd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry<'a> {
    name: &'a str,
    gid: u32,
    home: &'a str,
}

fn entry(uid: u32, passwd: &str) -> Option<Entry<'_>> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1).unwrap_or_default();
        (number == uid).then_some(Entry { name, gid, home })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nstrfry:x:104:110::/home/strfry:\n";
    const GROUP: &str = "root:x:0:\nstrfry:x:110:\nwww:x:33:captain,strfry\n";

    #[test]
    fn a_user_has_the_groups_that_the_files_give_him() {
        let strfry = UnixUser::parse(104, 5, PASSWD, GROUP);
        assert_eq!(
            (strfry.name.as_str(), strfry.groups),
            ("strfry", vec![110, 33])
        );
        assert_eq!(strfry.home, Path::new("/home/strfry"));
        let nobody = UnixUser::parse(7, 8, PASSWD, GROUP);
        assert_eq!((nobody.name.as_str(), nobody.groups), ("7", vec![8]));
        assert_eq!(nobody.home, Path::new(""));
    }

    #[test]
    fn a_process_has_the_groups_that_the_kernel_gives_it() {
        let status = "Name:\tx\nUid:\t1\t2\t3\t104\nGid:\t5\t6\t7\t8\nGroups:\t9 10 \n";
        let user = UnixUser::parse_status(status, PASSWD).unwrap();
        assert_eq!((user.uid, user.groups), (104, vec![8, 9, 10]));
        assert_eq!(user.name, "strfry");
        assert_eq!(UnixUser::parse_status("", PASSWD), None);
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        let person = |uid| UnixUser {
            groups: vec![50],
            ..UnixUser::stranger(uid)
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
        let stranger = UnixUser::stranger(8);
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
        let stranger = UnixUser::stranger(owner + 1);
        assert_eq!(stranger.reaches(&file, READ), Err(dir.path()));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(stranger.reaches(&file, READ), Ok(()));
        assert_eq!(stranger.reaches(&file, WRITE), Err(file.as_path()));
    }
}
