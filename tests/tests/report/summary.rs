//! What a run says on a terminal: how far it has come, and its summary at the end.

use constellation_tests::author::forged_signature;
use constellation_tests::author::now;
use constellation_tests::command::Output;
use constellation_tests::relay::dead_url;
use constellation_tests::terminal::plain;
use constellation_tests::{Author, Behaviour, StationDir};

use crate::case::{expect_all, sync, with_peer};

/// The last lines on the terminal, from the one that says how the run ended.
fn summary(output: &Output) -> Vec<String> {
    let text = plain(&output.stderr);
    let begin = text.rfind(['✔', '!', '✘', '–']).unwrap_or(text.len());
    let lines = text[begin..].lines().filter(|line| !line.is_empty());
    lines.map(ToOwned::to_owned).collect()
}

fn on_a_terminal(station: &StationDir, args: &[&str]) -> Output {
    sync(station).args(args).on_a_terminal().output()
}

#[test]
fn a_run_on_a_terminal_ends_with_a_summary() {
    let (station, _relay) = with_peer("Bob");
    let output = on_a_terminal(&station, &["--sweep"]);
    output.expect_code(0);
    let lines = summary(&output);
    assert!((3..=8).contains(&lines.len()), "{lines:#?}");
    expect_all(
        &lines.join("\n"),
        &[
            "✔ The one peer is synced, in ",
            "events    22 new; nothing was left out",
            "missing   nothing that these peers hold and show",
            "next      constellation-sync status",
        ],
    );
    assert_eq!(output.stdout, "");
}

#[test]
fn the_summary_names_who_failed_what_was_left_out_and_what_to_do() {
    let (station, good) = with_peer("Bob");
    let forged = forged_signature(&Author::new(1).note(now() - 60, "forged"));
    good.behave(Behaviour {
        extra: vec![forged.to_json()],
        ..Behaviour::default()
    });
    let dead = dead_url();
    station.peer("12D3KooDead", &dead);
    let output = on_a_terminal(&station, &["--sweep"]);
    output.expect_code(1);
    let lines = summary(&output);
    assert!((3..=8).contains(&lines.len()), "{lines:#?}");
    expect_all(
        &lines.join("\n"),
        &[
            "! 1 of 2 peers is synced",
            &format!("peer      {dead}"),
            "not reached: cannot connect to",
            "events    22 new; left out 1 that nobody asked for",
            "missing   whatever only the 1 peer not reached may hold",
            "next      constellation-sync doctor",
            "constellation-sync why EVENT_ID",
        ],
    );
}

#[test]
fn quiet_runs_and_those_nobody_watches_say_nothing() {
    let (station, _relay) = with_peer("Bob");
    for args in [&["-q"][..], &["--quiet"], &["--json"]] {
        let output = on_a_terminal(&station, args);
        output.expect_code(0);
        assert!(summary(&output).is_empty(), "{args:?} {output}");
    }
    let output = on_a_terminal(&station, &["-q"]);
    assert_eq!((&output.stderr[..], &output.stdout[..]), ("", ""));
    let output = sync(&station).output();
    assert_eq!(output.stderr, "", "it goes to no terminal");
}

#[test]
fn a_run_that_could_do_nothing_says_what_to_do() {
    let (station, _relay) = with_peer("Bob");
    std::fs::remove_file(station.strfry()).unwrap();
    let output = on_a_terminal(&station, &[]);
    output.expect_code(3);
    let lines = summary(&output);
    assert_eq!(lines.len(), 3, "{lines:#?}");
    expect_all(
        &lines.join("\n"),
        &[
            "✘ Nothing could be done",
            "is not a program; install strfry",
            "next      constellation-sync doctor",
        ],
    );
}

/// One and the same number of events: those that came, and those that are still to come.
#[test]
fn bars_count_no_event_that_nobody_will_send_and_never_nothing_of_nothing() {
    let (station, relay) = with_peer("Bob");
    let author = &Author::many(3)[0];
    let messages: Vec<_> = (0..30)
        .map(|number| author.sign(4, now() - 500 - number, &[&["p", &"1".repeat(64)]], "?iv="))
        .collect();
    relay.add(&messages);
    relay.behave(Behaviour {
        withholds: messages.iter().map(|event| event.id).collect(),
        // Slow enough for the bars to be drawn.
        deliver_delay: std::time::Duration::from_millis(40),
        ..Behaviour::default()
    });
    let output = on_a_terminal(&station, &["--sweep"]);
    output.expect_code(0);
    let text = plain(&output.stderr);
    assert!(!text.contains("0 of 0"), "{text}");
    let last = text.lines().rfind(|line| line.contains("missing events"));
    let last = last.unwrap_or_else(|| panic!("no bar in\n{text}"));
    assert!(last.contains(" of 22 missing events"), "{last}\n{text}");
}
