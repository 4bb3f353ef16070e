//! Copies a file's owner, mode, access list and other extended attributes to the file that will
//! replace it.
//!
//! If that fails, the old file must stay in place: without its access list, its group would get
//! all that the list's mask allowed, and without its label, the program that the file is for
//! may be kept out. So every failure is an error.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, fchown};

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};
use rustix::io::Errno;

/// Linux's name of the attribute that holds the POSIX access list.
const ACCESS_LIST: &str = "system.posix_acl_access";

/// The largest attribute, and the longest list of names, in bytes (`XATTR_SIZE_MAX`,
/// `XATTR_LIST_MAX`).
const LARGEST: usize = 65_536;

/// Attributes that the kernel derives from a file's content, and that must not be copied to a
/// file with another content.
const OF_THE_CONTENT: [&str; 2] = ["security.ima", "security.evm"];

/// Why a file could not be given the attributes of another.
#[derive(Debug, thiserror::Error)]
pub enum AttributeError {
    /// The attributes of one of the files cannot be read.
    #[error("cannot look at its attributes")]
    Look(#[source] io::Error),
    /// The owner or the group could not be set.
    #[error("cannot keep its owner")]
    Owner(#[source] io::Error),
    /// The mode could not be set.
    #[error("cannot keep its mode")]
    Mode(#[source] io::Error),
    /// An extended attribute could not be set or removed.
    #[error("cannot keep its attribute {0}")]
    Attribute(String, #[source] io::Error),
}

/// Gives `new` the owner, access list, extended attributes and mode of `old`. Until it is done,
/// `new` allows no more than it did before, so create it with mode 0600.
///
/// # Errors
/// [`AttributeError`]; `new` must then not replace `old`.
pub fn carry_over(old: &File, new: &File) -> Result<(), AttributeError> {
    let like = old.metadata().map_err(AttributeError::Look)?;
    let made = new.metadata().map_err(AttributeError::Look)?;
    // The owner comes first, as changing it removes capabilities and the set-user-id bit.
    if (made.uid(), made.gid()) != (like.uid(), like.gid()) {
        fchown(new, Some(like.uid()), Some(like.gid())).map_err(AttributeError::Owner)?;
    }
    let wanted = names(old).map_err(AttributeError::Look)?;
    for name in names(new).map_err(AttributeError::Look)? {
        // A folder gives its default access list to each file that is created in it.
        if !wanted.contains(&name) {
            remove(new, &name)?;
        }
    }
    for name in wanted {
        copy(old, new, &name).map_err(|error| AttributeError::Attribute(name, error.into()))?;
    }
    new.set_permissions(like.permissions())
        .map_err(AttributeError::Mode)
}

fn remove(new: &File, name: &str) -> Result<(), AttributeError> {
    match fremovexattr(new, name) {
        // A security module does not let go of an attribute that it gives to every file.
        Err(error) if name == ACCESS_LIST && error != Errno::NODATA => {
            Err(AttributeError::Attribute(name.to_owned(), error.into()))
        }
        _ => Ok(()),
    }
}

fn copy(old: &File, new: &File, name: &str) -> rustix::io::Result<()> {
    let value = value(old, name)?;
    // Often both files were given the same label when they were created, and nobody may set it.
    if self::value(new, name).is_ok_and(|given| given == value) {
        return Ok(());
    }
    fsetxattr(new, name, &value, XattrFlags::empty())
}

/// The names of a file's extended attributes. There are none if its file system has none.
fn names(file: &File) -> io::Result<Vec<String>> {
    let listed = read(|buffer| flistxattr(file, buffer));
    let listed = match listed {
        Err(Errno::NOTSUP | Errno::NOSYS) => Vec::new(),
        listed => listed?,
    };
    listed
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8(name.to_owned()).map_err(io::Error::other))
        .filter(|name| !matches!(name, Ok(name) if OF_THE_CONTENT.contains(&name.as_str())))
        .collect()
}

fn value(file: &File, name: &str) -> rustix::io::Result<Vec<u8>> {
    read(|buffer| fgetxattr(file, name, buffer))
}

/// Returns what a system call writes into a buffer.
fn read(call: impl FnOnce(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut buffer = vec![0; LARGEST];
    let length = call(&mut buffer)?;
    buffer.truncate(length);
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    /// An access list as the kernel takes it: the owner, user 12345, the owning group, the
    /// mask and others, each with its permissions.
    fn access_list(permissions: [u16; 5]) -> Vec<u8> {
        const ANY: u32 = u32::MAX;
        let entries = [(1, ANY), (2, 12_345), (4, ANY), (16, ANY), (32, ANY)];
        let mut bytes = 2_u32.to_le_bytes().to_vec();
        for ((tag, id), permissions) in entries.into_iter().zip(permissions) {
            bytes.extend(u16::to_le_bytes(tag));
            bytes.extend(permissions.to_le_bytes());
            bytes.extend(u32::to_le_bytes(id));
        }
        bytes
    }

    /// Sets an attribute; `false`, which is said, where the file system has none such.
    fn set(path: &Path, name: &str, value: &[u8]) -> bool {
        let set = rustix::fs::setxattr(path, name, value, XattrFlags::empty());
        match set {
            Err(Errno::NOTSUP | Errno::PERM) => {
                let _ = writeln!(io::stderr(), "skipped: {name} cannot be set here");
                false
            }
            set => {
                set.unwrap();
                true
            }
        }
    }

    /// A file and one that takes its place, in a folder of their own.
    fn files(prepare: impl Fn(&Path, &Path)) -> (tempfile::TempDir, File, File) {
        let dir = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|name| dir.path().join(name));
        fs::write(&old, "").unwrap();
        prepare(dir.path(), &old);
        fs::write(&new, "").unwrap();
        fs::set_permissions(&new, Permissions::from_mode(0o600)).unwrap();
        let [old, new] = [old, new].map(|path| File::open(path).unwrap());
        (dir, old, new)
    }

    fn mode(file: &File) -> u32 {
        file.metadata().unwrap().mode() & 0o7777
    }

    #[test]
    fn what_a_file_has_the_one_in_its_place_has_too() {
        let list = access_list([6, 4, 0, 4, 0]);
        let attributes = [
            (ACCESS_LIST, &list[..]),
            ("user.note", b"\0from the captain\xff"),
            ("user.empty", b""),
            // Text with capabilities is odd, and still not ours to take away.
            (
                "security.capability",
                b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            ),
        ];
        let (dir, old, new) = files(|_, old| {
            fs::set_permissions(old, Permissions::from_mode(0o640)).unwrap();
        });
        for (name, value) in attributes {
            if set(&dir.path().join("old"), name, value) {
                assert!(names(&old).unwrap().contains(&name.to_owned()));
            }
        }
        carry_over(&old, &new).unwrap();
        assert_eq!(mode(&new), mode(&old));
        assert_eq!(names(&new).unwrap(), names(&old).unwrap());
        for name in names(&old).unwrap() {
            assert_eq!(value(&new, &name), value(&old, &name), "{name}");
        }
        // And once more, where it has them.
        carry_over(&old, &new).unwrap();
    }

    #[test]
    fn the_default_access_list_of_a_folder_gives_nobody_more() {
        let (_dir, old, new) = files(|folder, old| {
            fs::set_permissions(old, Permissions::from_mode(0o660)).unwrap();
            set(folder, "system.posix_acl_default", &access_list([7; 5]));
        });
        carry_over(&old, &new).unwrap();
        assert!(!names(&new).unwrap().contains(&ACCESS_LIST.to_owned()));
        assert_eq!(mode(&new), 0o660);
    }

    #[test]
    fn a_file_without_attributes_gives_its_mode() {
        let (_dir, old, new) = files(|_, old| {
            fs::set_permissions(old, Permissions::from_mode(0o4750)).unwrap();
        });
        carry_over(&old, &new).unwrap();
        assert_eq!(mode(&new), 0o4750);
        assert_eq!(names(&new).unwrap(), names(&old).unwrap());
    }

    #[test]
    fn what_cannot_be_kept_is_named() {
        let (_dir, old, _new) = files(|_, old| {
            set(old, "user.note", b"x");
        });
        if names(&old).unwrap().is_empty() {
            return;
        }
        // A pipe has no attributes.
        let (_reader, writer) = io::pipe().unwrap();
        let new = File::from(std::os::fd::OwnedFd::from(writer));
        let error = carry_over(&old, &new).unwrap_err();
        assert_eq!(error.to_string(), "cannot keep its attribute user.note");
    }
}
