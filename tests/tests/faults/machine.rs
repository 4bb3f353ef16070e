//! A machine and a swarm that are not as they should be.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use constellation_tests::author::notes;
use constellation_tests::relay::dead_url;
use constellation_tests::station::PEER_IDS;
use constellation_tests::sync_program::left_behind::ended_well;
use constellation_tests::sync_program::{
    ERROR_LOG, LOG, PLAIN_KINDS, command, expect_logged, expect_stored, follow, recent,
};
use constellation_tests::{Behaviour, ScriptedRelay, StationDir, station};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::row::{AUTHORS, Fault, GOOD, all_hold};
use crate::rows;

#[test]
fn a_broken_machine_or_swarm_harms_nobody() {
    all_hold(rows![
        memory_of_64_mb,
        logs_on_a_full_device,
        state_files_that_are_devices,
        state_files_of_the_future,
        state_files_half_written,
        what_a_killed_run_left,
        a_swarm_of_10_000_folders,
        six_hundred_dead_peers_and_few_files,
        a_swarm_file_of_1_gb,
        a_symlink_to_dev_zero,
        a_fifo_as_12345_json,
        a_description_nested_100_000_deep,
        a_peer_id_that_is_a_path,
        a_peer_id_that_is_an_option,
        a_peer_id_that_is_a_command,
        urls_that_are_none,
        no_home,
    ]);
}

/// Threads' stacks count too; address space that is only reserved does not.
fn memory_of_64_mb() -> Fault {
    let more = notes(&AUTHORS, &PLAIN_KINDS, 3000, recent() - 100, 30_000);
    Fault::scripted(ScriptedRelay::start(&more, Behaviour::default()))
        .brings(&more)
        .memory(64 << 20)
}

fn logs_on_a_full_device() -> Fault {
    Fault::elsewhere(|station| {
        for log in [LOG, ERROR_LOG, "strfry/hex-to-profile.log"] {
            symlink("/dev/full", station.root().join(log)).unwrap();
        }
    })
}

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
}

const STATE: [&str; 4] = [
    "strfry/constellation-peers.json",
    "strfry/constellation-refused.txt",
    "strfry/constellation-tunnels.json",
    "strfry/constellation-missing-profiles.json",
];

fn state_files_that_are_devices() -> Fault {
    Fault::elsewhere(|station| {
        let [peers, refused, ..] = STATE.map(|file| station.root().join(file));
        symlink("/dev/zero", peers).unwrap();
        fifo(&refused);
        fs::create_dir_all(station.home().join(".ipfs")).unwrap();
        fifo(&station.home().join(".ipfs/config"));
    })
}

fn state_files_half_written() -> Fault {
    Fault::elsewhere(|station| {
        for (file, text) in STATE
            .iter()
            .zip(["{\"version\":1,\"pee", "constellation-ref"])
        {
            station.write(file, text);
        }
    })
}

/// As after a clock was set back by a year.
fn state_files_of_the_future() -> Fault {
    let relay = ScriptedRelay::start(&GOOD[..20], Behaviour::default());
    let url = relay.url();
    let next_year = recent() + 365 * 86_400;
    Fault::scripted(relay).prepared(move |station| {
        let known = serde_json::json!({"version": 2, "begin": next_year, "peers": {&url: {
            "last_seen": next_year,
            "limits": {
                "learned_at": next_year,
                "information": {
                    "max_limit": 1,
                    "max_message_length": 1,
                    "max_subscriptions": 1,
                    "negentropy": false,
                    "software": null,
                },
                "unreachable": true,
            },
            "last_success": next_year,
            "failures": 5,
            "last_failure": next_year,
            "score": 1e300,
        }}});
        let refused: String = GOOD
            .iter()
            .map(|event| format!("{next_year} {} *\n", event.id))
            .collect();
        station.write(STATE[0], known.to_string());
        station.write(STATE[1], format!("constellation-refused 1\n{refused}"));
        let ahead = UNIX_EPOCH + std::time::Duration::from_secs(next_year);
        let set = |path: &Path| File::open(path).unwrap().set_modified(ahead).unwrap();
        set(&station.root().join(STATE[0]));
        set(&station.paths().friends());
    })
}

fn what_a_killed_run_left() -> Fault {
    Fault::elsewhere(|station| {
        station.write("strfry/constellation-peers.json.4000000.new", "{\"ver");
        station.write("strfry/constellation-refused.txt.1.new", "");
        station.write("strfry/last_constellation_sync.7.new", "17");
        station.write("strfry/constellation-sync.lock", "4000000\n");
        station.write("strfry/constellation-backfill.lock", "4000000\n");
        station.write("tmp/coucou/_NIP101.profiles.json.12.new", "[{");
    })
}

