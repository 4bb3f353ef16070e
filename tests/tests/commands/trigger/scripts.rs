//! The scripts for `~/.zen/workspace/NIP-101/`, called as the station's scripts call them.

use std::fs;
use std::path::{Path, PathBuf};

use constellation_tests::command::{TestCommand, wait_until};
use constellation_tests::station::{PEER_IDS, ids};
use constellation_tests::{Behaviour, StationDir, station};

use super::case::{is_recent, last_success, logged, station_with_peer};

const BACKFILL: &str = "backfill_constellation.sh";
const TRIGGER: &str = "constellation_sync_trigger.sh";
const ERRORS: &str = "strfry/constellation-backfill.error.log";

/// Puts both scripts where they belong, mode and all.
fn install(station: &StationDir) -> PathBuf {
    let folder = station.root().join("workspace/NIP-101");
    fs::create_dir_all(&folder).unwrap();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sidecar");
    for script in [BACKFILL, TRIGGER] {
        fs::copy(sources.join(script), folder.join(script)).unwrap();
    }
    folder
}

/// Puts our program where `cargo install` would.
fn install_program(station: &StationDir) {
    let folder = station.home().join(".cargo/bin");
    fs::create_dir_all(&folder).unwrap();
    let program = station.program("constellation-sync");
    let real = fs::read_link(program).unwrap();
    std::os::unix::fs::symlink(real, folder.join("constellation-sync")).unwrap();
}

/// bash with what cron gives.
fn from_cron(station: &StationDir, script: &str) -> TestCommand {
    TestCommand::new("/bin/bash", &station.home())
        .env("HOME", station.home())
        .env("PATH", "/usr/bin:/bin")
        .env("CONSTELLATION_NOW", "true")
        .args(["-c", script])
}

#[test]
fn the_hourly_job_calls_the_trigger_in_the_background() {
    let (station, relay, notes) = station_with_peer(Behaviour::default());
    install_program(&station);
    install(&station);
    let job = r#"[[ -s "${HOME}/.zen/workspace/NIP-101/constellation_sync_trigger.sh" ]] \
        && "${HOME}/.zen/workspace/NIP-101/constellation_sync_trigger.sh" &
        exit 0"#;
    for (run, end) in ["Backfill done", "No backfill", "No backfill"]
        .iter()
        .enumerate()
    {
        from_cron(&station, job).output().expect_code(0);
        wait_until("the job's end", || logged(&station, end) == run.max(1));
        wait_until("its process's", || station.processes().is_empty());
    }
    assert_eq!(relay.connections(), 1);
    assert_eq!(station.stored_ids(), ids(&notes));
    assert!(is_recent(last_success(&station)));
    assert_eq!(logged(&station, "No backfill"), 2);
}

#[test]
fn the_newer_hourly_job_calls_the_backfill_in_the_background() {
    let (station, relay, notes) = station_with_peer(Behaviour::default());
    install_program(&station);
    install(&station);
    let job = r#"lock="$HOME/.zen/strfry/constellation-backfill.lock"
        if [[ ! -s "$lock" ]] || ! kill -0 "$(cat "$lock")" 2>/dev/null; then
            "$HOME/.zen/workspace/NIP-101/backfill_constellation.sh" --days 1 > /dev/null 2>&1 &
        fi"#;
    from_cron(&station, job).output().expect_code(0);
    let log = || station.read("strfry/constellation-backfill.log");
    wait_until("the job's end", || {
        log().contains("Backfill process completed")
    });
    wait_until("its process's", || station.processes().is_empty());
    assert_eq!(relay.connections(), 1);
    assert_eq!(station.stored_ids(), ids(&notes));
}

#[test]
fn the_daily_job_waits_and_sees_the_exit_code_and_the_output() {
    let (station, _relay, notes) = station_with_peer(Behaviour::default());
    install_program(&station);
    install(&station);
    let job = "~/.zen/workspace/NIP-101/backfill_constellation.sh --days 1 --verbose";
    from_cron(&station, job)
        .output()
        .expect_code(0)
        .expect_stderr("SYNC_PEERS: success=1 total=1");
    assert_eq!(station.stored_ids(), ids(&notes));
    for (argument, code) in [
        ("--days", 2),
        ("--days=x", 2),
        ("--peer=ws://127.0.0.1:1", 1),
    ] {
        let job = format!("{job} {argument}");
        from_cron(&station, &job).output().expect_code(code);
    }
    let alone = station!();
    install_program(&alone);
    install(&alone);
    for script in [BACKFILL, TRIGGER] {
        let job = format!("~/.zen/workspace/NIP-101/{script}");
        from_cron(&alone, &job).output().expect_code(3);
    }
}

#[test]
fn arguments_stay_as_they_are() {
    let (station, relay, notes) = station_with_peer(Behaviour::default());
    install_program(&station);
    let folder = install(&station);
    let strange = station.home().join("with blanks and $(touch x) *");
    fs::rename(station.root(), &strange).unwrap();
    let folder = strange.join(folder.strip_prefix(station.root()).unwrap());
    for script in [BACKFILL, TRIGGER] {
        let output = TestCommand::new(folder.join(script), &station.home())
            .env("HOME", station.home())
            .env("CONSTELLATION_NOW", "true")
            .arg("--zen")
            .arg(&strange)
            .output();
        output.expect_code(0);
    }
    assert_eq!(relay.connections(), 2);
    fs::rename(&strange, station.root()).unwrap();
    assert_eq!(station.stored_ids(), ids(&notes));
}

