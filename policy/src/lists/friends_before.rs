//! [`FriendsBefore`]: the friends on a list that has just gone.
//!
//! Once a day the station's scripts delete `amisOfAmis.txt`, and write it anew over the next hour.
//! Those who were on it keep their standing for two hours. A hard link keeps the file that was there
//! before: nothing is copied, and a policy that is restarted in between finds it, too. The file system
//! notes the moment at which a file loses a name as a change of it, and from then on the two hours
//! are counted.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use constellation_shared::list_file::ListFile;
use tracing::debug;

/// How long friends keep their standing who were on a list that has gone.
const REMEMBERED: Duration = Duration::from_secs(2 * 3600);

/// How often it is looked whether a link is to be made.
const INTERVAL: Duration = Duration::from_secs(10);

/// How far the file system's clock may be ahead of ours.
const AHEAD: Duration = Duration::from_secs(10);

/// Keeps the lists of friends that are there, in case they vanish.
#[derive(Debug, Default)]
pub(crate) struct FriendsBefore {
    looked_at: Option<Duration>,
}

impl FriendsBefore {
    /// Links to the lists that are there at `now`, the time since 1970, unless links to former lists
    /// are still needed. Where no link can be made, friends lose their standing with their list.
    pub(crate) fn keep(&mut self, friends: &[PathBuf], now: Duration) {
        let is_due = |at: Duration| now.checked_sub(at).is_none_or(|age| age >= INTERVAL);
        if !self.looked_at.is_none_or(is_due) {
            return;
        }
        self.looked_at = Some(now);
        for list in friends {
            if let Some(link) = link(list)
                && let Err(error) = keep(list, &link, now)
            {
                debug!("{} is not kept: {error}", list.display());
            }
        }
    }
}

/// The former lists of friends that count at `now`, the time since 1970.
pub(crate) fn in_force(friends: &[PathBuf], now: Duration) -> Vec<ListFile> {
    former(friends, |list, link| counts(list, link, now))
}

/// The former lists of friends that do not count at `now`, the time since 1970, or not any more.
pub(super) fn not_in_force(friends: &[PathBuf], now: Duration) -> Vec<ListFile> {
    former(friends, |list, link| !counts(list, link, now))
}

fn former(friends: &[PathBuf], is_sought: impl Fn(&Path, &Path) -> bool) -> Vec<ListFile> {
    let links = friends.iter().filter_map(|list| {
        let link = link(list)?;
        is_sought(list, &link).then(|| ListFile::own(link))
    });
    links.collect()
}

/// Where the link to a list is.
fn link(list: &Path) -> Option<PathBuf> {
    let name = list.file_name()?.to_str()?;
    Some(list.with_file_name(format!("constellation-{name}.before")))
}

fn regular(path: &Path) -> Option<Metadata> {
    fs::symlink_metadata(path).ok().filter(Metadata::is_file)
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Whether a former list counts: the list has gone lately, or another one that is clearly shorter is
/// in its place.
fn counts(list: &Path, link: &Path, now: Duration) -> bool {
    let Some(before) = regular(link) else {
        return false;
    };
    if let Some(current) = regular(list)
        && (is_same(&current, &before) || current.len() >= before.len() / 10 * 9)
    {
        return false;
    }
    let seconds = u64::try_from(before.ctime()).unwrap_or_default();
    let gone_at = Duration::from_secs(seconds);
    match now.checked_sub(gone_at) {
        Some(age) => age < REMEMBERED,
        None => gone_at.saturating_sub(now) < AHEAD,
    }
}

fn keep(list: &Path, link: &Path, now: Duration) -> std::io::Result<()> {
    let Some(current) = regular(list).filter(|current| current.len() > 0) else {
        return Ok(());
    };
    if let Some(before) = regular(link) {
        if is_same(&current, &before) || counts(list, link, now) {
            return Ok(());
        }
        fs::remove_file(link)?;
    }
    fs::hard_link(list, link)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Duration {
        std::time::SystemTime::now()
            .duration_since(std::time::SystemTime::UNIX_EPOCH)
            .unwrap()
    }

    #[test]
    fn a_list_that_was_deleted_counts_until_it_is_there_again_and_for_two_hours_at_most() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("amisOfAmis.txt");
        let link = dir.path().join("constellation-amisOfAmis.txt.before");
        let friends = [list.clone()];
        let counted = |now| in_force(&friends, now).len();
        let keep = |now| FriendsBefore::default().keep(&friends, now);
        let line = format!("{}\n", "a".repeat(64));
        keep(now());
        assert_eq!(counted(now()), 0, "there never was a list");
        fs::write(&list, line.repeat(100)).unwrap();
        keep(now());
        assert_eq!(counted(now()), 0, "it is there");
        // What is appended is in both.
        fs::write(&list, line.repeat(101)).unwrap();
        assert_eq!(fs::metadata(&link).unwrap().len(), 101 * 65);
        fs::remove_file(&list).unwrap();
        let gone = now();
        keep(gone);
        assert_eq!(counted(gone), 1);
        fs::write(&list, line.repeat(5)).unwrap();
        keep(gone + Duration::from_secs(3600));
        assert_eq!(counted(gone + Duration::from_secs(7190)), 1);
        assert_eq!(counted(gone + Duration::from_secs(7201)), 0);
        assert_eq!(
            counted(gone - Duration::from_secs(60)),
            0,
            "the clock was set back"
        );
        fs::write(&list, line.repeat(99)).unwrap();
        assert_eq!(counted(gone), 0, "all but a few are back");
        keep(gone);
        assert_eq!(fs::metadata(&link).unwrap().len(), 99 * 65);
    }

    #[test]
    fn a_list_that_is_replaced_without_one_friend_counts_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("amisOfAmis.txt");
        let friends = [list.clone()];
        let line = format!("{}\n", "a".repeat(64));
        fs::write(&list, line.repeat(20)).unwrap();
        FriendsBefore::default().keep(&friends, now());
        let new = dir.path().join("tmp");
        fs::write(&new, line.repeat(19)).unwrap();
        fs::rename(&new, &list).unwrap();
        assert_eq!(in_force(&friends, now()).len(), 0);
    }

    #[test]
    fn what_is_no_regular_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("amisOfAmis.txt");
        let link = dir.path().join("constellation-amisOfAmis.txt.before");
        let friends = [list.clone()];
        fs::create_dir(&link).unwrap();
        fs::write(&list, "x").unwrap();
        FriendsBefore::default().keep(&friends, now());
        assert!(link.is_dir());
        fs::remove_file(&list).unwrap();
        assert_eq!(in_force(&friends, now()).len(), 0);
    }
}