fn a_swarm_of_10_000_folders() -> Fault {
    Fault::elsewhere(|station| {
        let swarm = station.paths().swarm_dir();
        for number in 0..10_000 {
            let folder = swarm.join(format!("12D3KooNumber{number}"));
            fs::create_dir(&folder).unwrap();
            let content = match number % 4 {
                0 => format!("{{\"ipfsnodeid\":\"{number}\",\"myRELAY\":\"\"}}"),
                1 => format!("{{\"ipfsnodeid\":\"{number}\",\"myRELAY\":\"ws://127.0.0.1:7777\"}}"),
                2 => "{".to_owned(),
                _ => continue,
            };
            fs::write(folder.join("12345.json"), content).unwrap();
        }
    })
}

fn six_hundred_dead_peers_and_few_files() -> Fault {
    Fault::elsewhere(|station| {
        for number in 0..600 {
            let (high, low) = (number / 250, number % 250 + 1);
            let url = format!("ws://127.1.{high}.{low}:1");
            station.peer(&format!("12D3KooDead{number}"), &url);
        }
    })
    .args(&["--max-peers", "1000"])
    .files(400)
    .fails("after 3 attempts: ws://127.1.0.1:1: cannot connect")
    .says("SYNC_PEERS: success=1 total=601")
}

fn in_swarm(change: impl Fn(&Path) + Send + 'static) -> Fault {
    Fault::elsewhere(move |station| {
        let folder = station.paths().swarm_dir().join("12D3KooOdd");
        fs::create_dir(&folder).unwrap();
        change(&folder);
    })
}

fn a_swarm_file_of_1_gb() -> Fault {
    in_swarm(|folder| {
        for name in ["12345.json", "amisOfAmis.txt"] {
            let file = File::create(folder.join(name)).unwrap();
            file.set_len(1 << 30).unwrap();
        }
    })
    .says("12345.json is passed over: larger than 256 kB")
    .says("amisOfAmis.txt cannot be read: larger than 66 MB")
}

fn a_symlink_to_dev_zero() -> Fault {
    in_swarm(|folder| {
        for name in ["12345.json", "amisOfAmis.txt"] {
            symlink("/dev/zero", folder.join(name)).unwrap();
        }
    })
    .says("12345.json is passed over: ")
    .says("amisOfAmis.txt cannot be read: a symbolic link")
}

fn a_fifo_as_12345_json() -> Fault {
    in_swarm(|folder| {
        for name in ["12345.json", "amisOfAmis.txt", "x_strfry.sh"] {
            fifo(&folder.join(name));
        }
    })
    .says("12345.json is passed over: not a regular file")
    .says("amisOfAmis.txt cannot be read: not a regular file")
}

fn a_description_nested_100_000_deep() -> Fault {
    in_swarm(|folder| {
        let deep = format!("{{\"myRELAY\":{}", "[".repeat(100_000));
        fs::write(folder.join("12345.json"), deep).unwrap();
    })
    .says("12345.json is passed over: not a JSON object")
}

/// A peer behind a tunnel with this id; ipfs must never hear of it.
fn with_peer_id(id: &'static str) -> Fault {
    Fault::elsewhere(move |station| {
        station.peer_behind_tunnel("12D3KooOdd", id);
        station.program("ipfs");
    })
    .args(&["--ipfs", "../programs/ipfs"])
    .says("its ipfsnodeid ")
    .says("is not an IPFS peer id")
}

fn a_peer_id_that_is_a_path() -> Fault {
    with_peer_id("../../x")
}

fn a_peer_id_that_is_an_option() -> Fault {
    with_peer_id("-h")
}

fn a_peer_id_that_is_a_command() -> Fault {
    with_peer_id("$(reboot)")
}

fn urls_that_are_none() -> Fault {
    Fault::elsewhere(|station| {
        for (number, url) in [
            "http://127.0.0.1:1",
            "file:///etc/passwd",
            "ws://",
            "ws://:80",
            "ws://a b",
            "ws://127.0.0.1:99999",
            "ws://127.0.0.1:0",
            "ws://[::1",
            "$(reboot)",
        ]
        .iter()
        .enumerate()
        {
            station.peer(&format!("12D3KooOdd{number}"), url);
        }
    })
    .says("is passed over: its myRELAY is not a URL")
}

/// With `--zen` nothing else is needed.
fn no_home() -> Fault {
    Fault::elsewhere(|_| {})
        .args(&["--zen", ".zen"])
        .strfry("HOME", "")
}

/// The program as a user who may not read everything; `None` where that cannot be had.
fn as_somebody(station: &StationDir) -> Option<constellation_tests::command::TestCommand> {
    let program = command(station, &["--patience", "1"]);
    if !rustix::process::geteuid().is_root() {
        return Some(program);
    }
    let is_there = Command::new("setpriv").arg("--version").output().is_ok();
    if !is_there {
        eprintln!("skipped: root reads everything, and there is no setpriv");
        return None;
    }
    let home = station.home();
    let owned = Command::new("chown")
        .args(["-R", "65534:65534"])
        .arg(&home)
        .status();
    assert!(owned.unwrap().success());
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(home.parent().unwrap(), open).unwrap();
    let wrapped = constellation_tests::command::TestCommand::new("setpriv", &home);
    let wrapped = wrapped
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(station.program("constellation-sync"))
        .args(["--json", "--patience", "1"]);
    Some(wrapped.env("HOME", &home))
}

