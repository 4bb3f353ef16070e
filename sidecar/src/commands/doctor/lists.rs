//! `doctor` about the lists: whether they can be read, which lines are faulty, and how many keys are
//! followed.

use std::fs;
use std::io;
use std::path::PathBuf;

use constellation_shared::counted;
use constellation_shared::list_file::{self, ListFile};
use constellation_shared::swarm_lists::SwarmLists;
use constellation_shared::wot::{Faults, Unusual};
use constellation_shared::{Pubkey, Station};

use crate::commands::doctor::finding::{Finding, Remedy, quoted};
use crate::plan::recall::Kept;
use crate::support::clock::unix_time;
use crate::support::humanize::duration;
use crate::support::unix_user::{ENTER, READ, UnixUser, WRITE};
use crate::swarm::followed;
use crate::swarm::peer::Description;

/// A list and the outcome of reading it.
#[derive(Debug)]
struct Read {
    path: PathBuf,
    /// The number of keys and the faulty lines; `None` if there is no such list.
    outcome: io::Result<Option<(usize, Faults)>>,
}

/// What the policy must be able to do with a file or folder. It runs as strfry's user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Read,
    Enter,
    /// Replace a list, for which its folder must be writable.
    Replace,
}

/// A file or folder with which the policy cannot do what it must.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Closed {
    path: PathBuf,
    need: Need,
}

/// What is known of the lists.
#[derive(Debug)]
pub(crate) struct Facts {
    blacklist: Read,
    friends: Vec<Read>,
    members: io::Result<Vec<Read>>,
    /// What is not read of the other stations' lists, in words.
    left_out_of_swarm: Vec<String>,
    /// How many keys are followed, if that is known.
    followed: Option<usize>,
    /// What strfry's user cannot do.
    closed_to_strfry: Vec<Closed>,
    strfry_group: Option<u32>,
    members_dir: PathBuf,
    /// How many friends keep their standing although their list lacks them.
    kept_friends: usize,
    /// For how long, in seconds.
    kept_for: Option<u64>,
}

impl Facts {
    /// Reads the lists of a station whose strfry runs as this user.
    pub(crate) fn gather(
        station: &Station,
        descriptions: &[Description],
        kept: &Kept,
        strfry_user: Option<&UnixUser>,
    ) -> Self {
        let members = list_file::member_keys(station);
        let friend_lists = station.friend_lists().into_iter().map(ListFile::own);
        let closed = strfry_user.map(|user| closed_to(user, station));
        Self {
            blacklist: read(&ListFile::blacklist(station.blacklist())),
            friends: friend_lists.map(|list| read(&list)).collect(),
            members: members.map(|lists| lists.iter().map(read).collect()),
            left_out_of_swarm: left_out_of_swarm(station),
            followed: followed::followed(station, descriptions, &kept.keys)
                .ok()
                .map(|followed| followed.keys.len()),
            closed_to_strfry: closed.unwrap_or_default(),
            strfry_group: strfry_user.and_then(|user| user.groups.first().copied()),
            members_dir: station.members_dir(),
            kept_friends: kept.keys.len(),
            kept_for: kept.until.map(|until| until.saturating_sub(unix_time())),
        }
    }

    /// Whether a list has vanished, as once a day.
    fn judge_kept(&self) -> Option<Finding> {
        let left = self.kept_for.filter(|_| self.kept_friends > 0)?;
        Some(Finding::ok(
            "friends_kept",
            format!(
                "a list of friends has gone, as each evening while the station's scripts write it anew: {} of it keep their standing for another {}",
                counted(self.kept_friends as u64, "friend"),
                duration(left)
            ),
        ))
    }

    /// What is wrong with the lists.
    pub(crate) fn judge(&self) -> Vec<Finding> {
        let mut findings = vec![judge(
            &self.blacklist,
            "blacklist",
            "nobody is let in, and nothing is synced",
        )];
        findings.extend(self.judge_kept());
        findings.extend(unusual(&self.blacklist));
        let of_friends = self.friends.iter();
        findings.extend(
            of_friends
                .map(|list| judge(list, "friends", "the friends of friends are not followed")),
        );
        match &self.members {
            Err(error) => {
                let path = &self.members_dir;
                findings.push(Finding::fail(
                    "members_unreadable",
                    format!("{} cannot be read: {error}", path.display()),
                    format!("chmod u+rx {}", quoted(path)),
                ));
            }
            Ok(members) => findings.extend(judge_members(members)),
        }
        findings.extend(self.left_out_of_swarm.iter().map(|text| {
            Finding::warn(
                "swarm_lists_cut",
                text,
                Remedy::explain("look at these lists: no constellation fills them like that; if the folder belongs to no station, delete it"),
            )
        }));
        let closed = self.closed_to_strfry.iter();
        findings.extend(closed.map(|closed| closed.judge(self.strfry_group)));
        findings.extend(self.judge_followed());
        findings
    }

