//! The plugin line of strfry.conf.

use std::fs;
use std::os::unix::fs::MetadataExt;

use constellation_tests::station_plugin;

use super::case::{Case, PLUGIN};

fn conf(case: &Case) -> String {
    case.station.read("strfry/strfry.conf")
}

/// The value behind `plugin =`.
fn plugin(case: &Case) -> String {
    let conf = conf(case);
    let line = conf.lines().find(|line| line.starts_with("\tplugin"));
    line.unwrap().split('"').nth(1).unwrap().to_owned()
}

#[test]
fn the_line_alone_is_changed_and_the_plugin_script_stays_theirs() {
    let case = Case::new();
    let before = conf(&case);
    let path = case.station.strfry_dir().join("strfry.conf");
    let file = || fs::metadata(&path).unwrap().ino();
    let same = file();
    let old = case.workspace.join(PLUGIN).display().to_string();
    // As it stands there, quotes and all.
    case.run(&["install", "--write-conf", "--dry-run"])
        .expect_code(0)
        .expect_stdout("it says plugin = \"/")
        .expect_stdout(&format!("undone by putting back \"{old}\"\n"));
    case.run(&["install", "--write-conf"])
        .expect_code(0)
        .expect_stdout("No strfry of this station is running");
    let command = plugin(&case);
    assert_eq!(conf(&case).replace(&command, &old), before);
    case.expect_policy(&command);
    assert_eq!(case.script(PLUGIN), station_plugin::OLD);
    let backup = case
        .station
        .read("strfry/constellation-install/before/strfry.conf");
    assert_eq!(backup, before);
    case.run(&["install", "--write-conf"])
        .expect_code(0)
        .expect_stdout("Nothing is left to do");
    // In force already: nothing else is replaced.
    case.run(&["install"])
        .expect_code(0)
        .expect_stdout("Nothing is left to do");
    case.run(&["uninstall"]).expect_code(0);
    assert_eq!(conf(&case), before);
    // strfry watches the file itself: another one of that name it would not notice.
    assert_eq!(file(), same);
}

#[test]
fn other_changes_to_the_conf_stay_and_another_plugin_too() {
    let case = Case::new();
    let before = conf(&case);
    case.run(&["install", "--write-conf"]).expect_code(0);
    let later = conf(&case) + "# later\n";
    case.station.write("strfry/strfry.conf", later);
    case.run(&["uninstall"]).expect_code(0);
    assert_eq!(conf(&case), before.clone() + "# later\n");
    case.run(&["install", "--write-conf"]).expect_code(0);
    case.plugin_line("\"/somebody/else\"");
    let theirs = conf(&case);
    case.run(&["uninstall"])
        .expect_code(1)
        .expect_stdout("strfry.conf was changed since the install: it is left alone");
    assert_eq!(conf(&case), theirs);
}

#[test]
fn a_conf_written_anew_by_the_station_is_changed_again() {
    let case = Case::new();
    let before = conf(&case);
    case.run(&["install", "--write-conf"]).expect_code(0);
    case.station
        .write("strfry/strfry.conf", before.clone() + "# anew\n");
    case.run(&["install", "--write-conf"]).expect_code(0);
    case.expect_policy(&plugin(&case));
    case.run(&["uninstall"]).expect_code(0);
    assert_eq!(conf(&case), before + "# anew\n");
}

#[test]
fn a_program_that_has_moved_is_undone_to_the_very_beginning() {
    let case = Case::new();
    for value in ["\"/their plugin\"", ""] {
        match value.is_empty() {
            false => case.plugin_line(value),
            true => case
                .station
                .write("strfry/strfry.conf", "relay {\n    nofiles = 0\n}\n"),
        }
        let before = case.snapshot();
        case.run(&["install", "--write-conf", "--strangers", "accept"])
            .expect_code(0);
        let elsewhere = case.station.home().join("elsewhere");
        fs::create_dir_all(&elsewhere).unwrap();
        let program = elsewhere.join("constellation-policy");
        let _ = fs::remove_file(&program);
        let real = fs::read_link(case.station.program("constellation-policy")).unwrap();
        std::os::unix::fs::symlink(real, &program).unwrap();
        let option = program.to_str().unwrap();
        case.run(&[
            "install",
            "--write-conf",
            "--strangers",
            "accept",
            "--policy",
            option,
        ])
        .expect_code(0);
        assert!(conf(&case).contains(option), "{}", conf(&case));
        case.run(&["uninstall"]).expect_code(0);
        assert_eq!(case.snapshot(), before);
    }
}

