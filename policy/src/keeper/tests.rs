//! The keeper's thread, with faults of the tests' choosing.

use super::remover::{RETRY_LATER, RETRY_SOON, after};
use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use constellation_shared::Station;
use constellation_shared::verdict::Strangers;

use crate::blacklist::{RemoveError, ReplacedList};
use crate::logged::logged;

fn key(byte: u8) -> Pubkey {
    Pubkey::from_bytes([byte; 32])
}

/// A station with a blacklist of these keys.
fn station(keys: &[u8]) -> (tempfile::TempDir, Sources) {
    let root = tempfile::tempdir().unwrap();
    let station = Station::new(root.path());
    fs::create_dir_all(station.blacklist().parent().unwrap()).unwrap();
    let sources = Sources {
        blacklist: station.blacklist(),
        friends: vec![station.friends()],
        swarm: true,
        strangers: Strangers::Accept,
        station,
    };
    write(&sources.blacklist, keys);
    (root, sources)
}

fn write(list: &Path, keys: &[u8]) {
    let lines: String = keys
        .iter()
        .map(|&byte| format!("{}\n", key(byte)))
        .collect();
    fs::write(list, lines).unwrap();
}

fn work(sources: Sources) -> Work {
    Work {
        followed: None,
        remover: Some(Remover::new(sources.blacklist.clone())),
        friends_before: None,
        loader: Loader::new(sources.clone()),
        sources,
        lists: Arc::new(RwLock::new(Lists::default())),
        board: Arc::default(),
        refreshed: true,
    }
}

fn verdict(work: &Work, byte: u8) -> Option<Verdict> {
    work.lists.read().unwrap().verdict(&key(byte)).ok()
}

fn verdict_of(keeper: &Keeper, byte: u8) -> Option<Verdict> {
    let standing = keeper.standing(&key(byte)).ok()?;
    Some(standing.verdict)
}

/// Until the keys are dealt with: what other tests start holds the lock on the folder, too,
/// in the instant before it becomes another program.
fn soon(keys: &mut BTreeSet<Pubkey>, mut step: impl FnMut(&mut BTreeSet<Pubkey>)) {
    while !keys.is_empty() {
        step(keys);
    }
}

/// Looks at the files until this is the verdict: what was written just now is left alone for
/// a moment.
fn refresh_until(work: &mut Work, byte: u8, wanted: Option<Verdict>) {
    while verdict(work, byte) != wanted {
        work.refresh(Duration::ZERO);
    }
}

#[test]
fn lines_that_leave_are_said_and_nothing_else_is() {
    let (_root, sources) = station(&[1, 2]);
    let mut remover = Remover::new(sources.blacklist.clone());
    let mut remove = |byte| {
        logged(|| {
            soon(&mut BTreeSet::from([key(byte)]), |keys| {
                remover.remove(keys);
            });
        })
    };
    let log = remove(1);
    let words = format!("1 line of friends or members removed: {}", key(1));
    assert_eq!(log.matches(&words).count(), 1, "{log}");
    assert_eq!(remove(1), "");
}

#[test]
fn a_list_that_cannot_be_written_is_left_alone_for_a_while() {
    let (_root, sources) = station(&[1, 2]);
    let list = sources.blacklist;
    let allow = |mode| fs::set_permissions(&list, fs::Permissions::from_mode(mode)).unwrap();
    let holds = || {
        fs::read_to_string(&list)
            .unwrap()
            .contains(&key(1).to_hex())
    };
    let mut remover = Remover::new(list.clone());
    let work = |remover: &mut Remover| {
        // Its next event asks again.
        soon(&mut BTreeSet::from([key(1)]), |keys| remover.work(keys));
    };
    let before = Instant::now();
    allow(0o444);
    work(&mut remover);
    assert_eq!(remover.complaint.as_deref(), Some("it is read-only"));
    assert!(remover.not_before.unwrap() >= before + RETRY_LATER);
    allow(0o644);
    work(&mut remover);
    assert!(holds());
    remover.not_before = Some(before);
    work(&mut remover);
    assert!(!holds());
    assert_eq!(remover.complaint, None);
}

#[test]
fn only_what_somebody_must_mend_is_left_alone_for_long() {
    let full = RemoveError::Step("write beside it", io::ErrorKind::StorageFull.into());
    let mend = "make the file and its folder writable";
    for (error, wait, remedy) in [
        (RemoveError::Contended, RETRY_SOON, "it is tried again"),
        (RemoveError::Locked, RETRY_SOON, "it is tried again"),
        (RemoveError::ReadOnly, RETRY_LATER, mend),
        (full, RETRY_LATER, mend),
    ] {
        let (waits, says) = after(&error);
        assert_eq!(waits, wait, "{error}");
        assert!(says.starts_with(remedy), "{error}");
    }
}

