//! The relay accepts after an install what it accepted before: from strangers, and by its filters.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use constellation_tests::command::{Output, TestCommand};
use constellation_tests::station_plugin::{OLD, TODAY};

use super::case::{Case, PLUGIN};

/// A station with this plugin, and a filter for kind 7 that accepts, and one for kind 8 that rejects.
fn with_plugin(plugin: &str) -> Case {
    let case = Case::new();
    let filter = |code| format!("#!/bin/sh\necho \"${{0##*/}}\"\nexit {code}\n");
    case.publish(&[
        (PLUGIN, Some(plugin)),
        ("relay.writePolicy.plugin/filter/7.sh", Some(&filter(0))),
        ("relay.writePolicy.plugin/filter/8.sh", Some(&filter(1))),
    ]);
    case.pull();
    case.station
        .write("strfry/amisOfAmis.txt", "3".repeat(64) + "\n");
    case
}

/// The command of the plugin line.
fn command(case: &Case) -> String {
    let conf = case.station.read("strfry/strfry.conf");
    let line = conf.lines().find(|line| line.starts_with("\tplugin"));
    line.unwrap().split('"').nth(1).unwrap().to_owned()
}

/// What the relay's plugin says to a stranger's and a friend's events of kinds 1, 7 and 8: `A` or `R`.
fn verdicts(case: &Case) -> String {
    let authors = ["2", "3"].map(|digit| digit.repeat(64));
    let requests = authors.iter().flat_map(|author| {
        [1, 7, 8].map(|kind| {
            format!(
                "{{\"type\":\"new\",\"event\":{{\"id\":\"x\",\"kind\":{kind},\"pubkey\":\"{author}\"}}}}\n"
            )
        })
    });
    let requests: String = requests.collect();
    let output = TestCommand::new("/bin/sh", &case.station.strfry_dir())
        .env("HOME", case.station.home())
        .args(["-c", &command(case)])
        .stdin(requests)
        .output();
    output.expect_code(0);
    let answers = output.stdout.lines();
    answers
        .map(|answer| if answer.contains("accept") { 'A' } else { 'R' })
        .collect()
}

/// Removes what the filters printed.
fn forget_output(case: &Case) {
    let log = case.station.paths().filter_log();
    fs::remove_file(&log).unwrap();
    // The policy's link to the friends, which it makes while it runs.
    let link = "constellation-amisOfAmis.txt.before";
    let _ = fs::remove_file(case.station.strfry_dir().join(link));
    // It is not ours to remove if there is something else in it.
    let _ = fs::remove_dir(log.parent().unwrap());
}

const FILTERS: &str = "RARAAR";
const ACCEPT: &str = "AARAAR";

#[track_caller]
fn expect_words(output: &Output, before: &str, after: &str) {
    output
        .expect_code(0)
        .expect_stdout(&format!("Before, the relay accepts {before}"))
        .expect_stdout(&format!("With the policy, it accepts {after}"));
}

#[test]
fn strangers_may_write_what_they_could_and_filters_go_on() {
    for (plugin, verdict, strangers, words) in [
        (TODAY, FILTERS, "filters", "events of members and friends"),
        (
            OLD,
            ACCEPT,
            "accept",
            "events of everyone who is not blacklisted, if there is no filter",
        ),
    ] {
        for options in [&["install"][..], &["install", "--write-conf"]] {
            let case = with_plugin(plugin);
            let before = case.snapshot();
            expect_words(&case.run(&[options, &["--dry-run"]].concat()), words, words);
            assert_eq!(case.snapshot(), before);
            expect_words(&case.run(options), words, words);
            case.expect_clean();
            assert_eq!(verdicts(&case), verdict, "{strangers} {options:?}");
            assert_eq!(
                case.station.read("tmp/strfry.log").matches("7.sh").count(),
                2
            );
            forget_output(&case);
            // Once more, and after the station's plugin has changed beyond recognition.
            case.publish(&[(PLUGIN, Some("#!/bin/sh\n# another\n"))]);
            case.pull();
            case.run(options)
                .expect_code(0)
                .expect_stdout("Nothing is left to do");
            assert_eq!(verdicts(&case), verdict);
            forget_output(&case);
            case.git(&case.workspace, &["reset", "-q", "--hard", "HEAD~1"]);
            case.run(&["uninstall"]).expect_code(0);
            let mut after = case.snapshot();
            let mut before = before;
            // git's own notes of the pull.
            for snapshot in [&mut after, &mut before] {
                snapshot
                    .retain(|path, _| !path.components().any(|part| part.as_os_str() == ".git"));
            }
            assert_eq!(after, before, "{strangers} {options:?}");
        }
    }
}