    /// How many keys are followed. If that is unknown, another finding already says why.
    fn judge_followed(&self) -> Option<Finding> {
        Some(match self.followed? {
            0 => Finding::warn(
                "nobody_followed",
                "no key is followed: there are no members and no friends",
                Remedy::explain(
                    "make a MULTIPASS, or wait for amisOfAmis.txt to be rebuilt, which takes an hour a day",
                ),
            ),
            count => {
                let verb = if count == 1 { "is" } else { "are" };
                let text = format!("{} {verb} followed", counted(count, "key"));
                Finding::ok("followed", text)
            }
        })
    }
}

impl Closed {
    /// The finding, with a remedy for strfry's user being in this group.
    fn judge(&self, strfry_group: Option<u32>) -> Finding {
        let path = quoted(&self.path);
        let (action, remedy) = match self.need {
            Need::Read => ("read", format!("chmod a+r {path}")),
            Need::Enter => ("enter", format!("chmod a+x {path}")),
            Need::Replace => {
                let group = strfry_group.map_or_else(String::new, |group| {
                    format!("sudo chgrp {group} {path} && ")
                });
                (
                    "take lines out of blacklist.txt in",
                    format!("{group}chmod g+rwx {path}"),
                )
            }
        };
        Finding::fail(
            "lists_closed_to_strfry",
            format!("strfry's user cannot {action} {}", self.path.display()),
            remedy,
        )
    }
}

fn read(list: &ListFile) -> Read {
    let outcome = list.open().and_then(|open| {
        let Some(open) = open else { return Ok(None) };
        let mut keys = 0;
        let faults = open.read(|_, _: Pubkey| keys += 1)?;
        Ok(Some((keys, faults)))
    });
    Read {
        path: list.path().to_owned(),
        outcome,
    }
}

/// A swarm that cannot be looked at is reported with the peers.
fn left_out_of_swarm(station: &Station) -> Vec<String> {
    let Ok(swarm) = SwarmLists::find(station) else {
        return Vec::new();
    };
    let mut texts = Vec::new();
    if !swarm.left_out.is_empty() {
        texts.push(format!(
            "{}: not read: {}",
            station.swarm_dir().display(),
            swarm.left_out
        ));
    }
    for list in &swarm.lists {
        if let Ok(Some((_, faults))) = read(list).outcome
            && faults.cut_after.is_some()
        {
            texts.push(format!("{}: {faults}", list.path().display()));
        }
    }
    texts
}

fn judge(list: &Read, name: &'static str, consequence: &str) -> Finding {
    let path = list.path.display();
    match &list.outcome {
        Ok(None) => Finding::ok(name, format!("{path} does not exist, and counts as empty")),
        Ok(Some((keys, faults))) if faults.count == 0 => {
            Finding::ok(name, format!("{path} holds {}", counted(*keys, "key")))
        }
        Ok(Some((_, faults))) => faulty(list, faults, name == "blacklist"),
        Err(error) => Finding::fail(
            "list_unreadable",
            format!("{path} cannot be read ({error}): {consequence}"),
            if fs::metadata(&list.path).is_ok_and(|metadata| metadata.is_file()) {
                format!("chmod a+r {}", quoted(&list.path))
            } else {
                format!("mv {p} {p}.old", p = quoted(&list.path))
            },
        ),
    }
}

/// Lines of the blacklist that block somebody without being one key.
fn unusual(blacklist: &Read) -> Option<Finding> {
    let (_, faults) = blacklist.outcome.as_ref().ok()?.as_ref()?;
    let line = faults.unusual.first.first()?.0;
    Some(Finding::warn(
        "blacklist_unusual",
        format!("{}: {}", blacklist.path.display(), faults.unusual),
        Remedy::from(format!("nano +{line} {}", quoted(&blacklist.path))).because(
            "write one key per line, so that other programs understand it too, and put # before comments",
        ),
    ))
}

/// Lines that hold no key.
fn faulty(list: &Read, faults: &Faults, is_blacklist: bool) -> Finding {
    let line = faults.first.first().map_or(1, |(number, _)| *number);
    let faults = Faults {
        unusual: Unusual::default(),
        ..faults.clone()
    };
    let path = quoted(&list.path);
    // Which lines of a blacklist hold a key is not for a pattern to say: one that is taken out is
    // unblocked.
    let remedy = if is_blacklist {
        Remedy::from(format!("nano +{line} {path}"))
    } else {
        let keys = r"^\s*((0x)?[0-9a-f]{64}|npub1[0-9a-z]{58})?\s*(#.*)?$";
        Remedy::from(format!("sed -i -E '/{keys}/I!d' {path}")).because(format!(
            "this deletes the lines without a key; to look first: nano +{line} {path}"
        ))
    };
    Finding::warn(
        "list_faulty",
        format!("{}: {faults}", list.path.display()),
        remedy,
    )
}

fn judge_members(members: &[Read]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = members
        .iter()
        .filter_map(|list| match &list.outcome {
            Ok(Some((_, faults))) if faults.count > 0 => Some(faulty(list, faults, false)),
            Ok(_) => None,
            Err(_) => Some(judge(list, "member", "this member is not followed")),
        })
        .collect();
    if findings.is_empty() {
        let count = members.iter().filter(|list| {
            let read = list.outcome.as_ref().ok().and_then(Option::as_ref);
            read.is_some_and(|(keys, _)| *keys > 0)
        });
        let text = counted(count.count(), "local member");
        findings.push(Finding::ok("members", text));
    }
    findings
}