#[test]
fn files_that_may_not_be_read() {
    let closed = |station: &StationDir, path: &str| {
        let path = station.root().join(path);
        fs::set_permissions(path, fs::Permissions::from_mode(0o0)).unwrap();
    };
    for (file, code, says) in [
        (
            "tmp/swarm/12D3KooOdd/12345.json",
            0,
            "12345.json is passed over: Permission denied",
        ),
        (
            "tmp/swarm/12D3KooOdd/amisOfAmis.txt",
            0,
            "amisOfAmis.txt cannot be read: Permission denied",
        ),
        ("tmp/swarm/12D3KooOdd", 0, "Permission denied"),
        (
            "strfry/blacklist.txt",
            3,
            "blacklist.txt cannot be read; nothing is synced until it can",
        ),
        (
            "strfry/strfry.conf",
            2,
            "strfry.conf cannot be read; check who may read it",
        ),
        ("tmp/swarm", 3, "No constellation peers found"),
    ] {
        let relay = ScriptedRelay::start(&GOOD, Behaviour::default());
        let station = station!();
        follow(&station, &AUTHORS, &[&relay.url()]);
        station.blacklist(&[]);
        station.peer("12D3KooOdd", &dead_url());
        station.peer_friends("12D3KooOdd", &[]);
        if file.ends_with("amisOfAmis.txt") {
            station.peer("12D3KooOdd", &relay.url());
        }
        closed(&station, file);
        let Some(program) = as_somebody(&station) else {
            return;
        };
        let output = program.output();
        output.expect_code(code).expect_stderr(says);
        for path in ["tmp/swarm", file] {
            let path = station.root().join(path);
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let stored: &[_] = if code == 0 { &GOOD } else { &[] };
        expect_stored(&station, stored);
        ended_well(&station, &output);
    }
}

#[test]
fn a_full_disk_is_said_and_leaves_nothing_half_written() {
    let tried = Command::new("unshare").args(["-rm", "true"]).status();
    if !tried.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no file system can be mounted here (unshare -rm)");
        return;
    }
    let relay = ScriptedRelay::start(&GOOD, Behaviour::default());
    let station = station!();
    follow(&station, &AUTHORS, &[&relay.url()]);
    // Of what is on it nothing is seen outside: what is left is listed in the end.
    let script = "cp -a .zen/strfry copy && mount -t tmpfs -o size=64k tmpfs .zen/strfry \
                  && cp -a copy/. .zen/strfry && rm -r copy \
                  && { cat /dev/zero > .zen/strfry/full; \"$@\"; code=$?; ls -A .zen/strfry; exit $code; }";
    let program = station.program("constellation-sync");
    let output = constellation_tests::command::TestCommand::new("unshare", &station.home())
        .args(["-rm", "sh", "-c", script, "sh"])
        .arg(program)
        .args(["--patience", "1"])
        .env("HOME", station.home())
        .output();
    output.expect_code(2);
    output.expect_stderr("cannot be locked; check the free disk space and who owns it");
    output.expect_stderr("No space left on device");
    output.expect_not_stderr("panicked");
    assert!(!output.stdout.contains(".new"), "{output}");
    assert!(!output.stdout.contains("backfill.lock"), "{output}");
}

#[test]
fn a_disk_that_fills_up_is_said_and_harms_no_list() {
    let began = SystemTime::now();
    let relay = ScriptedRelay::start(&GOOD, Behaviour::default());
    let station = station!();
    follow(&station, &AUTHORS, &[&relay.url()]);
    // What is remembered between runs cannot be written: the folder takes no new names.
    for file in STATE {
        fs::create_dir_all(station.root().join(file).join("in the way")).unwrap();
    }
    let output = command(&station, &[]).output();
    output.expect_code(0);
    expect_logged(&station, "constellation-refused.txt could not be written: ");
    expect_logged(&station, "constellation-peers.json could not be written: ");
    expect_stored(&station, &GOOD);
    ended_well_but_for_tunnels(&station, &output);
    assert!(began.elapsed().unwrap() < crate::row::BOUND);
}

/// A folder stands in the place of the ledger here.
fn ended_well_but_for_tunnels(station: &StationDir, output: &constellation_tests::command::Output) {
    fs::remove_dir_all(station.root().join(STATE[2])).unwrap();
    ended_well(station, output);
}

#[test]
fn ids_of_peers_are_decoded_before_anybody_hears_of_them() {
    let station = station!();
    station.tunnelled_peer(PEER_IDS[0], &dead_url());
    let output = station.run("constellation-sync", &["--dry-run"]);
    output.expect_code(0).expect_stdout(PEER_IDS[0]);
}
