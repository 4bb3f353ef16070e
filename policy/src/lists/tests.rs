//! The lists on disk, at times of the tests' choosing.

use super::friends_before::FriendsBefore;
use super::list_state::{PATIENCE, SETTLING};
use super::swarm::SwarmSearch;
use super::*;
use crate::logged::logged;
use constellation_shared::Station;
use constellation_shared::list_file::FileTime;
use constellation_shared::verdict::Strangers;
use std::fs;
use std::process::{Child, Command, Stdio};

/// Long after every file of these tests was written.
const LATER: Duration = Duration::from_secs(1 << 40);

struct Dir {
    root: tempfile::TempDir,
    loader: Loader,
    friends_before: FriendsBefore,
    swarm: SwarmSearch,
    lists: Lists,
}

impl Dir {
    fn new() -> Self {
        Self::with(Strangers::Accept)
    }

    /// A station with this rule for strangers.
    fn with(strangers: Strangers) -> Self {
        let root = tempfile::tempdir().unwrap();
        let station = Station::new(root.path());
        let sources = Sources {
            blacklist: station.blacklist(),
            friends: vec![station.friends()],
            swarm: true,
            strangers,
            station,
        };
        let mut loader = Loader::new(sources.clone());
        loader.sees_every_writer = Some(true);
        Self {
            root,
            loader,
            friends_before: FriendsBefore::default(),
            swarm: SwarmSearch::new(sources),
            lists: Lists {
                swarm: Some(Swarm::default()),
                ..Lists::default()
            },
        }
    }

    fn write(&self, path: &str, keys: &[u8]) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let lines: String = keys
            .iter()
            .map(|&byte| format!("{}\n", key(byte)))
            .collect();
        fs::write(path, lines).unwrap();
    }

    fn refresh(&mut self) -> bool {
        // A list that is gone is looked for twice.
        let mut changed = false;
        for now in [LATER, LATER + PATIENCE] {
            let new = self.refresh_at(now);
            changed |= new.is_some();
            self.lists = new.unwrap_or_else(|| self.lists.clone());
            changed |= self.search_at(now);
        }
        changed
    }

    /// The new lists at this time, if there are any, before the swarm is searched.
    fn refresh_at(&mut self, now: Duration) -> Option<Lists> {
        self.friends_before.keep(&self.loader.sources.friends, now);
        let own = self.loader.refresh(&self.lists.own, now)?;
        self.loader.take_newly_blocked();
        let swarm = self.lists.swarm.clone();
        Some(Lists { own, swarm })
    }

    /// Searches the swarm; whether it pardons others than before.
    fn search_at(&mut self, now: Duration) -> bool {
        let (Some(blocked), Some(swarm)) = (self.lists.own.blocked(), &self.lists.swarm) else {
            return false;
        };
        let before = swarm.pardoned.clone();
        let Some(new) = self.swarm.search(blocked, now).swarm else {
            return false;
        };
        let changed = new.pardoned != before;
        self.lists.swarm = Some(new);
        changed
    }

    fn verdicts(&self, keys: &[u8]) -> Vec<Option<Verdict>> {
        keys.iter()
            .map(|&byte| self.lists.verdict(&key(byte)).ok())
            .collect()
    }
}

fn key(byte: u8) -> Pubkey {
    Pubkey::from_bytes([byte; 32])
}

/// When a file was changed.
fn changed(list: &ListFile) -> Duration {
    let FileTime {
        seconds,
        nanoseconds,
    } = list.signature().unwrap().unwrap().changed();
    Duration::new(seconds.try_into().unwrap(), nanoseconds.try_into().unwrap())
}

const ALLOW: Option<Verdict> = Some(Verdict::Allow);
const PARDON: Option<Verdict> = Some(Verdict::Pardon);
const BLOCK: Option<Verdict> = Some(Verdict::Block);

#[test]
fn each_list_pardons_and_no_list_does_not() {
    let mut dir = Dir::new();
    dir.write("strfry/blacklist.txt", &[1, 2, 3, 4, 5]);
    dir.write("strfry/amisOfAmis.txt", &[2, 5, 9]);
    dir.write("tmp/swarm/12D3KooA/amisOfAmis.txt", &[3, 5]);
    dir.write("game/nostr/a@b.org/HEX", &[4]);
    assert!(dir.refresh());
    assert_eq!(
        dir.verdicts(&[1, 2, 3, 4, 5, 9, 10]),
        [BLOCK, PARDON, PARDON, PARDON, PARDON, ALLOW, ALLOW]
    );
    assert!(!dir.refresh(), "nothing has changed");
}

