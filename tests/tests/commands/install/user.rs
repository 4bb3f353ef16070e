//! Who runs strfry, and who runs the install.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use super::case::Case;

/// Nobody's number.
const STRANGER: u32 = 54_321;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Opens the way to the station for everyone.
fn open(case: &Case) {
    for folder in case.station.root().ancestors().take(3) {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn a_policy_that_strfry_s_user_cannot_start_is_not_made_its_plugin() {
    let case = Case::new();
    let policy = case.station.home().join("constellation-policy");
    fs::write(&policy, "#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(&policy, fs::Permissions::from_mode(0o644)).unwrap();
    let before = case.snapshot();
    let option = policy.to_str().unwrap();
    for dry_run in [&["--dry-run"][..], &[]] {
        let arguments = [&["install", "--policy", option], dry_run].concat();
        case.run(&arguments)
            .expect_code(2)
            .expect_stderr("could not start the policy")
            .expect_stderr("may not start it")
            .expect_stderr("sudo install -m 755");
    }
    assert_eq!(case.snapshot(), before);
    // It can be started, but fails.
    fs::write(&policy, "#!/bin/sh\necho no libraries >&2\nexit 127\n").unwrap();
    fs::set_permissions(&policy, fs::Permissions::from_mode(0o755)).unwrap();
    case.run(&["install", "--policy", option])
        .expect_code(2)
        .expect_stderr("no libraries");
    assert_eq!(case.snapshot(), before);
    case.run(&["install", "--policy", "/nonexistent/policy"])
        .expect_code(2)
        .expect_stderr("/nonexistent/policy is not there");
}

#[test]
fn strfry_s_user_is_asked_where_it_is_another() {
    if !is_root() {
        return;
    }
    let case = Case::new();
    open(&case);
    case.station.write("strfry/strfry-db/data.mdb", "");
    let database = case.station.strfry_dir().join("strfry-db/data.mdb");
    chown(database, Some(STRANGER), Some(STRANGER)).unwrap();
    case.run(&["install", "--dry-run"])
        .expect_code(0)
        .expect_stdout("strfry runs as 54321, who can start");
    let programs = case.station.program("constellation-policy");
    let folder = programs.parent().unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    case.run(&["install"])
        .expect_code(2)
        .expect_stderr("strfry runs as 54321 and could not start the policy");
}

#[test]
fn somebody_else_s_station_is_not_touched() {
    if !is_root() {
        return;
    }
    let case = Case::plain();
    chown(case.station.root(), Some(STRANGER), Some(STRANGER)).unwrap();
    let before = case.snapshot();
    for command in ["install", "uninstall"] {
        case.run(&[command])
            .expect_code(2)
            .expect_stderr("belongs to 54321: run this as that user");
    }
    assert_eq!(case.snapshot(), before);
}
