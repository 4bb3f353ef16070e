//! A run that is killed before each system call by which it changes anything, and one whose disk
//! is full at each write: every state file is whole afterwards, and none has lost what it held.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use constellation_shared::EventId;
use constellation_tests::author::notes;
use constellation_tests::command::{Output, TestCommand, wait_until};
use constellation_tests::station::{PEER_IDS, ids};
use constellation_tests::sync_program::left_behind::ended_well;
use constellation_tests::sync_program::{PLAIN_KINDS, PROGRAM, follow, paged, recent, report};
use constellation_tests::{Author, ScriptedRelay, StationDir, station};
use rustix::process::Signal;
use serde_json::Value;

/// The system calls by which something changes: on the disk, for another process, or at a peer.
const CALLS: [&str; 17] = [
    "openat",
    "write",
    "pwrite64",
    "rename",
    "fsync",
    "fdatasync",
    "ftruncate",
    "fallocate",
    "unlink",
    "mkdir",
    "fchmod",
    "fchown",
    "flock",
    "sendto",
    "pipe2",
    "vfork",
    "clone3",
];

/// Those that fail if the disk is full.
const FULL: [&str; 8] = [
    "openat",
    "write",
    "pwrite64",
    "rename",
    "fsync",
    "fdatasync",
    "fallocate",
    "mkdir",
];

/// What becomes of a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The run is killed before it.
    Killed,
    /// The disk is full.
    DiskFull,
}

/// The commands that are disturbed. What a thread does first hides what the others do later: by
/// two commands more of it is reached.
const COMMANDS: [&[&str]; 2] = [&["trigger"], &[]];

/// Which call of a run does not succeed: the `n`-th of this name of some thread.
#[derive(Debug, Clone, Copy)]
struct Fault {
    command: &'static [&'static str],
    call: &'static str,
    fate: Fate,
    n: usize,
}

/// How long a run may take that no peer nor strfry holds up.
const BOUND: Duration = Duration::from_secs(30);

/// How many runs at a time, unless `JOBS` says otherwise.
const JOBS: usize = 4;

/// What the first run has refused, as it remembers; and whose profile nobody had.
struct Remembered {
    refused: EventId,
    without_profile: Author,
    peer: String,
}

/// A station after one run, before another one that has more to bring.
struct Case {
    relays: [ScriptedRelay; 3],
    before: StationDir,
    wanted: BTreeSet<EventId>,
    remembered: Remembered,
}