#[test]
fn each_change_is_taken_up() {
    let mut dir = Dir::new();
    assert!(dir.refresh());
    assert_eq!(dir.verdicts(&[1]), [ALLOW], "a missing list is empty");
    dir.write("strfry/blacklist.txt", &[1]);
    assert!(dir.refresh());
    assert_eq!(dir.verdicts(&[1]), [BLOCK]);
    dir.write("tmp/swarm/12D3KooA/amisOfAmis.txt", &[1, 2]);
    assert!(dir.refresh());
    assert_eq!(dir.verdicts(&[1]), [PARDON]);
    dir.write("strfry/blacklist.txt", &[1, 2, 3]);
    assert!(dir.refresh());
    assert_eq!(
        dir.verdicts(&[1, 2, 3]),
        [PARDON, PARDON, BLOCK],
        "a key blocked later is looked for in lists that did not change"
    );
    // An edit, after which another key is in the list.
    dir.write("tmp/swarm/12D3KooA/amisOfAmis.txt", &[9]);
    assert!(dir.refresh());
    assert_eq!(dir.verdicts(&[1, 2, 3]), [BLOCK, BLOCK, BLOCK]);
    fs::remove_file(dir.root.path().join("strfry/blacklist.txt")).unwrap();
    assert!(dir.refresh());
    assert_eq!(dir.verdicts(&[1, 2, 3]), [ALLOW, ALLOW, ALLOW]);
}

#[test]
fn a_blacklist_that_somebody_named_and_that_is_not_there_is_reported_once() {
    for is_named in [true, false] {
        let mut dir = Dir::new();
        if is_named {
            dir.loader.sources.blacklist = dir.root.path().join("blaklist.txt");
        }
        let log = logged(|| {
            dir.refresh();
            dir.refresh();
        });
        let words = "blaklist.txt does not exist: until it does, no key is blocked";
        assert_eq!(log.matches(words).count(), usize::from(is_named), "{log}");
        assert_eq!(dir.verdicts(&[1]), [ALLOW]);
    }
}

#[test]
fn nothing_is_let_in_until_the_blacklist_could_be_read() {
    let mut dir = Dir::new();
    let blacklist = dir.root.path().join("strfry/blacklist.txt");
    fs::create_dir_all(&blacklist).unwrap();
    assert!(!dir.refresh());
    assert_eq!(dir.verdicts(&[1, 2]), [None, None]);
    fs::remove_dir(&blacklist).unwrap();
    dir.write("strfry/blacklist.txt", &[1]);
    assert!(dir.refresh());
    assert_eq!(dir.verdicts(&[1, 2]), [BLOCK, ALLOW]);
}

#[test]
fn a_list_that_becomes_unreadable_keeps_its_keys() {
    let mut dir = Dir::new();
    dir.write("strfry/blacklist.txt", &[1, 2]);
    dir.write("strfry/amisOfAmis.txt", &[2]);
    dir.refresh();
    for list in ["strfry/blacklist.txt", "strfry/amisOfAmis.txt"] {
        let path = dir.root.path().join(list);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
    }
    assert!(!dir.refresh());
    assert_eq!(dir.verdicts(&[1, 2, 3]), [BLOCK, PARDON, ALLOW]);
}

#[test]
fn friends_that_never_could_be_read_are_none() {
    let mut dir = Dir::new();
    dir.write("strfry/blacklist.txt", &[1]);
    fs::create_dir_all(dir.root.path().join("strfry/amisOfAmis.txt")).unwrap();
    dir.refresh();
    assert_eq!(dir.verdicts(&[1, 2]), [BLOCK, ALLOW]);
}

#[test]
fn a_list_being_written_is_left_alone_for_a_moment_but_not_for_long() {
    let mut dir = Dir::new();
    dir.write("strfry/blacklist.txt", &[1]);
    dir.refresh();
    dir.write("strfry/blacklist.txt", &[1, 2]);
    let list = ListFile::blacklist(dir.root.path().join("strfry/blacklist.txt"));
    let written = changed(&list);
    let ms = Duration::from_millis;
    assert!(dir.refresh_at(written + ms(1)).is_none());
    assert!(dir.refresh_at(written + ms(99)).is_none());
    assert!(dir.refresh_at(written + ms(100)).is_some());

    // Looked at with a time that was taken just before: no reason to believe it.
    dir.loader.blacklist.changing_since = None;
    dir.loader.blacklist.again = true;
    assert!(dir.refresh_at(written - ms(1)).is_none());
    assert!(dir.refresh_at(written - ms(10_000)).is_some(), "set back");

    // A writer that never rests: the file is always one millisecond old.
    let known = &mut ListState::default();
    known.remember(None, written);
    let mut waited = 0;
    while matches!(known.look(&list, written + ms(1)), Ok(Look::Unchanged)) {
        known.changing_since = known.changing_since.map(|since| since - ms(50));
        waited += 50;
    }
    assert_eq!(waited, 400);
}

