//! strfry as a process: arguments, configuration, several at once, killed.

use std::collections::BTreeSet;

use constellation_shared::EventId;
use constellation_tests::author::notes;
use constellation_tests::command::wait_until;
use constellation_tests::station::ids;
use constellation_tests::{Author, station};

use super::case::{NOW, lines, writer};

#[test]
fn arguments_and_configuration() {
    let station = station!();
    let folder = station.strfry_dir();
    let conf = folder.join("strfry.conf");
    let elsewhere = station.home();
    std::fs::write(
        elsewhere.join("bad.conf"),
        "db = \"./strfry-db/\"\nevents {\n = \n",
    )
    .unwrap();
    let set_db = format!("--set=db={}/strfry-db/", folder.display());
    let config = format!("--config={}", conf.display());
    let usage = "    Usage:\n      ";

    let strfry = || station.strfry_command();
    let away = || station.strfry_command().folder(&elsewhere);
    let no_db = "strfry error: mdb_env_open: No such file or directory";
    for (command, code, stdout, stderr) in [
        (strfry().arg("--version"), 0, "strfry ", ""),
        (strfry(), 1, "strfry is a relay for the nostr protocol", ""),
        (strfry().arg("scan"), 255, usage, "Arguments did not match"),
        (
            strfry().args(["import", "--bogus"]),
            255,
            usage,
            "Unexpected argument: --bogus",
        ),
        (
            strfry().arg("frobnicate"),
            1,
            "",
            "strfry error: unknown command: frobnicate",
        ),
        (away().args([&config, "scan", "{}"]), 1, "", no_db),
        (
            away().env("STRFRY_CONFIG", &conf).args(["scan", "{}"]),
            1,
            "",
            no_db,
        ),
        (
            away().args([&config, &set_db, "scan", "--count", "{}"]),
            0,
            "0\n",
            "",
        ),
        (
            strfry()
                .env("STRFRY_CONFIG", "/nowhere.conf")
                .args([&config, "scan", "--count", "{}"]),
            0,
            "0\n",
            "CONFIG: successfully installed",
        ),
        (
            strfry().args(["--config=/nowhere.conf", "scan", "{}"]),
            1,
            "",
            "strfry error: Failed to load config file '/nowhere.conf': filesystem error",
        ),
        (
            away().args(["--config=bad.conf", "scan", "{}"]),
            1,
            "",
            "strfry error: Failed to load config file 'bad.conf': bad.conf:3:",
        ),
        (
            strfry().args(["--set=relay.nofiles=4000000000", "scan", "{}"]),
            1,
            "",
            "strfry error: Unable to set NOFILES limit to 4000000000, exceeds max of ",
        ),
    ] {
        let output = command.output();
        output
            .expect_code(code)
            .expect_stdout(stdout)
            .expect_stderr(stderr);
    }
    let quiet = strfry()
        .args(["--verbosity=ERROR", "scan", "--count", "{}"])
        .output();
    quiet.expect_code(0).expect_not_stderr("INFO|");
    let hidden = strfry().args(["--verbosity=WARNING", "import"]).output();
    hidden.expect_code(0).expect_not_stderr("Done.");

    std::fs::remove_dir_all(folder.join("strfry-db")).unwrap();
    station
        .run_strfry(["scan", "{}"])
        .expect_code(1)
        .expect_stderr(no_db);
}

#[test]
fn lines_are_committed_while_the_input_stays_open() {
    let station = station!();
    let note = Author::new(1).note(NOW, "early");
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut import = std::process::Command::new(station.strfry())
        .args(["import", "--debounce-millis=10"])
        .current_dir(station.strfry_dir())
        .stdin(reader)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut writer, &lines(&[&note])).unwrap();
    wait_until("the line to be stored", || {
        station.stored_ids() == ids([&note])
    });
    assert!(import.try_wait().unwrap().is_none());
    drop(writer);
    assert!(import.wait().unwrap().success());
}

#[test]
fn several_imports_and_scans_at_once_lose_nothing() {
    let station = station!();
    let events = notes(&Author::many(5), &[1, 7, 30_023], 2000, NOW, 86_400);
    let args = [
        "import",
        "--no-verify",
        "--write-batch=100",
        "--debounce-millis=1",
    ];
    let imports: Vec<_> = events
        .chunks(700)
        .map(|share| {
            let lines = lines(&share.iter().collect::<Vec<_>>());
            station.strfry_command().args(args).stdin(lines).spawn()
        })
        .collect();
    let mut counted = 0;
    while counted < 5 {
        station.run_strfry(["scan", "--count", "{}"]).expect_code(0);
        counted += 1;
    }
    for import in imports {
        import.wait().expect_code(0);
    }
    assert_eq!(station.stored_ids(), ids(&events));
}

#[test]
fn a_killed_import_leaves_whole_batches_and_a_usable_database() {
    let station = station!();
    let events = notes(&Author::many(5), &[1, 7], 3000, NOW, 86_400);
    let all = lines(&events.iter().collect::<Vec<_>>());
    let args = [
        "import",
        "--no-verify",
        "--write-batch=100",
        "--debounce-millis=1",
    ];
    let mut import = station
        .strfry_command()
        .args(args)
        .stdin(all.clone())
        .spawn();
    wait_until("the first batch", || {
        !import.is_running() || !station.stored_ids().is_empty()
    });
    import.signal(rustix::process::Signal::KILL);
    drop(import);
    let before: BTreeSet<EventId> = station.stored_ids();
    assert!(before.is_subset(&ids(&events)));
    let output = station.strfry_command().args(args).stdin(all).output();
    let [added, dups, ..] = writer(output.expect_code(0));
    assert_eq!(
        (added, dups),
        (3000 - before.len() as u64, before.len() as u64)
    );
    assert_eq!(station.stored_ids(), ids(&events));
}
