//! A station that pulls its scripts every day.

use std::fs;

use constellation_sync::testing::found::Found;
use constellation_sync::testing::plan;
use constellation_sync::testing::undo;
use constellation_sync::testing::wanted::InstallWanted as Wanted;

use constellation_tests::station_plugin;

use super::case::{BACKFILL, Case, PLUGIN, TRIGGER, steps};

#[test]
fn scripts_and_policy_are_in_force_and_git_sees_nothing() {
    let case = Case::new();
    let output = case.run(&["install"]);
    output
        .expect_code(0)
        .expect_stdout("undone by: constellation-sync uninstall");
    case.expect_clean();
    case.expect_in_force();
}

#[test]
fn pulls_end_well_whatever_they_touch() {
    let case = Case::new();
    case.run(&["install"]).expect_code(0);
    case.publish(&[("other.sh", Some("changed\n"))]);
    case.pull();
    for (round, content) in [case.large("new"), "small\n".to_owned()].iter().enumerate() {
        case.publish(&[
            (BACKFILL, Some(content)),
            (PLUGIN, Some(&format!("# {round}\n"))),
        ]);
        case.pull();
        case.expect_in_force();
    }
    // Times of files mean nothing.
    let file = fs::File::options()
        .append(true)
        .open(case.workspace.join(BACKFILL));
    file.unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    case.publish(&[(BACKFILL, Some("touched\n"))]);
    case.pull();
    case.expect_in_force();
    // It goes, and comes again.
    case.publish(&[(BACKFILL, None)]);
    case.pull();
    assert!(!case.workspace.join(BACKFILL).exists());
    case.publish(&[(BACKFILL, Some("again\n"))]);
    case.pull();
    case.expect_in_force();
    // One that was not tracked becomes so.
    case.publish(&[(TRIGGER, Some("theirs, too\n"))]);
    case.pull();
    case.expect_in_force();
    case.run(&["uninstall"]).expect_code(0);
    assert_eq!(case.script(BACKFILL), "again\n");
    assert_eq!(case.script(TRIGGER), "theirs, too\n");
    assert_eq!(case.script(PLUGIN), "# 1\n");
    case.expect_clean();
}

#[test]
fn a_station_with_commits_of_its_own_pulls_too() {
    let case = Case::new();
    case.run(&["install"]).expect_code(0);
    for pull in ["--no-rebase", "--rebase"] {
        fs::write(case.workspace.join("other.sh"), format!("ours {pull}\n")).unwrap();
        case.git(
            &case.workspace,
            &["commit", "-q", "-a", "-m", "of this station"],
        );
        case.publish(&[(BACKFILL, Some(&format!("{pull}\n"))), (PLUGIN, Some(pull))]);
        case.git(&case.workspace, &["pull", "-q", pull, "--no-edit"]);
        case.expect_clean();
        case.expect_in_force();
    }
    // Nothing of ours got into a commit.
    let committed = case.git(&case.workspace, &["show", &format!("HEAD:{BACKFILL}")]);
    assert_eq!(committed, "--rebase\n");
    for arguments in [
        &["reset", "-q", "--hard"][..],
        &["stash", "-q"],
        &["checkout", "-q", "-f", "."],
    ] {
        case.git(&case.workspace, arguments);
        case.expect_clean();
        case.expect_in_force();
    }
}

/// As upstream's script asks for kinds.
const KINDS_OF_THEIRS: &str = r#"
        req_message+='"kinds": [0, 1, 3, 4, 5, 6, 7, 8, 21, 22, 40, 30850], '
    local req_message='["REQ", "station_events", {"kinds": [30800, 30850], "since": '"$since"', "limit": 1000}]'
"#;