/// `sort -o` was held up when it had emptied the list.
#[test]
fn a_list_that_became_shorter_is_left_alone_for_longer() {
    let mut dir = Dir::new();
    dir.write("strfry/blacklist.txt", &[1, 2]);
    dir.refresh();
    dir.write("strfry/blacklist.txt", &[2]);
    let list = ListFile::blacklist(dir.root.path().join("strfry/blacklist.txt"));
    let written = changed(&list);
    let ms = Duration::from_millis;
    assert!(dir.refresh_at(written + ms(200)).is_none());
    assert!(dir.refresh_at(written + ms(399)).is_none());
    dir.lists = dir.refresh_at(written + ms(401)).unwrap();
    dir.search_at(LATER);
    assert_eq!(dir.verdicts(&[1, 2]), [ALLOW, BLOCK]);

    // Still at work when it is read or too late: what is missing stays.
    dir.write("strfry/blacklist.txt", &[]);
    let written = changed(&list);
    dir.loader.blacklist.changing_since = Some(written - PATIENCE);
    dir.lists = dir.refresh_at(written + ms(1)).unwrap();
    assert_eq!(dir.verdicts(&[2]), [BLOCK]);
    dir.lists = dir.refresh_at(written + ms(401)).unwrap();
    assert_eq!(dir.verdicts(&[2]), [ALLOW]);
}

/// Another program that has a list open to write it anew, until it is dropped.
struct Writer(Child);

impl Writer {
    fn of(list: &ListFile) -> Self {
        Self::with(list, "<>")
    }

    /// Which has it open in this way.
    fn with(list: &ListFile, way: &str) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", &format!("exec 3{way}\"$0\"; echo; read line")])
            .arg(list.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0];
        let stdout = child.stdout.as_mut().unwrap();
        io::Read::read_exact(stdout, &mut ready).unwrap();
        Self(child)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

#[test]
fn a_list_that_is_being_rewritten_at_the_first_look_is_waited_for() {
    let mut dir = Dir::new();
    dir.write("strfry/blacklist.txt", &[1]);
    let list = ListFile::blacklist(dir.root.path().join("strfry/blacklist.txt"));
    let written = changed(&list);
    let writer = Writer::of(&list);
    let ms = Duration::from_millis;
    for after in [ms(1), ms(500), ms(9_900)] {
        assert!(dir.refresh_at(written + after).is_none(), "{after:?}");
        let is_said = after > FIRST_PATIENCE;
        assert_eq!(dir.loader.is_waiting(), !is_said, "{after:?}");
    }
    drop(writer);
    dir.lists = dir.refresh_at(written + ms(9_901)).unwrap();
    dir.search_at(LATER);
    assert_eq!(dir.verdicts(&[1, 2]), [BLOCK, ALLOW]);
}

#[test]
fn a_list_that_never_rests_from_the_first_look_on_is_not_waited_for_long() {
    let mut dir = Dir::new();
    dir.write("strfry/blacklist.txt", &[1]);
    let list = ListFile::blacklist(dir.root.path().join("strfry/blacklist.txt"));
    let now = changed(&list) + Duration::from_millis(1);
    assert!(dir.refresh_at(now).is_none());
    dir.loader.blacklist.changing_since = Some(now - PATIENCE);
    dir.lists = dir.refresh_at(now).unwrap();
    dir.search_at(LATER);
    assert_eq!(dir.verdicts(&[1, 2]), [BLOCK, ALLOW]);
}

#[test]
fn a_list_that_stays_open_for_rewriting_counts_as_it_is() {
    let mut dir = Dir::new();
    dir.write("strfry/blacklist.txt", &[1]);
    let list = ListFile::blacklist(dir.root.path().join("strfry/blacklist.txt"));
    let _writer = Writer::of(&list);
    let later = changed(&list) + Duration::from_secs(10);
    dir.lists = dir.refresh_at(later).unwrap();
    dir.search_at(LATER);
    assert_eq!(dir.verdicts(&[1, 2]), [BLOCK, ALLOW]);
}