/// The files and folders with which the policy cannot do what it must when this user runs it.
fn closed_to(user: &UnixUser, station: &Station) -> Vec<Closed> {
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    let mut closed = Vec::new();
    let lists = [vec![station.blacklist()], station.friend_lists()].concat();
    for path in lists.into_iter().map(absolute) {
        if path.exists()
            && let Err(obstacle) = user.reaches(&path, READ)
        {
            let is_list = obstacle == path;
            let need = if is_list { Need::Read } else { Need::Enter };
            let path = obstacle.to_owned();
            closed.push(Closed { path, need });
        }
    }
    let blacklist = absolute(station.blacklist());
    let folder = blacklist
        .parent()
        .map_or_else(|| station.strfry_dir(), PathBuf::from);
    if closed.is_empty() && user.reaches(&folder, READ | WRITE | ENTER) == Err(&folder) {
        let (path, need) = (folder, Need::Replace);
        closed.push(Closed { path, need });
    }
    closed.dedup();
    closed
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    fn station(dir: &tempfile::TempDir) -> Station {
        let station = Station::new(dir.path());
        fs::create_dir_all(station.strfry_dir()).unwrap();
        fs::write(station.blacklist(), "").unwrap();
        station
    }

    #[test]
    fn a_line_of_the_blacklist_that_is_not_one_key_is_named_with_what_was_understood() {
        let dir = tempfile::tempdir().unwrap();
        let station = station(&dir);
        let key = |byte: u8| Pubkey::from_bytes([byte; 32]);
        let list = |text: String| {
            fs::write(station.blacklist(), text).unwrap();
            read(&ListFile::blacklist(station.blacklist()))
        };
        let usual = list(format!("{}\n{} # spam\n", key(1), key(2)));
        assert!(unusual(&usual).is_none());
        let odd = list(format!(
            "{}\n{} spam\nhalf\n{}{}\n",
            key(1),
            key(2),
            key(3),
            key(4)
        ));
        let finding = unusual(&odd).unwrap();
        assert_eq!(finding.code, "blacklist_unusual");
        assert!(
            finding.text.ends_with(
                "blacklist.txt: 2 lines are unusual, but the keys count: \
                 line 2 (1 key 02020202...02020202), \
                 line 4 (2 keys 03030303...03030303 04040404...04040404)"
            ),
            "{}",
            finding.text
        );
        let remedy = finding.remedy.unwrap();
        assert!(remedy.contains("nano +2 "), "{remedy}");
        let faulty = judge(&odd, "blacklist", "");
        assert!(
            faulty.text.ends_with(": 1 line skipped: line 3 \"half\""),
            "{}",
            faulty.text
        );
        // No pattern decides which lines of a blacklist are deleted.
        let remedy = faulty.remedy.unwrap();
        assert!(remedy.starts_with("nano +3 "), "{remedy}");
        assert!(!remedy.contains("sed"), "{remedy}");
        let friends = judge(&odd, "friends", "").remedy.unwrap();
        let shell = std::process::Command::new("sh")
            .args(["-c", &friends])
            .status();
        assert!(shell.unwrap().success());
        let left = fs::read_to_string(station.blacklist()).unwrap();
        assert_eq!(left.lines().count(), 1, "{left}");
    }

    #[test]
    fn what_is_not_read_of_other_stations_lists_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let station = station(&dir);
        for (folder, length) in [("A", 100), ("B", 1_000_000)] {
            let folder = station.swarm_dir().join(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("amisOfAmis.txt"), "\n".repeat(length)).unwrap();
        }
        let texts = left_out_of_swarm(&station);
        assert_eq!(texts.len(), 1);
        let words = "B/amisOfAmis.txt: too few keys for its length";
        assert!(texts[0].contains(words), "{texts:?}");
        let findings = Facts::gather(&station, &[], &Kept::default(), None).judge();
        assert!(format!("{findings:?}").contains("swarm_lists_cut"));
    }

    #[test]
    fn the_policy_s_user_must_get_at_the_lists() {
        let dir = tempfile::tempdir().unwrap();
        let station = station(&dir);
        let mode = |path: &std::path::Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(dir.path(), 0o755);
        let owner = fs::metadata(dir.path()).unwrap().uid();
        let stranger = UnixUser::stranger(owner + 1);
        let strfry = station.strfry_dir();
        for (of_folder, of_list, expected) in [
            (0o777, 0o644, None),
            (0o777, 0o600, Some((station.blacklist(), Need::Read))),
            (0o700, 0o644, Some((strfry.clone(), Need::Enter))),
            (0o755, 0o644, Some((strfry.clone(), Need::Replace))),
        ] {
            mode(&strfry, of_folder);
            mode(&station.blacklist(), of_list);
            let expected: Vec<Closed> = expected
                .into_iter()
                .map(|(path, need)| Closed { path, need })
                .collect();
            assert_eq!(closed_to(&stranger, &station), expected, "{of_folder:o}");
        }
        mode(&strfry, 0o755);
    }
}