#[test]
fn kinds_that_the_station_s_own_backfill_asks_for_are_asked_for_by_ours() {
    let settings = "strfry/constellation.toml";
    for before in [None, Some("[lists]\nswarm = true"), Some("# mine\n")] {
        let case = Case::new();
        case.publish(&[(BACKFILL, Some(KINDS_OF_THEIRS))]);
        case.pull();
        if let Some(text) = before {
            case.station.write(settings, text);
        }
        let snapshot = case.snapshot();
        let output = case.run(&["install"]);
        output
            .expect_code(0)
            .expect_stdout("the station's own backfill asks for 12 kinds, so ours does, too");
        let text = case.station.read(settings);
        assert!(text.starts_with(before.unwrap_or_default()), "{text}");
        let dry_run = case.run(&["--dry-run"]);
        dry_run
            .expect_stdout("30904 crowdfunding campaign")
            .expect_stdout("at most 1000 events of any author of each peer, of the kinds: 30800 DID document, 30850 economic");
        // A second install finds nothing to do.
        let again = case.run(&["install"]);
        again.expect_code(0).expect_stdout("Nothing is left to do");
        case.run(&["uninstall"]).expect_code(0);
        assert_eq!(case.snapshot(), snapshot);
    }
}

#[test]
fn the_settings_file_is_written_if_there_is_none_and_goes_only_if_it_is_untouched() {
    let settings = "strfry/constellation.toml";
    let case = Case::new();
    let before = case.snapshot();
    case.run(&["install"])
        .expect_code(0)
        .expect_stdout("the settings of both programs");
    let commented = case.station.read(settings);
    assert!(commented.contains("\n[policy]\n") && commented.contains("\n#days = 1\n"));
    case.run(&["config"]).expect_code(0);
    case.run(&["install"])
        .expect_stdout("Nothing is left to do");
    case.run(&["uninstall"]).expect_code(0);
    assert_eq!(case.snapshot(), before);
    // One that `config --edit` wrote, and nobody touched, is as good as none.
    case.station.write(settings, commented.clone());
    case.run(&["install"]).expect_code(0);
    let touched = commented.replace("#days = 1", "days = 2");
    case.station.write(settings, touched.clone());
    case.run(&["install"])
        .expect_code(0)
        .expect_stdout("Nothing is left to do");
    let output = case.run(&["uninstall"]);
    output
        .expect_code(1)
        .expect_stdout("has settings of yours: it is left alone");
    assert_eq!(case.station.read(settings), touched);
}

#[test]
fn a_settings_file_elsewhere_is_named_to_the_policy_and_found_by_the_backfill() {
    let case = Case::new();
    let other = case.station.root().join("mine.toml");
    let other = other.to_str().unwrap();
    case.run(&["install", "--config", other]).expect_code(0);
    let plugin = fs::read_to_string(case.workspace.join(PLUGIN)).unwrap();
    assert!(plugin.contains(&format!("--config {other}")), "{plugin}");
    case.station.write("mine.toml", "[sync]\ndays = 9\n");
    case.run(&["config"]).expect_stdout("mine.toml, line 2");
    case.run(&["install"]).expect_code(0);
    assert_eq!(
        fs::read_to_string(case.workspace.join(PLUGIN)).unwrap(),
        plugin
    );
}

#[test]
fn a_captain_s_own_choice_of_kinds_stays_and_what_it_leaves_out_is_named() {
    let case = Case::new();
    case.publish(&[(BACKFILL, Some(KINDS_OF_THEIRS))]);
    case.pull();
    let settings = "[sync]\nkinds = \"seed\"\n";
    case.station.write("strfry/constellation.toml", settings);
    let output = case.run(&["install"]);
    output
        .expect_code(0)
        .expect_stdout("also asks for the kinds [8, 40, 30850]");
    assert_eq!(case.station.read("strfry/constellation.toml"), settings);
}