#[test]
fn other_lists_are_searched_again_for_who_is_newly_blocked_and_for_nobody_else() {
    let mut dir = Dir::new();
    dir.write("strfry/blacklist.txt", &[1, 2]);
    dir.write("strfry/amisOfAmis.txt", &[2]);
    dir.refresh();
    for (keys, searched) in [(&[2][..], false), (&[2, 3], true), (&[3], false)] {
        dir.write("strfry/blacklist.txt", keys);
        let mut newly_blocked = false;
        // One that became shorter is looked at twice.
        for now in [LATER, LATER + PATIENCE] {
            if let Some(own) = dir.loader.refresh(&dir.lists.own, now) {
                dir.lists.own = own;
                newly_blocked |= dir.loader.take_newly_blocked();
            }
        }
        assert_eq!(newly_blocked, searched, "{keys:?}");
        dir.search_at(LATER);
    }
    assert_eq!(dir.verdicts(&[1, 2, 3]), [ALLOW, ALLOW, BLOCK]);
}

#[test]
fn a_list_that_changed_while_it_was_read_is_cut_unless_it_was_appended_to() {
    let dir = Dir::new();
    dir.write("strfry/blacklist.txt", &[1, 2]);
    let path = dir.root.path().join("strfry/blacklist.txt");
    let list = ListFile::own(&path);
    let now = changed(&list);
    let known = &mut ListState::default();
    known.remember(list.signature().unwrap(), now);
    assert!(!known.is_cut(&list, now), "it did not change");
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    io::Write::write_all(&mut file, b"more\n").unwrap();
    assert!(!known.is_cut(&list, now), "it was appended to");
    for (way, cut) in [("<", false), (">>", false), ("<>", true)] {
        let _writer = Writer::with(&list, way);
        assert_eq!(known.is_cut(&list, now), cut, "it is open by {way}");
    }
    known.remember(list.signature().unwrap(), now);
    let before = list.signature().unwrap();
    let text = fs::read(&path).unwrap();
    // The clock of a file system has ticks.
    while list.signature().unwrap() == before {
        fs::write(&path, &text).unwrap();
    }
    assert!(known.is_cut(&list, now), "it was written anew");
    known.remember(list.signature().unwrap(), now);
    let other = dir.root.path().join("other");
    fs::write(&other, "x".repeat(1000)).unwrap();
    fs::rename(&other, &path).unwrap();
    assert!(known.is_cut(&list, now), "another took its place");
    fs::remove_file(&path).unwrap();
    assert!(known.is_cut(&list, now), "it is gone");
}

#[test]
fn what_was_read_while_fresh_is_read_again() {
    let dir = Dir::new();
    dir.write("strfry/blacklist.txt", &[1]);
    let list = ListFile::blacklist(dir.root.path().join("strfry/blacklist.txt"));
    let seconds = list.signature().unwrap().unwrap().changed().seconds;
    let now = Duration::from_secs(seconds.try_into().unwrap()) + Duration::from_secs(1);
    let mut known = ListState::default();
    let state = list.signature().unwrap();
    known.remember(state, now - Duration::from_secs(1) + SETTLING / 2);
    known.again = true;
    assert!(matches!(
        known.look(&list, now + PATIENCE),
        Ok(Look::Changed { .. })
    ));
}

#[test]
fn without_the_swarm_only_the_station_s_own_lists_pardon() {
    let mut dir = Dir::new();
    dir.lists.swarm = None;
    dir.write("strfry/blacklist.txt", &[1, 2]);
    dir.write("tmp/swarm/12D3KooA/amisOfAmis.txt", &[1]);
    dir.write("game/nostr/a@b.org/HEX", &[2]);
    dir.refresh();
    assert_eq!(dir.verdicts(&[1, 2]), [BLOCK, PARDON]);
}

/// Long lists of other stations are searched for a newly blocked key.
#[test]
fn who_is_newly_blocked_does_not_wait_for_a_long_search() {
    let mut dir = Dir::new();
    dir.write("strfry/blacklist.txt", &[1, 2]);
    dir.write("strfry/amisOfAmis.txt", &[2]);
    dir.write("tmp/swarm/12D3KooA/amisOfAmis.txt", &[1, 4, 5]);
    let verdict = |dir: &Dir, byte| dir.lists.verdict(&key(byte));
    let unread = Err(Undecided::SwarmUnread);
    dir.lists = dir.refresh_at(LATER).unwrap();
    assert_eq!(verdict(&dir, 1), unread, "nothing of the swarm is read yet");
    assert_eq!(verdict(&dir, 2), Ok(Verdict::Pardon));
    assert_eq!(verdict(&dir, 3), Ok(Verdict::Allow));
    dir.search_at(LATER);
    assert_eq!(verdict(&dir, 1), Ok(Verdict::Pardon));

    dir.write("strfry/blacklist.txt", &[1, 2, 3, 4]);
    dir.lists = dir.refresh_at(LATER).unwrap();
    assert_eq!(
        verdict(&dir, 1),
        Ok(Verdict::Pardon),
        "what was known still counts"
    );
    assert_eq!([verdict(&dir, 3), verdict(&dir, 4)], [unread, unread]);
    dir.search_at(LATER);
    assert_eq!(
        dir.verdicts(&[1, 2, 3, 4, 5]),
        [PARDON, PARDON, BLOCK, PARDON, ALLOW]
    );
}

