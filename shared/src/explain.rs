//! Which files and lines a key is in, and the verdict that follows from it.

use std::io;
use std::path::{Path, PathBuf};

use crate::key::Pubkey;
use crate::list_file::ListFile;
use crate::sanitize::one_line;
use crate::verdict::{Standing, Verdict};

/// A line that a key is in, or a list that cannot be searched.
#[derive(Debug)]
pub struct Place {
    /// What the keys in the list are: `blocked`, `friend` or `member`.
    pub role: &'static str,
    /// The path of the list.
    pub path: PathBuf,
    /// The number of the line, from 1, or why the list cannot be read.
    pub line: io::Result<u64>,
}

impl Place {
    /// Describes the place: `blocked: …/blacklist.txt line 3`.
    pub fn words(&self) -> String {
        let (role, path) = (self.role, self.path.display());
        // The folder of another station may have any name.
        one_line(&match &self.line {
            Ok(line) => format!("{role}: {path} line {line}"),
            Err(error) => format!("{role}? {path} cannot be read: {error}"),
        })
    }
}

/// The lines of a list that the key is in. A list that cannot be read is one place, which says
/// why.
pub fn places(list: &ListFile, key: &Pubkey, role: &'static str) -> Vec<Place> {
    let mut places = Vec::new();
    let path = list.path().to_owned();
    let place = |line| Place {
        role,
        path: path.clone(),
        line,
    };
    let read = list.open().and_then(|open| {
        let Some(open) = open else { return Ok(()) };
        open.read(|number, found| {
            if found == *key {
                places.push(place(Ok(number)));
            }
        })?;
        Ok(())
    });
    if let Err(error) = read {
        places.push(place(Err(error)));
    }
    places
}

/// Which lines a key is in, and the verdict on it.
#[derive(Debug)]
pub struct Explanation {
    /// All lines that the key is in, and the lists that cannot be read.
    pub places: Vec<Place>,
    /// Whether the blacklist cannot be read, so that nobody may write.
    pub is_unknown: bool,
    /// The verdict on the key.
    pub verdict: Verdict,
}

impl Explanation {
    /// Searches the blacklist and the pardoning lists for a key. Pardoning lists below
    /// `members_dir` are those of members, all others those of friends.
    pub fn of(
        key: &Pubkey,
        blacklist: &ListFile,
        pardoning: &[ListFile],
        members_dir: &Path,
    ) -> Self {
        let stands = |places: &[Place]| places.iter().any(|place| place.line.is_ok());
        let mut found = places(blacklist, key, "blocked");
        let is_unknown = found.iter().any(|place| place.line.is_err());
        let mut standing = Standing {
            blocked: stands(&found),
            ..Standing::default()
        };
        for list in pardoning {
            let is_member = list.path().starts_with(members_dir);
            let role = if is_member { "member" } else { "friend" };
            let more = places(list, key, role);
            if is_member {
                standing.member |= stands(&more);
            } else {
                standing.friend |= stands(&more);
            }
            found.extend(more);
        }
        Self {
            places: found,
            is_unknown,
            verdict: if is_unknown {
                Verdict::Block
            } else {
                standing.verdict()
            },
        }
    }

    /// Describes the verdict.
    pub const fn words(&self) -> &'static str {
        match self.verdict {
            Verdict::Block if self.is_unknown => {
                "block (the blacklist cannot be read: every event is rejected)"
            }
            Verdict::Allow => "allow",
            Verdict::Pardon => {
                "allow (in the blacklist, but a friend or member: its lines there are removed with its next event)"
            }
            Verdict::Block => "block",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Lists in which the key 1 stands or not, and what is explained of it.
    fn explained(blocked: bool, friend: bool, member: bool) -> Explanation {
        let dir = tempfile::tempdir().unwrap();
        let keys = [1_u8, 2].map(|byte| Pubkey::from_bytes([byte; 32]));
        let list = |name: &str, holds: bool| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let [key, other] = keys;
            let line = if holds {
                format!("{key}\n")
            } else {
                String::new()
            };
            fs::write(&path, format!("{other}\n{line}")).unwrap();
            ListFile::own(path)
        };
        let blacklist = ListFile::blacklist(list("blacklist", blocked).path());
        // Twice: what stands in the first is not forgotten with the second.
        let pardoning = [
            list("friends", friend),
            list("more", false),
            list("members/a/HEX", member),
            list("members/b/HEX", false),
        ];
        Explanation::of(
            &keys[0],
            &blacklist,
            &pardoning,
            &dir.path().join("members"),
        )
    }

    #[test]
    fn each_standing_has_its_places_and_its_verdict() {
        for (blocked, friend, member, verdict, words) in [
            (false, false, false, Verdict::Allow, "allow"),
            (false, true, true, Verdict::Allow, "allow"),
            (true, false, false, Verdict::Block, "block"),
            (
                true,
                true,
                false,
                Verdict::Pardon,
                "allow (in the blacklist, but a friend",
            ),
            (
                true,
                false,
                true,
                Verdict::Pardon,
                "allow (in the blacklist, but a friend",
            ),
        ] {
            let explained = explained(blocked, friend, member);
            assert_eq!(explained.verdict, verdict, "{blocked} {friend} {member}");
            assert!(
                explained.words().starts_with(words),
                "{}",
                explained.words()
            );
            assert_eq!(explained.words().len() > 5, words.len() > 5);
            let roles: Vec<&str> = explained.places.iter().map(|place| place.role).collect();
            let expected = [(blocked, "blocked"), (friend, "friend"), (member, "member")];
            let expected = expected.iter().filter(|(holds, _)| *holds);
            assert!(expected.map(|(_, role)| *role).eq(roles));
            for place in &explained.places {
                let words = place.words();
                assert!(words.starts_with(&format!("{}: /", place.role)), "{words}");
                assert!(words.ends_with(" line 2"), "{words}");
            }
        }
    }

    #[test]
    fn a_blacklist_that_cannot_be_read_blocks_everybody() {
        let dir = tempfile::tempdir().unwrap();
        let blacklist = ListFile::blacklist(dir.path());
        let key = Pubkey::from_bytes([1; 32]);
        let explained = Explanation::of(&key, &blacklist, &[], dir.path());
        assert!(explained.is_unknown);
        assert_eq!(explained.verdict, Verdict::Block);
        assert!(
            explained
                .words()
                .starts_with("block (the blacklist cannot be read")
        );
        let words = explained.places[0].words();
        assert!(
            words.starts_with("blocked? /") && words.contains(" cannot be read: "),
            "{words}"
        );
    }
}