#[test]
fn a_policy_that_is_not_in_force_is_said() {
    let case = Case::new();
    case.plugin_line("\"\"");
    let before = conf(&case);
    case.run(&["install"])
        .expect_code(1)
        .expect_stdout("the policy is not in force")
        .expect_stdout("pass --write-conf");
    case.expect_clean();
    assert_eq!(case.script(PLUGIN), station_plugin::OLD);
    assert_eq!(conf(&case), before);
}

#[test]
fn the_line_is_found_however_it_is_spelled_and_never_in_a_comment() {
    let case = Case::new();
    for (before, after) in [
        (
            "relay.writePolicy.plugin = '/x' // y\n",
            "relay.writePolicy.plugin = \"@\" // y\n",
        ),
        (
            "relay : { writePolicy : { plugin : \"\" } }\n# plugin = \"\"\n",
            "relay : { writePolicy : { plugin : \"@\" } }\n# plugin = \"\"\n",
        ),
        (
            "/* relay { writePolicy { plugin = \"a\" } } */\nrelay.writePolicy { plugin = \"b\" }\n",
            "/* relay { writePolicy { plugin = \"a\" } } */\nrelay.writePolicy { plugin = \"@\" }\n",
        ),
        (
            "relay.writePolicy.plugin = \"a\"\nrelay { writePolicy { plugin = 'b' } }\n",
            "relay.writePolicy.plugin = \"a\"\nrelay { writePolicy { plugin = \"@\" } }\n",
        ),
    ] {
        case.station.write("strfry/strfry.conf", before);
        case.run(&["install", "--write-conf", "--strangers", "accept"])
            .expect_code(0);
        let text = conf(&case);
        let (front, _) = after.split_once("@").unwrap();
        let command = text.strip_prefix(front).unwrap().split('"').next().unwrap();
        assert_eq!(text, after.replacen("@", command, 1));
        case.expect_policy(command);
        case.run(&["uninstall"]).expect_code(0);
        assert_eq!(conf(&case), before);
    }
}

#[test]
fn a_conf_that_is_not_understood_is_not_changed() {
    let case = Case::new();
    for (before, said) in [
        ("relay {\n", "line 1: this { is not closed"),
        (
            "relay { writePolicy { plugin = (env \"PLUGIN\") } }\n",
            "comes from (env \"PLUGIN\"), which only strfry can tell",
        ),
        (
            "db = './x'\n(include (env \"MORE\"))\n",
            "line 2: (include …)",
        ),
        ("(include \"more.conf\")\n", "set in an included file"),
    ] {
        case.station.write(
            "strfry/more.conf",
            "relay.writePolicy.plugin = \"/theirs\"\n",
        );
        case.station.write("strfry/strfry.conf", before);
        let snapshot = case.snapshot();
        case.run(&["install", "--write-conf", "--strangers", "accept"])
            .expect_code(2)
            .expect_stderr(said)
            .expect_stderr("nothing was changed");
        assert_eq!(case.snapshot(), snapshot);
    }
}

#[test]
fn mode_and_link_of_the_conf_stay() {
    use std::os::unix::fs::PermissionsExt;
    let case = Case::new();
    let (link, real) = (
        case.station.strfry_dir().join("strfry.conf"),
        case.station.home().join("real.conf"),
    );
    fs::rename(&link, &real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    case.run(&["install", "--write-conf"]).expect_code(0);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&real).unwrap().mode() & 0o777, 0o640);
    case.expect_policy(&plugin(&case));
}

#[test]
fn without_a_conf_it_says_so() {
    let case = Case::new();
    fs::remove_file(case.station.strfry_dir().join("strfry.conf")).unwrap();
    let before = case.snapshot();
    case.run(&["install", "--write-conf"])
        .expect_code(2)
        .expect_stderr("strfry.conf: it is not there; install strfry first");
    assert_eq!(case.snapshot(), before);
    case.run(&["install"]).expect_code(1);
    case.run(&["uninstall"]).expect_code(0);
    assert_eq!(case.snapshot(), before);
}