/// What became shorter is left alone for longer.
#[test]
fn a_list_of_the_same_length_is_no_shorter_one() {
    use std::os::unix::fs::MetadataExt;
    let mut dir = Dir::new();
    dir.write("strfry/blacklist.txt", &[1]);
    assert!(dir.refresh());
    dir.write("strfry/blacklist.txt", &[2]);
    let changed = fs::metadata(dir.root.path().join("strfry/blacklist.txt")).unwrap();
    let changed = Duration::new(changed.ctime() as u64, changed.ctime_nsec() as u32);
    assert!(dir.refresh_at(changed + SETTLING / 2).is_none());
    dir.lists = dir.refresh_at(changed + SETTLING).unwrap();
    dir.search_at(LATER);
    assert_eq!(dir.verdicts(&[2]), [BLOCK]);
}

#[test]
fn only_lines_that_are_no_keys_are_said() {
    let mut dir = Dir::new();
    dir.write("strfry/blacklist.txt", &[1]);
    assert_eq!(logged(|| assert!(dir.refresh())), "");
    let list = dir.root.path().join("strfry/blacklist.txt");
    fs::write(&list, "no key\n").unwrap();
    let log = logged(|| assert!(dir.refresh()));
    assert_eq!(log.matches("1 line skipped: line 1").count(), 1, "{log}");
}

/// Lists whose writers cannot be seen.
fn unseen() -> Dir {
    let mut dir = Dir::new();
    dir.loader.sees_every_writer = Some(false);
    dir
}

/// A list that was written long ago, so that it has rested.
fn age(dir: &Dir) -> Duration {
    let path = dir.root.path().join("strfry/blacklist.txt");
    let file = fs::File::options().append(true).open(&path).unwrap();
    let old = std::time::SystemTime::now() - Duration::from_secs(3600);
    file.set_modified(old).unwrap();
    changed(&ListFile::own(path)) + Duration::from_secs(1)
}

#[test]
fn where_writers_cannot_be_seen_nobody_slips_out_of_a_list_before_it_has_rested() {
    type Change = fn(&Dir, &std::path::Path);
    let changes: [(&str, Change); 4] = [
        ("truncated", |_, path| fs::write(path, "").unwrap()),
        ("replaced", |_, path| {
            fs::write(path.with_extension("new"), format!("{}\n", key(2))).unwrap();
            fs::rename(path.with_extension("new"), path).unwrap();
        }),
        ("deleted", |_, path| fs::remove_file(path).unwrap()),
        ("deleted and created", |dir, path| {
            fs::remove_file(path).unwrap();
            dir.write("strfry/blacklist.txt", &[2]);
        }),
    ];
    for (what, change) in changes {
        let mut dir = unseen();
        dir.write("strfry/blacklist.txt", &[1, 2]);
        let start = age(&dir);
        dir.lists = dir.refresh_at(start).unwrap();
        dir.search_at(start);
        assert_eq!(dir.verdicts(&[1, 2, 3]), [BLOCK, BLOCK, ALLOW]);
        let path = dir.root.path().join("strfry/blacklist.txt");
        change(&dir, &path);
        let ms = Duration::from_millis;
        let step = |dir: &mut Dir, after| {
            dir.lists = dir
                .refresh_at(start + after)
                .unwrap_or_else(|| dir.lists.clone());
            dir.search_at(start + after);
        };
        for looked in 0..50 {
            step(&mut dir, ms(200 * looked));
            assert_eq!(dir.verdicts(&[1]), [BLOCK], "{what}, {looked}");
        }
        // Another key is blocked at once.
        if path.exists() {
            let mut file = fs::File::options().append(true).open(&path).unwrap();
            io::Write::write_all(&mut file, format!("{}\n", key(3)).as_bytes()).unwrap();
            for looked in 50..60 {
                step(&mut dir, ms(200 * looked));
            }
            assert_eq!(dir.verdicts(&[1, 3]), [BLOCK, BLOCK], "{what}");
        }
        // And after the rest the list is what it is, at once.
        for looked in 60..115 {
            step(&mut dir, ms(200 * looked));
        }
        assert_eq!(dir.verdicts(&[1]), [ALLOW], "{what}");
    }
}

