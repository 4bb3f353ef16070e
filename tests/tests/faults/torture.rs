//! Torture: each system call of a small backfill fails in turn, from outside (`strace`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use constellation_shared::EventId;
use constellation_tests::author::notes;
use constellation_tests::command::{Output, TestCommand};
use constellation_tests::station::ids;
use constellation_tests::{Author, ScriptedRelay, StationDir, station};
use rustix::process::Signal;

use constellation_tests::sync_program::left_behind::{ended_well, wait_for_orphans};
use constellation_tests::sync_program::{PLAIN_KINDS, PROGRAM, follow, paged, recent, report};

/// Which system calls, and as what they fail.
const CALLS: [(&str, &[&str]); 30] = [
    ("openat", &["EMFILE", "EIO", "ENOSPC", "ENOMEM"]),
    ("read", &["EIO", "EINTR"]),
    ("pread64", &["EIO"]),
    ("write", &["ENOSPC", "EIO", "EINTR"]),
    ("writev", &["EIO"]),
    ("rename", &["ENOSPC", "EIO"]),
    ("fsync", &["EIO", "ENOSPC"]),
    ("fdatasync", &["EIO"]),
    ("ftruncate", &["EIO"]),
    ("lseek", &["EIO"]),
    ("flock", &["EINTR", "ENOLCK"]),
    ("unlink", &["EIO"]),
    ("mkdir", &["ENOSPC"]),
    ("fchmod", &["EPERM"]),
    ("statx", &["EIO", "ENOMEM"]),
    ("getdents64", &["EIO"]),
    ("readlink", &["EIO"]),
    ("fcntl", &["EMFILE"]),
    ("socket", &["EMFILE", "ENOMEM"]),
    ("socketpair", &["EMFILE"]),
    ("connect", &["ENETUNREACH", "EINTR", "ENOMEM"]),
    ("bind", &["ENOMEM"]),
    ("sendto", &["ECONNRESET", "ENOMEM", "EINTR"]),
    ("recvfrom", &["ECONNRESET", "ENOMEM", "EINTR"]),
    ("pipe2", &["EMFILE"]),
    ("eventfd2", &["EMFILE"]),
    ("epoll_create1", &["EMFILE"]),
    ("execve", &["EACCES", "ENOMEM"]),
    ("clone3", &["EAGAIN", "ENOMEM"]),
    ("vfork", &["EAGAIN", "ENOMEM"]),
];

/// At most so many calls of each fail, spread evenly, unless `MOST` says otherwise.
const MOST: usize = 25;

/// How many runs at a time, unless `JOBS` says otherwise.
const JOBS: usize = 4;

/// How long a run may take that no peer nor strfry holds up.
const BOUND: Duration = Duration::from_secs(60);

/// What other programs wrote, and nobody may change.
const LISTS: [&str; 4] = [
    "strfry/blacklist.txt",
    "strfry/amisOfAmis.txt",
    "tmp/swarm/12D3KooPeer0/12345.json",
    "tmp/swarm/12D3KooPeer1/12345.json",
];

/// A system call, as what it fails, and which of each thread's.
type Run = (&'static str, &'static str, usize);

/// Two peers, some of it both, one of them paged through.
struct Case {
    relays: [ScriptedRelay; 2],
    authors: Vec<Author>,
    wanted: BTreeSet<EventId>,
}