#[test]
fn a_plugin_that_is_not_recognised_is_not_replaced_unless_the_rule_is_told() {
    let changed = TODAY.replace("is_key_blacklisted \"$pubkey\"; then", "false; then");
    for plugin in ["#!/bin/sh\n# theirs\n", &changed] {
        let case = with_plugin(plugin);
        let before = case.snapshot();
        for options in [
            &["install"][..],
            &["install", "--write-conf"],
            &["install", "--dry-run"],
        ] {
            case.run(options)
                .expect_code(2)
                .expect_stderr("is not recognised: ")
                .expect_stderr("Nothing was changed: say it with --strangers accept");
            assert_eq!(case.snapshot(), before);
        }
        for (rule, verdict) in [("filters", FILTERS), ("accept", ACCEPT)] {
            let told = case.run(&["install", "--strangers", rule]);
            told.expect_code(0).expect_stdout("accepts unknown: ");
            assert_eq!(verdicts(&case), verdict, "{rule}");
            // It is remembered.
            let again = case.run(&["install"]);
            again.expect_code(0).expect_stdout("Nothing is left to do");
            case.run(&["uninstall"]).expect_code(0);
            forget_output(&case);
            assert_eq!(case.snapshot(), before);
        }
    }
}

#[test]
fn what_is_only_around_the_decision_is_named_with_what_the_plugin_seems_to_do() {
    let case = with_plugin(&OLD.replace("while IFS=", "sleep 0\nwhile IFS="));
    case.run(&["install"])
        .expect_code(2)
        .expect_stderr("outside of its functions, this is unknown: sleep0")
        .expect_stderr("it seems to accept events of everyone who is not blacklisted");
}

#[test]
fn an_install_of_an_earlier_version_gets_the_rule_of_the_plugin_that_it_replaced() {
    let case = with_plugin(TODAY);
    case.run(&["install"]).expect_code(0);
    // As it was: no options, and no rule in the record.
    let policy = case.station.program("constellation-policy");
    let script = format!(
        "#!/bin/sh\nexec {} --zen {}\n",
        policy.display(),
        case.station.root().display()
    );
    let copy = case
        .station
        .root()
        .join("strfry/constellation-install/scripts")
        .join(PLUGIN);
    for path in [copy, case.workspace.join(PLUGIN)] {
        fs::write(&path, &script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let record = case.station.read("strfry/constellation-install.json");
    let mut json: serde_json::Value = serde_json::from_str(&record).unwrap();
    json.as_object_mut().unwrap().remove("rule").unwrap();
    case.station
        .write("strfry/constellation-install.json", json.to_string());
    assert_eq!(verdicts(&case), "AAAAAA");
    let doctor = case.run(&["doctor"]);
    doctor
        .expect_stdout("strangers may write everything here")
        .expect_stdout("2 filters lie in ");
    expect_words(
        &case.run(&["install"]),
        "events of members",
        "events of members",
    );
    assert_eq!(verdicts(&case), FILTERS);
    let doctor = case.run(&["doctor"]);
    assert!(!doctor.stdout.contains("2 filters lie in"), "{doctor}");
    doctor.expect_stdout("the relay accepts events of members and friends");
}

#[test]
fn filters_have_a_little_less_time_than_strfry_waits() {
    for (patience, timeout) in [("10", 9), ("3", 2), ("1", 1), ("0", 9), ("99999", 3600)] {
        let case = with_plugin(TODAY);
        let conf = case.station.read("strfry/strfry.conf");
        let line = format!("timeoutSeconds = {patience}");
        case.station.write(
            "strfry/strfry.conf",
            conf.replace("timeoutSeconds = 10", &line),
        );
        case.run(&["install"]).expect_code(0);
        let options = format!(" --filter-timeout {timeout} --filter-grace 300\n");
        assert!(
            case.script(PLUGIN).ends_with(&options),
            "{}",
            case.script(PLUGIN)
        );
    }
}

#[test]
fn without_a_plugin_everybody_may_write_as_before() {
    let case = with_plugin(TODAY);
    case.plugin_line("\"\"");
    let output = case.run(&["install", "--write-conf"]);
    expect_words(
        &output,
        "everything from everybody (no plugin)",
        "events of everyone",
    );
    assert_eq!(verdicts(&case), "AAAAAA");
    assert!(!command(&case).contains("--strangers"));
}

#[test]
fn a_rule_that_only_the_settings_file_says_is_not_lost_in_the_plugin_line() {
    let case = with_plugin(TODAY);
    let text = "[policy]\nstrangers = \"filters\"\n";
    case.station.write("strfry/constellation.toml", text);
    let policy = case.station.program("constellation-policy");
    let line = format!("\"{} --filters /other\"", policy.display());
    case.plugin_line(&line);
    case.run(&["install", "--write-conf"]).expect_code(0);
    assert!(command(&case).contains("--strangers filters --filters"));
}