#[test]
fn the_variable_says_which_program() {
    let (station, relay, _) = station_with_peer(Behaviour::default());
    let folder = install(&station);
    TestCommand::new(folder.join(BACKFILL), &station.home())
        .env("HOME", station.home())
        .env("CONSTELLATION_SYNC", station.program("constellation-sync"))
        .output()
        .expect_code(0);
    assert_eq!(relay.connections(), 1);
}

#[test]
fn a_missing_program_is_said_where_the_captain_looks_once() {
    let station = station!();
    let folder = install(&station);
    for script in [BACKFILL, TRIGGER, BACKFILL] {
        TestCommand::new(folder.join(script), &station.home())
            .env("HOME", station.home())
            .env("PATH", "/usr/bin:/bin")
            .env("CONSTELLATION_SYNC", "no-such-constellation-sync")
            .output()
            .expect_code(127)
            .expect_stderr("no-such-constellation-sync is not there; install it");
    }
    let errors = station.read(ERRORS);
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.contains("[ERROR] no-such-constellation-sync is not there"));
}

#[test]
fn without_any_environment_the_home_is_the_user_s() {
    let station = station!();
    let folder = install(&station);
    let output = TestCommand::new("/usr/bin/env", &station.home())
        .args(["-i", "/bin/bash"])
        .arg(folder.join(BACKFILL))
        .args(["--zen", "/nonexistent", "--version"])
        .output();
    // Found or not, depending on this machine; but no error of the shell's.
    assert!(matches!(output.status.code(), Some(0 | 127)), "{output}");
    output.expect_not_stderr("unbound variable");
}

/// How `setup.sh` of papiche/NIP-101 15a4359 gets at the peers, and what it makes of them.
const SETUP: &str = r#"
SCRIPT_DIR="$HOME/.zen/workspace/NIP-101"
DISCOVER_FUNCTION=$(sed -n '/^# Function to discover constellation peers from IPNS swarm$/,/^}$/p' "$SCRIPT_DIR/backfill_constellation.sh")
eval "$DISCOVER_FUNCTION"
discover_constellation_peers 2>/dev/null
"#;

#[test]
fn setup_finds_the_peers_by_the_function_that_it_cuts_out() {
    let station = station!();
    install_program(&station);
    install(&station);
    station.peer("12D3KooOpen", "wss://relay.example.org");
    let id = PEER_IDS[0];
    station.peer_behind_tunnel(id, id);
    let output = from_cron(&station, SETUP).output();
    output.expect_code(0);
    let script = station.root().join(format!("tmp/swarm/{id}/x_strfry.sh"));
    assert_eq!(
        output.stdout,
        format!(
            "routable:wss://relay.example.org\nlocalhost:{id}:{}\n",
            script.display()
        )
    );
    // Nobody is there: nothing is printed, as upstream's prints an empty line.
    fs::remove_dir_all(station.paths().swarm_dir()).unwrap();
    let output = from_cron(&station, SETUP).output();
    assert_eq!(output.stdout, "");
}

#[test]
fn the_station_s_own_report_is_started_at_the_end_of_a_run() {
    let (station, _relay, _) = station_with_peer(Behaviour::default());
    install_program(&station);
    let folder = install(&station);
    let marker = station.home().join("report");
    // It reads the log of a run that has ended, and its output disturbs nobody.
    let script = format!(
        "#!/bin/bash\necho noise; grep -c 'Backfill process completed' ~/.zen/strfry/constellation-backfill.log > '{0}.new'; \
         echo \"$CAPTAINEMAIL\" >> '{0}.new'; mv '{0}.new' '{0}'\n",
        marker.display()
    );
    fs::write(folder.join("sync_report.sh"), script).unwrap();
    let job = "~/.zen/workspace/NIP-101/backfill_constellation.sh --days 1";
    let run = |variables: &str| {
        let output = from_cron(&station, &format!("{variables} {job}")).output();
        output.expect_code(0);
        assert!(!format!("{output}").contains("noise"), "{output}");
    };
    let mode = std::os::unix::fs::PermissionsExt::from_mode;
    run("CAPTAINEMAIL=a@example.com");
    fs::set_permissions(folder.join("sync_report.sh"), mode(0o755)).unwrap();
    run("CAPTAINEMAIL=");
    run("CAPTAINEMAIL=a@example.com CONSTELLATION_SYNC_REPORT=");
    let settings = "strfry/constellation.toml";
    station.write(settings, "[report]\nsync-report = \"\"\n");
    run("CAPTAINEMAIL=a@example.com");
    fs::remove_file(station.root().join(settings)).unwrap();
    wait_until("all processes' end", || station.processes().is_empty());
    assert!(
        !marker.exists(),
        "nobody is to be told, or it is turned off"
    );
    run("CAPTAINEMAIL=a@example.com");
    wait_until("the report", || marker.exists());
    let report = fs::read_to_string(&marker).unwrap();
    assert_eq!(report, "1\na@example.com\n");
    // The log about profiles is where today's scripts look for it, too.
    let link = station.root().join("tmp/hex-to-profile.log");
    let target = fs::read_link(link).unwrap();
    assert_eq!(target, Path::new("../strfry/hex-to-profile.log"));
}