impl Case {
    fn new() -> Self {
        let authors = Author::many(3);
        let mut events = notes(&authors, &PLAIN_KINDS, 120, recent(), 3000);
        let profile = |author: &Author| author.sign(0, recent(), &[], r#"{"name":"one"}"#);
        events.extend(authors.iter().map(profile));
        Self {
            relays: [
                ScriptedRelay::start(&events[..80], Default::default()),
                ScriptedRelay::start(&events[40..], paged(50)),
            ],
            authors,
            wanted: ids(&events),
        }
    }

    fn station(&self) -> StationDir {
        let station = station!();
        let [one, other] = &self.relays;
        follow(&station, &self.authors, &[&one.url(), &other.url()]);
        station.blacklist(&[Author::new(99).pubkey()]);
        station
    }

    /// A run in which the `n`-th call of each thread fails; whether there is one, and with
    /// which code it ended.
    fn fails(&self, (call, error, n): Run) -> Option<i32> {
        let station = self.station();
        let lists = LISTS.map(|list| station.read(list));
        let trace = station.home().join("trace");
        let inject = format!("inject={call}:error={error}:when={n}");
        let started = Instant::now();
        let options = ["-e", &format!("trace={call}"), "-e", &inject];
        let mut running = traced(&station, &trace, &options).spawn();
        while running.is_running() && started.elapsed() < BOUND {
            thread::sleep(Duration::from_millis(10));
        }
        let hangs = running.is_running();
        running.signal(Signal::KILL);
        let output = running.wait();
        let trace = fs::read_to_string(trace).unwrap();
        let mut failed = trace.lines().filter(|line| line.contains("(INJECTED)"));
        // Waking a thread by an eventfd that is not waited for cannot fail.
        if failed.clone().any(|line| line.contains("[eventfd]")) {
            return None;
        }
        let injected = failed.next()?;
        println!("{call} {error} {n}: {injected}");
        assert!(!hangs, "it does not end within {BOUND:?}\n{output}");
        output.expect_not_stderr("panicked");
        let code = output.status.code();
        assert!(matches!(code, Some(0..=3)), "{output}");
        if code != Some(0) {
            assert!(!output.stderr.is_empty(), "it does not say why\n{output}");
        }
        wait_for_orphans(&station);
        // What is not asked for is named, and the others' events are complete all the same.
        if code == Some(0) && station.stored_ids() != self.wanted {
            let names = ["is passed over", "cannot be read", "unreadable"];
            let is_named = names.iter().any(|name| output.stderr.contains(name));
            assert!(is_named, "nothing says what is missing\n{output}");
        }
        assert_eq!(LISTS.map(|list| station.read(list)), lists);
        let output = backfill(&station, station.program(PROGRAM)).output();
        output.expect_code(0);
        assert_eq!(report(&output)["outcome"], "complete", "{output}");
        self.expect_stored(&station, &output);
        ended_well(&station, &output);
        assert_eq!(LISTS.map(|list| station.read(list)), lists);
        code
    }

    #[track_caller]
    fn expect_stored(&self, station: &StationDir, output: &Output) {
        let stored = station.stored_ids();
        assert!(stored == self.wanted, "stored {}\n{output}", stored.len());
    }
}

/// The backfill by this program, with profiles.
fn backfill(station: &StationDir, program: impl AsRef<Path>) -> TestCommand {
    TestCommand::new(program.as_ref(), &station.home())
        .env("HOME", station.home())
        .env_remove("CONSTELLATION_NO_PROFILES")
        .env("CONSTELLATION_JSON", "true")
        .env("CONSTELLATION_PATIENCE", "5")
}

/// A run of which strace writes the system calls to this file; not those of its children.
/// Killed, it takes all of them with it.
fn traced(station: &StationDir, trace: &Path, options: &[&str]) -> TestCommand {
    // To let a child's beginning fail, it must be followed so far.
    let follow: &[&str] = match options.contains(&"trace=execve") {
        true => &["-f"],
        false => &["-f", "-b", "execve"],
    };
    backfill(station, "unshare")
        .args(["-rpf", "--kill-child", "--mount-proc", "strace"])
        .args(follow)
        .args(["-qq", "-y", "-s", "200", "-o"])
        .arg(trace)
        .args(options)
        .arg(station.program(PROGRAM))
}

/// Which calls fail: strace counts those of each thread, and with them the dynamic
/// linker's at the start of the first, until Rust begins by ignoring SIGPIPE. Of the
/// system's files, of which a hundred are certificates, one is enough.
fn numbers(trace: &str, call: &str, most: usize) -> Vec<usize> {
    let call = format!("{call}(");
    let first = trace.split(' ').next();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut linker, mut is_ours) = (0, false);
    let (mut ours, mut system_s) = (BTreeSet::new(), BTreeSet::new());
    for (thread, words) in trace.lines().filter_map(|line| line.split_once(' ')) {
        let words = words.trim_start();
        is_ours |= Some(thread) == first && words.contains("SIGPIPE");
        if !words.starts_with(&call) {
            continue;
        }
        let count = counts.entry(thread).or_default();
        *count += 1;
        if Some(thread) == first && !is_ours {
            linker = *count;
        } else if ["/etc/", "/usr/", "/proc/", "/sys/"]
            .iter()
            .any(|path| words.contains(path))
        {
            system_s.insert(*count);
        } else {
            ours.insert(*count);
        }
    }
    ours.extend(system_s.last());
    let ours: Vec<usize> = ours.into_iter().filter(|&n| n > linker).collect();
    let step = ours.len().div_ceil(most).max(1);
    ours.into_iter().step_by(step).collect()
}