#[test]
fn where_writers_cannot_be_seen_a_fresh_list_is_not_believed_to_be_whole_at_the_start() {
    let mut dir = unseen();
    dir.write("strfry/blacklist.txt", &[1]);
    let list = ListFile::own(dir.root.path().join("strfry/blacklist.txt"));
    let written = changed(&list);
    let s = Duration::from_secs;
    let log = logged(|| {
        dir.lists = dir.refresh_at(written + s(1)).unwrap();
        dir.search_at(written + s(1));
        assert_eq!(dir.verdicts(&[1, 2]), [BLOCK, None]);
        assert!(dir.refresh_at(written + s(9)).is_none());
    });
    let words = "authors who are not in it are rejected until nobody has changed it for 10 s";
    assert_eq!(log.matches(words).count(), 1, "{log}");
    dir.lists = dir.refresh_at(written + s(10)).unwrap();
    assert_eq!(dir.verdicts(&[1, 2]), [BLOCK, ALLOW]);
    // A station without a list does not have to wait.
    let mut dir = unseen();
    dir.lists = dir.refresh_at(written).unwrap();
    assert_eq!(dir.verdicts(&[1]), [ALLOW]);
}

#[test]
fn a_list_that_only_grows_has_nothing_to_wait_for() {
    let mut dir = unseen();
    dir.write("strfry/blacklist.txt", &[1]);
    let start = age(&dir);
    dir.lists = dir.refresh_at(start).unwrap();
    dir.write("strfry/blacklist.txt", &[1, 2]);
    let log = logged(|| {
        dir.lists = dir.refresh_at(start + PATIENCE).unwrap();
        dir.search_at(start);
    });
    assert_eq!(log, "");
    assert_eq!(dir.verdicts(&[1, 2, 3]), [BLOCK, BLOCK, ALLOW]);
    assert!(!dir.loader.retained);
}

/// A script appends a key every few seconds, and so the list never rests.
#[test]
fn a_list_that_others_append_to_all_the_time_shuts_nobody_out_for_longer_than_a_minute() {
    for is_start in [true, false] {
        let mut dir = unseen();
        dir.write("strfry/blacklist.txt", &[1, 2]);
        let path = dir.root.path().join("strfry/blacklist.txt");
        let file = fs::File::options().append(true).open(&path).unwrap();
        let s = Duration::from_secs;
        let mut start = changed(&ListFile::own(&path));
        if !is_start {
            start = age(&dir);
            dir.lists = dir.refresh_at(start).unwrap();
            dir.write("strfry/blacklist.txt", &[1]);
        }
        let look = |dir: &mut Dir, after: Duration| {
            if let Some(lists) = dir.refresh_at(start + after) {
                dir.lists = lists;
            }
            dir.search_at(start + after);
        };
        let append = |after: Duration| {
            io::Write::write_all(&mut &file, b"# remark\n").unwrap();
            let appended = std::time::UNIX_EPOCH + start + after;
            file.set_modified(appended).unwrap();
        };
        let (waits, meanwhile) = if is_start { (3, None) } else { (2, BLOCK) };
        for seconds in (0..58).step_by(3) {
            append(s(seconds));
            look(&mut dir, s(seconds + 1));
            look(&mut dir, s(seconds + 2));
            assert_eq!(dir.verdicts(&[1, waits]), [BLOCK, meanwhile], "{seconds}");
        }
        append(s(61));
        look(&mut dir, s(62));
        look(&mut dir, s(63));
        assert_eq!(dir.verdicts(&[1, waits]), [BLOCK, ALLOW], "{is_start}");
        // Whoever empties it then is waited for again.
        file.set_len(0).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + start + s(64))
            .unwrap();
        look(&mut dir, s(65));
        look(&mut dir, s(69));
        assert_eq!(dir.verdicts(&[1]), [BLOCK]);
    }
}

#[test]
fn a_friend_whose_list_is_replaced_stays_a_friend() {
    let mut dir = Dir::new();
    dir.write("strfry/blacklist.txt", &[1]);
    dir.write("tmp/swarm/A/amisOfAmis.txt", &[1]);
    dir.refresh();
    fs::remove_dir_all(dir.root.path().join("tmp/swarm/A")).unwrap();
    for _ in 0..2 {
        assert!(!dir.search_at(LATER));
        assert!(!dir.search_at(LATER + PATIENCE));
        assert_eq!(dir.verdicts(&[1]), [PARDON]);
    }
    dir.write("tmp/swarm/A/amisOfAmis.txt", &[1]);
    dir.search_at(LATER + 2 * PATIENCE);
    assert_eq!(dir.verdicts(&[1]), [PARDON]);
}

/// How a file of another station vanishes.
type Vanishing = fn(&Dir);