#[test]
fn a_panic_does_not_leave_the_lists_to_nobody() {
    let (_root, sources) = station(&[1]);
    let list = sources.blacklist.clone();
    let mut work = work(sources);
    refresh_until(&mut work, 1, Some(Verdict::Block));
    let mut round = 0;
    // Looked at afterwards: what panics in here is forgiven.
    let mut seen = Vec::new();
    work.run_despite_panics(|work| {
        round += 1;
        match round {
            1 => write(&list, &[1, 2]),
            2 => seen.push(verdict(work, 1)),
            3 => {
                seen.extend([verdict(work, 1), verdict(work, 3)]);
                refresh_until(work, 2, Some(Verdict::Block));
            }
            4 => seen.push(verdict(work, 3)),
            _ => return,
        }
        panic!("a fault, of which this test is made");
    });
    assert_eq!(round, 5);
    let (blocked, allowed) = (Some(Verdict::Block), Some(Verdict::Allow));
    // Once is forgiven, twice without a look at the files is not.
    assert_eq!(seen, [blocked, None, None, allowed]);
    // The panic after the refresh was the first of its kind again, the next the second.
    assert_eq!(verdict(&work, 1), None);
}

#[test]
fn who_was_pardoned_and_is_not_any_more_stays_on_the_blacklist() {
    let (_root, sources) = station(&[1, 2]);
    let friends = sources.friends[0].clone();
    write(&friends, &[1, 2]);
    let mut work = work(sources);
    refresh_until(&mut work, 1, Some(Verdict::Pardon));
    let mut keys = BTreeSet::from([key(1), key(2)]);
    work.keep_the_pardoned(&mut keys);
    assert_eq!(keys.len(), 2);
    write(&friends, &[2]);
    refresh_until(&mut work, 1, Some(Verdict::Block));
    work.keep_the_pardoned(&mut keys);
    assert_eq!(keys, BTreeSet::from([key(2)]));
}

#[test]
fn nothing_is_let_in_once_the_thread_is_gone() {
    let (_root, sources) = station(&[1]);
    let mut keeper = Keeper::start(sources, true).unwrap();
    assert_eq!(verdict_of(&keeper, 2), Some(Verdict::Allow));
    keeper.pardoned = None;
    while !keeper.thread.as_ref().unwrap().is_finished() {
        thread::yield_now();
    }
    assert_eq!(verdict_of(&keeper, 2), None);
}

/// One who opened the list before it was replaced, unseen, and writes while we end.
#[test]
fn what_is_appended_in_the_moment_of_the_end_reaches_the_list() {
    // The promise is one of 200 ms. Who took longer, on a busy machine, tries again; and
    // what another test starts holds the list, too, before it becomes another program.
    let within = Duration::from_millis(200);
    assert!((0..50).any(|_| appended_in_the_moment_of_the_end(within)));
}

/// Whether it was appended within this time, and nothing was left behind, as of every short
/// run.
fn appended_in_the_moment_of_the_end(within: Duration) -> bool {
    let (_root, sources) = station(&[1, 2]);
    write(&sources.friends[0], &[1]);
    let list = sources.blacklist.clone();
    let mut unseen = fs::OpenOptions::new().append(true).open(&list).unwrap();
    let keeper = Keeper::start(sources, true).unwrap();
    // Before this nothing is replaced.
    let asked = Instant::now();
    assert_eq!(verdict_of(&keeper, 1), Some(Verdict::Pardon));
    let closing = thread::spawn(|| keeper.close());
    while fs::read_to_string(&list)
        .unwrap()
        .contains(&key(1).to_hex())
    {
        thread::yield_now();
    }
    io::Write::write_all(&mut unseen, b"late\n").unwrap();
    let in_time = asked.elapsed() < within;
    closing.join().unwrap();
    if in_time {
        let text = fs::read_to_string(&list).unwrap();
        assert_eq!(text, format!("{}\nlate\n", key(2)));
    }
    in_time && names_beside(&list) == 0
}

fn names_beside(list: &Path) -> usize {
    let entries = fs::read_dir(list.parent().unwrap()).unwrap().flatten();
    entries
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"."))
        .count()
}

