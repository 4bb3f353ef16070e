//! The keeper's thread, with faults of the tests' choosing.

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;

use constellation_shared::Station;

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
        remover: Some(Remover::new(sources.blacklist.clone())),
        loader: Loader::new(sources.clone()),
        sources,
        lists: Arc::new(RwLock::new(Lists::default())),
        filters: None,
        refreshed: true,
    }
}

fn verdict(work: &Work, byte: u8) -> Option<Verdict> {
    work.lists.read().unwrap().verdict(&key(byte))
}

/// What is logged meanwhile.
fn said(work: impl FnOnce()) -> String {
    let log = tempfile::NamedTempFile::new().unwrap();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(Mutex::new(log.reopen().unwrap()))
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    fs::read_to_string(log.path()).unwrap()
}

#[test]
fn lines_that_leave_are_said_and_nothing_else_is() {
    let (_root, sources) = station(&[1, 2]);
    let mut remover = Remover::new(sources.blacklist.clone());
    let mut remove = |byte| said(|| remover.remove(&mut BTreeSet::from([key(byte)])));
    let log = remove(1);
    let words = format!("1 line of friends or members removed: {}", key(1));
    assert_eq!(log.matches(&words).count(), 1, "{log}");
    assert_eq!(remove(1), "");
    let mut work = work(sources);
    assert_eq!(said(|| work.refresh()), "");
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
        let mut keys = BTreeSet::from([key(1)]);
        remover.work(&mut keys);
        // Its next event asks again.
        assert!(keys.is_empty());
    };
    let before = Instant::now();
    allow(0o444);
    work(&mut remover);
    assert_eq!(remover.complaint.as_deref(), Some("it is read-only"));
    assert!(remover.not_before.unwrap() >= before + RETRY_AFTER.1);
    allow(0o644);
    work(&mut remover);
    assert!(holds());
    remover.not_before = Some(before);
    work(&mut remover);
    assert!(!holds());
    assert_eq!(remover.complaint, None);
}

#[test]
fn a_panic_does_not_leave_the_lists_to_nobody() {
    let (_root, sources) = station(&[1]);
    let list = sources.blacklist.clone();
    let mut work = work(sources);
    work.refresh();
    let mut round = 0;
    work.go_on(|work| {
        round += 1;
        match round {
            1 => write(&list, &[1, 2]),
            // Once is forgiven, twice without a look at the files is not.
            2 => assert_eq!(verdict(work, 1), Some(Verdict::Block)),
            3 => {
                assert_eq!(verdict(work, 1), None);
                assert_eq!(verdict(work, 3), None);
                work.refresh();
                assert_eq!(verdict(work, 2), Some(Verdict::Block));
            }
            4 => assert_eq!(verdict(work, 3), Some(Verdict::Allow)),
            _ => return,
        }
        panic!("a fault, of which this test is made");
    });
    assert_eq!(round, 5);
    // The panic after the refresh was the first of its kind again, the next the second.
    assert_eq!(verdict(&work, 1), None);
}

#[test]
fn nothing_is_let_in_once_the_thread_is_gone() {
    let (_root, sources) = station(&[1]);
    let mut keeper = Keeper::start(sources, true, None).unwrap();
    assert_eq!(keeper.verdict(&key(2)), Some(Verdict::Allow));
    keeper.pardoned = None;
    while !keeper.thread.as_ref().unwrap().is_finished() {
        thread::yield_now();
    }
    assert_eq!(keeper.verdict(&key(2)), None);
}

/// One who opened the list before it was replaced, unseen, and writes while we end.
#[test]
fn what_is_appended_in_the_moment_of_the_end_reaches_the_list() {
    // The promise is one of 200 ms. Who took longer, on a busy machine, tries again.
    while !appended_in_the_moment_of_the_end(Duration::from_millis(200)) {}
}

/// Whether it was appended within this time.
fn appended_in_the_moment_of_the_end(within: Duration) -> bool {
    let (_root, sources) = station(&[1, 2]);
    write(&sources.friends[0], &[1]);
    let list = sources.blacklist.clone();
    let mut unseen = fs::OpenOptions::new().append(true).open(&list).unwrap();
    let keeper = Keeper::start(sources, true, None).unwrap();
    // Before this nothing is replaced.
    let asked = Instant::now();
    assert_eq!(keeper.verdict(&key(1)), Some(Verdict::Pardon));
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
        // And a short run leaves nothing behind.
        assert_eq!(names_beside(&list), 0);
    }
    in_time
}

fn names_beside(list: &Path) -> usize {
    let entries = fs::read_dir(list.parent().unwrap()).unwrap().flatten();
    entries
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"."))
        .count()
}

#[test]
fn a_locked_folder_delays_removal_and_nothing_else() {
    let (root, sources) = station(&[1, 2]);
    write(&sources.friends[0], &[1]);
    let list = sources.blacklist.clone();
    let lock = fs::File::open(root.path().join("strfry")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let keeper = Keeper::start(sources, true, None).unwrap();
    assert_eq!(keeper.verdict(&key(1)), Some(Verdict::Pardon));
    assert_eq!(keeper.verdict(&key(3)), Some(Verdict::Allow));
    write(&list, &[1, 2, 3]);
    while keeper.verdict(&key(3)) != Some(Verdict::Block) {
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