const VANISHINGS: [Vanishing; 3] = [
    |dir| fs::remove_dir_all(dir.root.path().join("tmp/swarm")).unwrap(),
    |dir| {
        for name in ["amisOfAmis.txt", "HEX", "HEX_CAPTAIN"] {
            fs::remove_file(dir.root.path().join("tmp/swarm/A").join(name)).unwrap();
        }
    },
    |dir| {
        for name in ["amisOfAmis.txt", "HEX", "HEX_CAPTAIN"] {
            dir.write(&format!("tmp/swarm/A/{name}"), &[]);
        }
    },
];

/// Looks at the swarm twice, as a list that is gone is looked for twice, this long after the start.
fn look_after(dir: &mut Dir, after: Duration) {
    for now in [LATER + after, LATER + after + PATIENCE] {
        dir.lists = dir.refresh_at(now).unwrap_or_else(|| dir.lists.clone());
        dir.search_at(now);
    }
}

#[test]
fn who_vanishes_with_the_swarm_s_folders_keeps_the_standing_for_two_hours() {
    use Stranger::{No, Yes};
    let minutes = |count: u64| Duration::from_secs(60 * count);
    for vanish in VANISHINGS {
        for rule in [Strangers::Accept, Strangers::Filters] {
            let known = |stranger| match rule {
                Strangers::Filters => stranger,
                Strangers::Accept => No,
            };
            let mut dir = Dir::with(rule);
            dir.write("strfry/blacklist.txt", &[1, 2, 3, 6]);
            dir.write("tmp/swarm/A/amisOfAmis.txt", &[1, 2, 11]);
            dir.write("tmp/swarm/A/HEX", &[12]);
            dir.write("tmp/swarm/A/HEX_CAPTAIN", &[13]);
            look_after(&mut dir, minutes(0));
            vanish(&dir);
            for after in [1, 60] {
                look_after(&mut dir, minutes(after));
                assert_eq!(dir.verdicts(&[1, 2, 3]), [PARDON, PARDON, BLOCK]);
                let who = strangers(&dir, &[11, 12, 13, 14]);
                assert_eq!(who, [No, No, No, known(Yes)]);
            }
            // Another key is blocked, for which all lists are read again.
            dir.write("strfry/blacklist.txt", &[1, 2, 3, 4, 6]);
            // It is being written anew: those who are new count beside those who were there.
            dir.write("tmp/swarm/A/amisOfAmis.txt", &[2, 3, 14]);
            look_after(&mut dir, minutes(90));
            assert_eq!(dir.verdicts(&[1, 2, 3, 4]), [PARDON, PARDON, PARDON, BLOCK]);
            assert_eq!(strangers(&dir, &[11, 12, 13, 14]), [No; 4]);
            // The files alone say who counts after two hours.
            look_after(&mut dir, minutes(122));
            assert_eq!(dir.verdicts(&[1, 2, 3, 4]), [BLOCK, PARDON, PARDON, BLOCK]);
            let gone = known(Yes);
            assert_eq!(strangers(&dir, &[11, 12, 13, 14]), [gone, gone, gone, No]);
        }
    }
}

#[test]
fn who_is_taken_from_a_list_of_another_station_that_stays_is_gone_at_once() {
    use Stranger::{No, Yes};
    let mut dir = Dir::with(Strangers::Filters);
    dir.write("strfry/blacklist.txt", &[1, 2]);
    dir.write("tmp/swarm/A/amisOfAmis.txt", &[1, 2, 3, 4]);
    dir.write("tmp/swarm/A/HEX", &[5]);
    dir.refresh();
    dir.write("tmp/swarm/A/amisOfAmis.txt", &[1, 3]);
    dir.write("tmp/swarm/A/HEX", &[6]);
    dir.refresh();
    assert_eq!(dir.verdicts(&[1, 2]), [PARDON, BLOCK]);
    assert_eq!(strangers(&dir, &[3, 4, 5, 6]), [No, Yes, Yes, No]);
}

#[test]
fn a_member_whose_file_is_deleted_is_none_at_once() {
    let mut dir = Dir::with(Strangers::Filters);
    dir.write("strfry/blacklist.txt", &[1]);
    dir.write("game/nostr/a@b.org/HEX", &[1, 2]);
    dir.refresh();
    assert_eq!(dir.verdicts(&[1]), [PARDON]);
    fs::remove_dir_all(dir.root.path().join("game/nostr/a@b.org")).unwrap();
    dir.refresh();
    assert_eq!(dir.verdicts(&[1]), [BLOCK]);
    assert_eq!(strangers(&dir, &[2]), [Stranger::Yes]);
}