#[test]
fn install_and_uninstall_leave_every_byte_as_it_was() {
    let endings = ["", "# no line break at the end", "a line\n"];
    for (number, ending) in endings.iter().enumerate() {
        let case = Case::new();
        let git = case.workspace.join(".git");
        match number {
            0 => fs::remove_file(git.join("info/exclude")).unwrap(),
            _ => {
                fs::write(git.join("info/attributes"), ending).unwrap();
                let config = fs::read_to_string(git.join("config")).unwrap() + ending;
                fs::write(git.join("config"), config.replace("a line", "# a line")).unwrap();
            }
        }
        let before = case.snapshot();
        for options in [&["install"][..], &["install", "--write-conf"]] {
            case.run(options).expect_code(0);
            assert_ne!(case.snapshot(), before);
            case.run(&["uninstall"]).expect_code(0);
            assert_eq!(case.snapshot(), before, "{options:?} {ending:?}");
            case.expect_clean();
        }
        // What is not there cannot be taken away.
        let nothing = case.run(&["uninstall"]);
        nothing.expect_code(0).expect_stdout("no install to undo");
        assert_eq!(case.snapshot(), before);
    }
}

#[test]
fn install_twice_is_install_once() {
    let case = Case::new();
    let before = case.snapshot();
    case.run(&["install"]).expect_code(0);
    let once = case.snapshot();
    let twice = case.run(&["install"]);
    twice.expect_code(0).expect_stdout("Nothing is left to do");
    assert_eq!(case.snapshot(), once);
    case.run(&["uninstall"]).expect_code(0);
    assert_eq!(case.snapshot(), before);
}

#[test]
fn a_dry_run_shows_the_steps_and_does_none() {
    let case = Case::new();
    for command in [
        &["install"][..],
        &["install", "--write-conf"],
        &["uninstall"],
    ] {
        let before = case.snapshot();
        let dry = case.run(&[command, &["--dry-run"]].concat());
        dry.expect_code(0).expect_stdout("DRY RUN MODE");
        assert_eq!(case.snapshot(), before, "{command:?}");
        let real = case.run(command);
        real.expect_code(0);
        assert!(!steps(&real).is_empty());
        assert_eq!(steps(&dry), steps(&real), "{command:?}");
        assert_ne!(case.snapshot(), before, "{command:?}");
    }
}

#[test]
fn a_captain_s_own_changes_come_back() {
    let case = Case::new();
    case.write_script(BACKFILL, "changed by the captain\n");
    case.write_script(TRIGGER, "of the captain's\n");
    let before = case.snapshot();
    case.run(&["install"]).expect_code(0);
    case.expect_in_force();
    case.expect_clean();
    case.publish(&[(BACKFILL, Some("pulled\n"))]);
    case.pull();
    case.run(&["uninstall"]).expect_code(0);
    assert_eq!(case.script(BACKFILL), "changed by the captain\n");
    assert_eq!(case.script(TRIGGER), "of the captain's\n");
    case.git(&case.workspace, &["reset", "-q", "HEAD~1"]);
    let mut after = case.snapshot();
    after.retain(|path, _| before.contains_key(path));
    let is_git_s =
        |path: &std::path::Path| path.components().any(|part| part.as_os_str() == ".git");
    for (path, state) in before {
        assert!(
            is_git_s(&path) || after[&path] == state,
            "{}",
            path.display()
        );
    }
}

#[test]
fn what_was_changed_since_is_named_and_left_alone() {
    let case = Case::new();
    case.write_script(TRIGGER, "of the captain's\n");
    case.run(&["install"]).expect_code(0);
    for name in [BACKFILL, TRIGGER] {
        case.write_script(name, "changed since\n");
    }
    let output = case.run(&["uninstall"]);
    output
        .expect_code(1)
        .expect_stdout(
            "backfill_constellation.sh was changed since the install: it is left alone\n",
        )
        .expect_stdout("what was there before is in");
    assert_eq!(case.script(BACKFILL), "changed since\n");
    assert_eq!(case.script(TRIGGER), "changed since\n");
    let kept = case
        .station
        .read(format!("strfry/constellation-install/before/{TRIGGER}"));
    assert_eq!(kept, "of the captain's\n");
    assert_eq!(case.script(PLUGIN), station_plugin::OLD);
}