impl Case {
    fn new() -> Self {
        let authors = Author::many(4);
        let with_profile = &authors[..3];
        let mut events = notes(with_profile, &PLAIN_KINDS, 60, recent(), 3000);
        let profile = |author: &Author| author.sign(0, recent(), &[], r#"{"name":"one"}"#);
        events.extend(with_profile.iter().map(profile));
        // The contact list of a member, for `--friends`.
        let friend = Author::new(50).pubkey().to_hex();
        events.push(authors[0].sign(3, recent(), &[&["p", &friend]], ""));
        let refused = authors[1].note(recent(), "Hello NOSTR visitor.");
        let mut first = events[..20].to_vec();
        first.push(refused.clone());
        let relays = [
            ScriptedRelay::start(&first, paged(50)),
            ScriptedRelay::start(&events[..40], Default::default()),
            ScriptedRelay::start(&events[40..], Default::default()),
        ];
        let before = station!();
        follow(&before, &authors, &[&relays[0].url()]);
        before.member("one@example.com", authors[0].pubkey());
        before.blacklist(&[Author::new(99).pubkey()]);
        let first = backfill(&before, before.program(PROGRAM)).arg("trigger");
        first.output().expect_code(0);
        let station = Self {
            wanted: ids(&events),
            remembered: Remembered {
                refused: refused.id,
                without_profile: authors[3].clone(),
                peer: relays[0].url(),
            },
            relays,
            before,
        };
        station.expect_whole(&station.before, "before");
        station
    }

    /// A copy of the station, with two more peers, one of them behind a tunnel.
    fn station(&self) -> StationDir {
        let station = station!();
        let from = self.before.home().join(".");
        let copied = Command::new("cp")
            .arg("-a")
            .arg(from)
            .arg(station.home())
            .status();
        assert!(copied.unwrap().success());
        station.peer("12D3KooPeer1", &self.relays[1].url());
        station.tunnelled_peer(PEER_IDS[0], &self.relays[2].url());
        // Nobody has this one's profile, either.
        station.geographic_key("place", Author::new(77).pubkey());
        station
    }

    /// A run with this fault. Returns whether there was such a call.
    fn suffers(&self, fault: Fault) -> bool {
        let Fault {
            command,
            call,
            fate,
            n,
        } = fault;
        let station = self.station();
        let trace = station.home().join("trace");
        let (how, mark) = match fate {
            Fate::Killed => ("signal=KILL", "+++ killed by SIGKILL +++"),
            Fate::DiskFull => ("error=ENOSPC", "(INJECTED)"),
        };
        let inject = format!("inject={call}:{how}:when={n}");
        let options = ["-e", &format!("trace={call}"), "-e", &inject];
        let disturbed = match fate {
            Fate::Killed => traced(backfill(&station, "strace"), &station, &trace, &options),
            // Waking a thread by an eventfd cannot fail, and if it does all the same the run hangs.
            // Killed, it takes its children with it.
            Fate::DiskFull => {
                let apart = backfill(&station, "unshare");
                let apart = apart.args(["-rpf", "--kill-child", "--mount-proc", "strace"]);
                traced(apart, &station, &trace, &options)
            }
        };
        let mut running = disturbed.args(command).spawn();
        let started = Instant::now();
        while running.is_running() && started.elapsed() < BOUND {
            thread::sleep(Duration::from_millis(10));
        }
        let hangs = running.is_running();
        running.signal(Signal::KILL);
        let output = running.wait();
        let text = fs::read_to_string(&trace).unwrap();
        let wakes = output.stderr.contains("failed to wake I/O driver");
        if !text.contains(mark) || wakes {
            return false;
        }
        assert!(!hangs, "it does not end within {BOUND:?}\n{output}");
        let is_last = |line: &&str| match fate {
            Fate::Killed => line.contains(&format!("{call}(")),
            Fate::DiskFull => line.contains(mark),
        };
        let last = text.lines().rfind(is_last).unwrap_or_default();
        println!("{call} {fate:?} {command:?} {n}: {last}");
        if fate == Fate::DiskFull {
            output.expect_not_stderr("panicked");
            assert!(matches!(output.status.code(), Some(0..=3)), "{output}");
        }
        // Of an open tunnel, ipfs keeps the listener.
        let is_tunnel = |process: &String| process.contains("stand-in-listen");
        wait_until("the children to end", || {
            station.processes().iter().all(is_tunnel)
        });
        self.expect_whole(&station, &format!("{last}\n{output}"));
        self.expect_next_run_completes(&station);
        true
    }

    /// One more run brings everything, and leaves nothing behind.
    #[track_caller]
    fn expect_next_run_completes(&self, station: &StationDir) {
        let output = backfill(station, station.program(PROGRAM)).output();
        output.expect_code(0);
        assert_eq!(report(&output)["outcome"], "complete", "{output}");
        let stored = station.stored_ids();
        assert!(stored == self.wanted, "stored {}\n{output}", stored.len());
        wait_until("the listeners of tunnels to end", || {
            station.processes().is_empty()
        });
        ended_well(station, &output);
        self.expect_whole(station, "after the next run");
    }

    /// No state file is half written, and none has lost what it held after the first run.
    #[track_caller]
    fn expect_whole(&self, station: &StationDir, when: &str) {
        let Remembered {
            refused,
            without_profile,
            peer,
        } = &self.remembered;
        let read = |name: &str| station.read(format!("strfry/{name}"));
        let json = |name: &str| -> Value {
            serde_json::from_str(&read(name))
                .unwrap_or_else(|error| panic!("{name}: {error}: {:?}\n{when}", read(name)))
        };
        let holds = |name: &str, word: &str| {
            assert!(json(name).to_string().contains(word), "{name}\n{when}");
        };
        holds("constellation-peers.json", peer);
        let author = without_profile.pubkey().to_hex();
        holds("constellation-missing-profiles.json", &author);
        holds("constellation-runs.json", "finished");
        holds("constellation-report.json", "schema");
        for may_be_missing in ["constellation-trigger.json", "constellation-tunnels.json"] {
            if !read(may_be_missing).is_empty() {
                json(may_be_missing);
            }
        }
        let memory = read("constellation-refused.txt");
        assert!(memory.starts_with("constellation-refused "), "{when}");
        assert!(memory.contains(&refused.to_hex()), "{memory}\n{when}");
        assert!(
            read("constellation-report.html")
                .trim_end()
                .ends_with("</html>"),
            "{when}"
        );
        for whole_lines in [
            "constellation-refused.txt",
            "constellation-backfill.log",
            "constellation-backfill.error.log",
            "constellation-trigger.log",
            "hex-to-profile.log",
            "constellation-backfill.lock",
            "constellation-sync.lock",
            "last_constellation_sync",
            "metrics.prom",
            "amisOfAmis.txt",
            "blacklist.txt",
        ] {
            let text = read(whole_lines);
            assert!(
                text.is_empty() || text.ends_with('\n'),
                "{whole_lines}: {text:?}\n{when}"
            );
        }
        // Our process id is there or not.
        let path = station.strfry_dir().join("constellation-backfill.lock");
        let pid = fs::read_to_string(path).ok();
        assert!(
            pid.is_none_or(|pid| pid.trim().parse::<u32>().is_ok()),
            "{when}"
        );
        let success = read("last_constellation_sync");
        assert!(success.trim().parse::<u64>().is_ok(), "{success:?}\n{when}");
        for list in ["amisOfAmis.txt", "blacklist.txt"] {
            let (before, now) = (self.before.read(format!("strfry/{list}")), read(list));
            assert!(now.starts_with(&before), "{list}: {now:?}\n{when}");
        }
        for csv_or_json in fs::read_dir(station.paths().profiles_dir()).unwrap() {
            let path = csv_or_json.unwrap().path();
            if path.extension().is_some_and(|end| end == "json") {
                let text = fs::read_to_string(&path).unwrap();
                assert!(
                    serde_json::from_str::<Value>(&text).is_ok(),
                    "{path:?}\n{when}"
                );
            }
        }
    }
}

/// A backfill with everything that a run can write.
fn backfill(station: &StationDir, program: impl AsRef<Path>) -> TestCommand {
    TestCommand::new(program.as_ref(), &station.home())
        .env("HOME", station.home())
        .env_remove("CONSTELLATION_NO_PROFILES")
        .env("CONSTELLATION_JSON", "true")
        .env("CONSTELLATION_PATIENCE", "5")
        .env("CONSTELLATION_FRIENDS", "true")
        .env("CONSTELLATION_IPFS", station.program("ipfs"))
        .env(
            "CONSTELLATION_METRICS",
            station.strfry_dir().join("metrics.prom"),
        )
        // Whatever earlier attempts came to.
        .env("CONSTELLATION_INTERVAL", "0")
        .env("CONSTELLATION_NOW", "true")
}

/// Such a run, of which strace writes the system calls to this file; not those of
/// its children.
fn traced(
    strace: TestCommand,
    station: &StationDir,
    trace: &Path,
    options: &[&str],
) -> TestCommand {
    strace
        .args(["-f", "-b", "execve", "-qq", "-y", "-s", "200", "-o"])
        .arg(trace)
        .args(options)
        .arg(station.program(PROGRAM))
}

/// Which calls of this name are tried, by their numbers: strace counts those of each thread, and
/// with them the dynamic linker's at the start of the first, until Rust begins by ignoring SIGPIPE.
fn numbers(trace: &str, call: &str, fate: Fate) -> BTreeSet<usize> {
    let name = format!("{call}(");
    let first = trace.split(' ').next();
    let mut is_ours = false;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut numbers = BTreeSet::new();
    for (thread, words) in trace.lines().filter_map(|line| line.split_once(' ')) {
        let words = words.trim_start();
        is_ours |= Some(thread) == first && words.contains("SIGPIPE");
        if !words.starts_with(&name) {
            continue;
        }
        let count = counts.entry(thread).or_default();
        *count += 1;
        if !is_ours && Some(thread) == first {
            continue;
        }
        let writes = ["O_WRONLY", "O_RDWR", "O_CREAT"];
        let changes = call != "openat" || writes.iter().any(|flag| words.contains(flag));
        // Nothing else of a run lies on a disk.
        let on_disk = fate == Fate::Killed || words.contains("/.zen/");
        if changes && on_disk && !words.contains("[eventfd]") {
            numbers.insert(*count);
        }
    }
    numbers
}

impl Case {
    /// All faults that these commands can suffer.
    fn faults(&self, calls: &[&'static str], fate: Fate) -> Vec<Fault> {
        let only = std::env::var("ONLY").ok();
        let is_wanted = |call: &str| {
            let only = only.as_ref();
            only.is_none_or(|only| only.split(' ').any(|only| only == call))
        };
        let mut faults = Vec::new();
        for command in COMMANDS {
            let station = self.station();
            let trace = station.home().join("trace");
            let strace = backfill(&station, "strace");
            let output = traced(strace, &station, &trace, &[]).args(command).output();
            output.expect_code(0);
            self.expect_whole(&station, "undisturbed");
            let trace = fs::read_to_string(trace).unwrap();
            for &call in calls.iter().filter(|call| is_wanted(call)) {
                let numbers = numbers(&trace, call, fate);
                println!("{call} {fate:?} {command:?}: {}", numbers.len());
                faults.extend(numbers.into_iter().map(|n| Fault {
                    command,
                    call,
                    fate,
                    n,
                }));
            }
        }
        faults
    }
}

/// Lets a run suffer each fault, or every so many so that at most `most` are tried.
fn try_all(fate: Fate, calls: &[&'static str], most: usize) {
    let case = Case::new();
    let faults = case.faults(calls, fate);
    let step = faults.len().div_ceil(most).max(1);
    let faults: Vec<Fault> = faults.into_iter().step_by(step).collect();
    let next = AtomicUsize::new(0);
    let suffered = AtomicUsize::new(0);
    let wrong: Mutex<Vec<Fault>> = Mutex::default();
    let jobs = std::env::var("JOBS").map_or(JOBS, |jobs| jobs.parse().unwrap());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(&fault) = faults.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let suffers = || case.suffers(fault);
                    match catch_unwind(AssertUnwindSafe(suffers)) {
                        Ok(true) => {
                            suffered.fetch_add(1, Ordering::SeqCst);
                        }
                        Ok(false) => {}
                        Err(_) => wrong.lock().unwrap().push(fault),
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    let suffered = suffered.into_inner();
    println!(
        "{fate:?}: {suffered} of {} calls, {} wrong",
        faults.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Runs this command in a strfry folder that has room for this many kB more, and leaves what became
/// of the folder in its place.
fn in_little_room(station: &StationDir, room: usize, command: &[&str]) -> Output {
    let script = "mkdir room && mount -t tmpfs tmpfs room && cp -a .zen/strfry/. room \
        && used=$(df --output=used room | tail -n 1) \
        && mount -o remount,size=$((used + ROOM))k room && mount --move room .zen/strfry \
        || exit 99; \"$@\"; code=$?; cp -a .zen/strfry after; exit $code";
    let output = backfill(station, "unshare")
        .env("ROOM", room.to_string())
        .args(["-rm", "sh", "-c", script, "sh"])
        .arg(station.program(PROGRAM))
        .args(command)
        .output();
    output.expect_not_stderr("panicked");
    assert!(matches!(output.status.code(), Some(0..=3)), "{output}");
    fs::remove_dir_all(station.strfry_dir()).unwrap();
    fs::rename(station.home().join("after"), station.strfry_dir()).unwrap();
    let names = fs::read_dir(station.strfry_dir()).unwrap();
    let mut names = names.map(|entry| entry.unwrap().file_name());
    let left = names.find(|name| name.to_string_lossy().ends_with(".new"));
    assert!(left.is_none(), "{left:?}\n{output}");
    output
}

/// Whether file systems of any size can be mounted here.
fn can_mount() -> bool {
    let tried = Command::new("unshare").args(["-rm", "true"]).status();
    let can_mount = tried.is_ok_and(|status| status.success());
    if !can_mount {
        eprintln!("skipped: no file system can be mounted here (unshare -rm)");
    }
    can_mount
}

/// A line of which only the beginning fits on the disk.
#[test]
fn a_line_that_finds_no_room_leaves_no_half_of_it_in_a_log_or_a_list() {
    if !can_mount() {
        return;
    }
    let author = Author::new(1);
    let mut wrong = Vec::new();
    for (file, command) in [
        (
            "strfry/constellation-trigger.log",
            &["trigger", "--now"][..],
        ),
        ("strfry/amisOfAmis.txt", &["friends", "--write"]),
    ] {
        let station = station!();
        station.member("one@example.com", author.pubkey());
        let friend = Author::new(50).pubkey().to_hex();
        station.import(&[author.sign(3, recent(), &[&["p", &friend]], "")]);
        // Memory comes in pages of 4096 bytes: there is room for twenty more.
        let before = format!("{}\n", "#".repeat(4096 - 20 - 1));
        station.write(file, &before);
        let output = in_little_room(&station, 0, command);
        assert_ne!(output.status.code(), Some(0), "{output}");
        if station.read(file) != before {
            wrong.push((file, output.to_string()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Writes succeed in part then. Whatever is left of them, the next run goes on from there.
#[test]
fn whatever_room_a_disk_has_left_every_state_file_is_whole() {
    if !can_mount() {
        return;
    }
    let case = Case::new();
    let mut codes: BTreeMap<Option<i32>, usize> = BTreeMap::new();
    let rooms: Vec<usize> = match std::env::var("ROOMS") {
        Ok(most) => (0..most.parse().unwrap()).map(|pages| pages * 4).collect(),
        Err(_) => vec![0, 4, 8, 16, 32, 64, 96],
    };
    for room in rooms {
        let station = case.station();
        let output = in_little_room(&station, room, &["trigger"]);
        case.expect_whole(&station, &format!("{room} kB of room\n{output}"));
        case.expect_next_run_completes(&station);
        *codes.entry(output.status.code()).or_default() += 1;
    }
    println!("by exit code: {codes:?}");
}

/// `tests/torture sync-killed`
#[test]
#[ignore = "minutes; needs strace, and ptrace allowed"]
fn killed_before_each_system_call_every_state_file_is_whole() {
    try_all(Fate::Killed, &CALLS, usize::MAX);
}

/// `tests/torture sync-full`
#[test]
#[ignore = "minutes; needs strace, and ptrace allowed"]
fn with_a_full_disk_at_each_write_every_state_file_is_whole() {
    try_all(Fate::DiskFull, &FULL, usize::MAX);
}
