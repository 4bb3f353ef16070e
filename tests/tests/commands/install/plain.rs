//! Stations whose scripts are not under git, or that have none.

use std::fs;

use super::case::{BACKFILL, Case, TRIGGER};

#[test]
fn a_folder_that_git_knows_nothing_of_is_put_back_as_well() {
    let case = Case::plain();
    let before = case.snapshot();
    case.run(&["install"]).expect_code(0);
    case.expect_in_force();
    let once = case.snapshot();
    case.run(&["install"])
        .expect_stdout("Nothing is left to do");
    assert_eq!(case.snapshot(), once);
    case.run(&["uninstall"]).expect_code(0);
    assert_eq!(case.snapshot(), before);
}

#[test]
fn scripts_that_a_captain_put_there_by_hand_are_ours_already() {
    let case = Case::plain();
    for name in [BACKFILL, TRIGGER] {
        case.write_script(name, &super::case::ours(name));
    }
    let before = case.snapshot();
    case.run(&["install"]).expect_code(0);
    case.expect_in_force();
    case.run(&["uninstall"]).expect_code(0);
    let mut after = before.clone();
    // Whose they are cannot be told from what they hold.
    after.retain(|path, _| !path.ends_with(BACKFILL) && !path.ends_with(TRIGGER));
    assert_eq!(case.snapshot(), after);
}

#[test]
fn a_station_without_scripts_is_told_of_the_timer() {
    let case = Case::plain();
    fs::remove_dir_all(case.station.root().join("workspace")).unwrap();
    case.plugin_line("\"\"");
    let before = case.snapshot();
    case.run(&["install", "--write-conf"])
        .expect_code(0)
        .expect_stdout("no scripts are put in place")
        .expect_stdout("install --systemd");
    case.run(&["uninstall"]).expect_code(0);
    assert_eq!(case.snapshot(), before);
}

#[test]
fn names_that_a_shell_or_git_would_read_otherwise_are_refused() {
    let case = Case::plain();
    for name in ["a'b", "a\"b", "a%fb", "a$b", "a\nb"] {
        let elsewhere = case.station.home().join(name);
        fs::create_dir_all(elsewhere.join("strfry")).unwrap();
        let output = case.command(&["install", "--zen"]).arg(&elsewhere).output();
        output.expect_code(2).expect_stderr("use another folder");
        let left = fs::read_dir(elsewhere.join("strfry")).unwrap().count();
        assert_eq!(left, 0);
    }
}

#[test]
fn a_station_in_a_folder_with_blanks_works() {
    let case = Case::plain();
    let strange = case.station.home().join("with blanks & more");
    fs::rename(case.station.root(), &strange).unwrap();
    let run = |arguments: &[&str]| {
        let command = case.command(arguments).arg("--zen").arg(&strange);
        command.output().expect_code(0);
    };
    run(&["install"]);
    let script = strange.join("workspace/NIP-101").join(super::case::PLUGIN);
    let command = format!("'{}'", script.display());
    fs::create_dir_all(case.station.strfry_dir()).unwrap();
    case.station.write("strfry/blacklist.txt", "");
    fs::write(strange.join("strfry/blacklist.txt"), "2".repeat(64)).unwrap();
    let request = format!(
        r#"{{"type":"new","event":{{"id":"x","pubkey":"{}"}}}}"#,
        "2".repeat(64)
    );
    constellation_tests::command::TestCommand::new("/bin/sh", &strange)
        .args(["-c", &command])
        .stdin(request + "\n")
        .output()
        .expect_stdout("blocked: ");
    run(&["uninstall"]);
}