/// `tests/torture sync`
#[test]
#[ignore = "minutes; needs strace, and ptrace allowed"]
fn each_system_call_fails_in_turn() {
    let setting = |name| std::env::var(name).ok();
    let number = |name, usual| setting(name).map_or(usual, |number| number.parse().unwrap());
    let (most, only) = (number("MOST", MOST), setting("ONLY"));
    let case = Case::new();
    let station = case.station();
    let trace = station.home().join("trace");
    let output = traced(&station, &trace, &[]).output();
    output.expect_code(0);
    case.expect_stored(&station, &output);
    let trace = fs::read_to_string(trace).unwrap();
    let mut runs = Vec::new();
    for (call, errors) in CALLS {
        let is_wanted = |only: &String| only.split(' ').any(|only| only == call);
        if only.as_ref().is_none_or(is_wanted) {
            let numbers = match call {
                // Of each child the first and only one.
                "execve" => vec![1],
                call => numbers(&trace, call, most),
            };
            println!("{call}: {numbers:?}");
            let all = |error| numbers.iter().map(move |&n| (call, error, n));
            runs.extend(errors.iter().copied().flat_map(all));
        }
    }
    let next = AtomicUsize::new(0);
    // By exit code; without one, nothing failed.
    let ended: Mutex<BTreeMap<Option<i32>, u32>> = Mutex::default();
    let wrong: Mutex<Vec<Run>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..number("JOBS", JOBS) {
            scope.spawn(|| {
                while let Some(&run) = runs.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let tried =
                        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case.fails(run)));
                    match tried {
                        Ok(code) => *ended.lock().unwrap().entry(code).or_insert(0) += 1,
                        Err(_) => wrong.lock().unwrap().push(run),
                    }
                }
            });
        }
    });
    let (ended, wrong) = (ended.into_inner().unwrap(), wrong.into_inner().unwrap());
    println!("sync: {} runs, by exit code: {ended:?}", runs.len());
    assert!(wrong.is_empty(), "{} wrong: {wrong:?}", wrong.len());
}

#[test]
fn the_dynamic_linker_s_calls_are_not_ours() {
    let trace = "1 read(3</lib/libc.so>) = 1\n1 rt_sigaction(SIGPIPE)\n1 read(4</root/x>)\n\
        2 read(5)\n2 read(5)\n2 read(5)\n2 read(5)\n2 read(6</etc/a>)\n2 read(6</etc/b>)\n";
    let of = |call, most| numbers(trace, call, most);
    assert_eq!(of("read", 9), [2, 3, 4, 6]);
    assert_eq!(of("read", 2), [2, 4]);
    assert!(of("write", 9).is_empty());
}