#[test]
fn what_is_too_much_of_the_swarm_is_said_once() {
    let mut dir = Dir::new();
    dir.write("strfry/blacklist.txt", &[1]);
    for name in ["a", "b", "c"] {
        dir.write(&format!("tmp/swarm/{name}/amisOfAmis.txt"), &[1]);
        let list = dir
            .root
            .path()
            .join(format!("tmp/swarm/{name}/amisOfAmis.txt"));
        let file = fs::File::options().write(true).open(list).unwrap();
        file.set_len(60_000_000).unwrap();
    }
    let log = logged(|| {
        assert!(dir.refresh());
        assert!(!dir.refresh());
    });
    assert_eq!(log.matches("are not read: 1 long list").count(), 1, "{log}");
    assert_eq!(dir.verdicts(&[1]), [PARDON]);
}

fn strangers(dir: &Dir, keys: &[u8]) -> Vec<Stranger> {
    keys.iter()
        .map(|&byte| dir.lists.stranger(&key(byte)))
        .collect()
}

#[test]
fn a_half_written_list_makes_nobody_a_stranger() {
    use Stranger::{No, Unread, Yes};
    let mut dir = Dir::with(Strangers::Filters);
    dir.write("strfry/blacklist.txt", &[9]);
    dir.write("strfry/amisOfAmis.txt", &[1, 2]);
    dir.write("tmp/swarm/A/HEX", &[3]);
    dir.lists = dir.refresh_at(LATER).unwrap();
    assert_eq!(strangers(&dir, &[1, 2, 3, 4]), [No, No, Unread, Unread]);
    dir.search_at(LATER);
    assert_eq!(strangers(&dir, &[1, 2, 3, 4]), [No, No, No, Yes]);
    // It is being written at the very moment at which all lists are read again.
    dir.write("strfry/amisOfAmis.txt", &[1]);
    dir.loader.newly_blocked = true;
    let friends = ListFile::own(dir.root.path().join("strfry/amisOfAmis.txt"));
    dir.lists = dir.refresh_at(changed(&friends)).unwrap();
    assert_eq!(strangers(&dir, &[1, 2, 3, 4]), [No, No, No, Yes]);
    // And it stays so.
    dir.refresh();
    assert_eq!(strangers(&dir, &[1, 2, 3, 4]), [No, Yes, No, Yes]);
}

#[test]
fn nodes_and_captains_are_no_strangers_and_pardon_nobody() {
    use Stranger::{No, Yes};
    let mut dir = Dir::with(Strangers::Filters);
    dir.write("strfry/blacklist.txt", &[1, 2]);
    dir.write("tmp/swarm/A/HEX", &[1, 3]);
    dir.write("tmp/swarm/A/HEX_CAPTAIN", &[2, 4]);
    dir.write("tmp/swarm/A/TW/HEX", &[5]);
    dir.refresh();
    assert_eq!(dir.verdicts(&[1, 2]), [Some(Verdict::Block); 2]);
    assert_eq!(strangers(&dir, &[3, 4, 5]), [No, No, Yes]);
    // Without the rule, nobody is a stranger, and their keys are not read.
    let mut dir = Dir::new();
    dir.write("strfry/blacklist.txt", &[1]);
    dir.refresh();
    assert_eq!(strangers(&dir, &[3]), [No]);
}

#[test]
fn friends_keep_their_standing_for_two_hours_after_their_list_was_deleted_also_in_a_new_policy() {
    let mut dir = Dir::new();
    dir.write("strfry/blacklist.txt", &[1, 2]);
    dir.write("strfry/amisOfAmis.txt", &[1, 3]);
    let station = Station::new(dir.root.path());
    let now = changed(&ListFile::own(station.friends()));
    let at = |dir: &mut Dir, after: u64| {
        // A list that is gone is looked for twice.
        for now in [
            now + Duration::from_secs(after),
            now + Duration::from_secs(after) + PATIENCE,
        ] {
            dir.lists = dir.refresh_at(now).unwrap_or_else(|| dir.lists.clone());
            dir.search_at(now);
        }
        dir.verdicts(&[1, 2])
    };
    let (pardon, block) = (Some(Verdict::Pardon), Some(Verdict::Block));
    assert_eq!(at(&mut dir, 5), [pardon, block]);
    fs::remove_file(station.friends()).unwrap();
    assert_eq!(at(&mut dir, 10), [pardon, block]);
    let mut restarted = Dir::new();
    restarted.loader = Loader::new(dir.loader.sources.clone());
    restarted.loader.sees_every_writer = Some(true);
    assert_eq!(at(&mut restarted, 3600), [pardon, block]);
    assert_eq!(at(&mut dir, 7100), [pardon, block]);
    assert_eq!(at(&mut dir, 7300), [block, block]);
    assert_eq!(at(&mut restarted, 7300), [block, block]);
}