#[test]
fn a_folder_that_stays_locked_is_said_after_a_while_and_its_keys_wait() {
    let (root, sources) = station(&[1, 2]);
    let lock = fs::File::open(root.path().join("strfry")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let mut remover = Remover::new(sources.blacklist);
    let mut keys = BTreeSet::from([key(1)]);
    remover.locked_since = Some(Instant::now() + RETRY_SOON);
    remover.remove(&mut keys);
    assert_eq!(remover.complaint, None);
    remover.locked_since = Instant::now().checked_sub(RETRY_SOON);
    remover.remove(&mut keys);
    let complaint = remover.complaint.as_deref();
    assert_eq!(complaint, Some("its folder is locked by another program"));
    assert_eq!(keys.len(), 1);
}

#[test]
fn a_locked_folder_delays_removal_and_nothing_else() {
    let (root, sources) = station(&[1, 2]);
    write(&sources.friends[0], &[1]);
    let list = sources.blacklist.clone();
    let lock = fs::File::open(root.path().join("strfry")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let keeper = Keeper::start(sources, true).unwrap();
    assert_eq!(verdict_of(&keeper, 1), Some(Verdict::Pardon));
    assert_eq!(verdict_of(&keeper, 3), Some(Verdict::Allow));
    write(&list, &[1, 2, 3]);
    while verdict_of(&keeper, 3) != Some(Verdict::Block) {
        thread::yield_now();
    }
    drop(lock);
    // It was asked about once, and is not forgotten.
    while fs::read_to_string(&list)
        .unwrap()
        .contains(&key(1).to_hex())
    {
        thread::yield_now();
    }
    keeper.close();
}

/// Another process that appends to the list what it is told, until its input ends; our own
/// descriptors are not looked at.
fn holder(list: &Path) -> Child {
    Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(fs::OpenOptions::new().append(true).open(list).unwrap())
        .spawn()
        .unwrap()
}

#[test]
fn what_is_appended_to_a_replaced_list_is_not_waited_for_until_its_next_look() {
    let (_root, sources) = station(&[1, 2]);
    let list = sources.blacklist;
    let mut holder = holder(&list);
    let mut remover = Remover::new(list.clone());
    let mut keys = BTreeSet::from([key(1)]);
    soon(&mut keys, |keys| remover.work(keys));
    let far = Instant::now() + Duration::from_secs(3600);
    remover.next_rescue = far;
    remover.work(&mut keys);
    assert_eq!(remover.next_rescue, far, "there was nothing to do");
    let mut input = holder.stdin.take().unwrap();
    io::Write::write_all(&mut input, b"late\n").unwrap();
    while remover.next_rescue == far {
        remover.work(&mut keys);
    }
    let text = fs::read_to_string(&list).unwrap();
    assert_eq!(text, format!("{}\nlate\n", key(2)));
    // At the next look it is seen that nobody holds it any more.
    drop(input);
    holder.wait().unwrap();
    remover.next_rescue = Instant::now();
    remover.work(&mut keys);
    assert!(remover.replaced.iter().all(ReplacedList::is_closed));
}

#[test]
fn the_end_does_not_wait_for_ever_for_who_holds_a_replaced_list() {
    let (_root, sources) = station(&[1, 2]);
    let list = sources.blacklist;
    let mut holder = holder(&list);
    let mut remover = Remover::new(list.clone());
    soon(&mut BTreeSet::from([key(1)]), |keys| remover.finish(keys));
    assert_eq!(names_beside(&list), 1);
    drop(holder.stdin.take());
    holder.wait().unwrap();
    remover.finish(&mut BTreeSet::new());
    assert_eq!(names_beside(&list), 0);
}

#[test]
fn a_replaced_list_that_stays_held_is_looked_at_less_and_less_often() {
    let (_root, sources) = station(&[1, 2]);
    let list = sources.blacklist;
    let mut holder = holder(&list);
    let mut remover = Remover::new(list);
    let next = |remover: &mut Remover| {
        let before = Instant::now();
        remover.rescue();
        assert!(remover.next_rescue >= before + remover.rescue_interval);
        assert!(remover.next_rescue <= Instant::now() + remover.rescue_interval);
        remover.rescue_interval.as_millis()
    };
    soon(&mut BTreeSet::from([key(1)]), |keys| remover.remove(keys));
    assert_eq!(remover.replaced.len(), 1);
    let waits: Vec<u128> = (0..6).map(|_| next(&mut remover)).collect();
    assert_eq!(waits, [400, 800, 1600, 3200, 5000, 5000]);
    drop(holder.stdin.take());
    holder.wait().unwrap();
    assert_eq!(next(&mut remover), 200);
    while !remover.replaced.is_empty() {
        remover.rescue();
    }
}