#[test]
fn git_works_on_when_everything_of_ours_is_gone() {
    let case = Case::new();
    case.run(&["install"]).expect_code(0);
    fs::remove_dir_all(case.station.strfry_dir().join("constellation-install")).unwrap();
    case.publish(&[(BACKFILL, Some("theirs again\n"))]);
    case.pull();
    assert_eq!(case.script(BACKFILL), "theirs again\n");
    // The next install mends it.
    case.run(&["install"]).expect_code(0);
    case.expect_in_force();
    case.expect_clean();
}

#[test]
fn an_install_that_was_cut_short_is_finished_or_undone() {
    let wanted = |case: &Case| Wanted {
        command: case
            .station
            .program("constellation-policy")
            .display()
            .to_string(),
        plugin: b"#!/bin/sh\n".to_vec(),
        by_conf: false,
        rule: None,
    };
    let case = Case::new();
    let before = case.snapshot();
    let mut done = 0;
    loop {
        let cut_short = || {
            let found = Found::look(case.station.paths()).unwrap();
            let steps = plan::install(&found, &wanted(&case)).unwrap().steps;
            for step in steps.iter().take(done) {
                step.execute().unwrap();
            }
            steps.len()
        };
        let all = cut_short();
        case.run(&["uninstall"]).expect_code(0);
        assert_eq!(case.snapshot(), before, "after {done} steps");
        case.expect_clean();
        cut_short();
        case.run(&["install"]).expect_code(0);
        case.expect_in_force();
        case.expect_clean();
        case.run(&["uninstall"]).expect_code(0);
        assert_eq!(case.snapshot(), before, "after {done} steps and the rest");
        if done == all {
            assert!(done > 8);
            return;
        }
        done += 1;
    }
}

#[test]
fn an_uninstall_that_was_cut_short_is_finished() {
    let case = Case::new();
    let before = case.snapshot();
    let mut done = 0;
    loop {
        case.run(&["install", "--write-conf"]).expect_code(0);
        case.run(&["install"]).expect_code(0);
        let found = Found::look(case.station.paths()).unwrap();
        let steps = undo::uninstall(&found).unwrap().steps;
        for step in steps.iter().take(done) {
            step.execute().unwrap();
        }
        case.run(&["uninstall"]).expect_code(0);
        assert_eq!(case.snapshot(), before, "after {done} steps");
        case.expect_clean();
        if done == steps.len() {
            return;
        }
        done += 1;
    }
}

#[test]
fn an_older_install_is_renewed() {
    let case = Case::new();
    let before = case.snapshot();
    case.run(&["install"]).expect_code(0);
    // As a version with other scripts left it.
    let copies = case
        .station
        .strfry_dir()
        .join("constellation-install/scripts");
    for name in [BACKFILL, TRIGGER] {
        fs::write(copies.join(name), "an older version\n").unwrap();
        fs::write(case.workspace.join(name), "an older version\n").unwrap();
    }
    case.git(&case.workspace, &["add", BACKFILL]);
    case.expect_clean();
    case.run(&["install"]).expect_code(0);
    case.expect_in_force();
    case.expect_clean();
    case.run(&["uninstall"]).expect_code(0);
    assert_eq!(case.snapshot(), before);
}

#[test]
fn a_link_in_a_script_s_place_is_not_written_through() {
    let case = Case::new();
    let elsewhere = case.station.home().join("elsewhere");
    fs::write(&elsewhere, "something else").unwrap();
    std::os::unix::fs::symlink(&elsewhere, case.workspace.join(TRIGGER)).unwrap();
    let before = case.snapshot();
    let output = case.run(&["install"]);
    output.expect_code(2).expect_stderr("is no file but a link");
    assert_eq!(case.snapshot(), before);
}
