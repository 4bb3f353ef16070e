//! Plugins as stations have them, and as captains change them.

use std::env;
use std::fs;

use super::*;

/// They stand in for the stations' own, in the same shape.
const TODAY: &str = include_str!("../../../../../tests/src/station_plugin/today.sh");
const OLD: &str = include_str!("../../../../../tests/src/station_plugin/old.sh");

/// The rule for strangers, and whether filters are run; `None` if the text is not recognised.
fn recognised(text: &str) -> Option<(Strangers, bool)> {
    let rule = former_rule(text).ok()?;
    Some((rule.strangers, rule.runs_filters))
}

const FILTERS: Option<(Strangers, bool)> = Some((Strangers::Filters, true));
const ACCEPT: Option<(Strangers, bool)> = Some((Strangers::Accept, true));

#[test]
fn the_plugins_of_today_and_of_old_are_told_apart() {
    assert_eq!(recognised(TODAY), FILTERS);
    assert_eq!(recognised(OLD), ACCEPT);
}

#[test]
fn changes_that_decide_nothing_are_no_matter() {
    for (from, to) in [
        ("\n", "\n\n# and so on\n"),
        ("    ", "\t"),
        ("LOG_FILE=", "MY_PATH=`dirname $0`\nLOG_FILE="),
        ("log_message \"blacklisted: $pubkey\"\n", "\n"),
        ("    echo \"$1\" >> \"$LOG_FILE\"", "    :"),
        (
            "        return\n",
            "        log_message \"no; not $kind\"\n        return # really\n",
        ),
        (
            "$MY_PATH/filter/$kind.sh \"$event_json\"",
            "\"$MY_PATH/filter/$kind.sh\" \"$event_json\"",
        ),
    ] {
        for (text, rule) in [(TODAY, FILTERS), (OLD, ACCEPT)] {
            let changed = text.replace(from, to);
            assert_ne!(changed, text, "{from}");
            assert_eq!(
                recognised(&changed),
                rule,
                "{from} to {to}: {:?}",
                former_rule(&changed)
            );
        }
    }
}

#[test]
fn changes_that_may_decide_are_in_doubt() {
    for (from, to) in [
        // What decides.
        ("if is_key_blacklisted", "if ! is_key_blacklisted"),
        ("-ne 0 ]]", "-eq 0 ]]"),
        (
            "        local filter_result=$?",
            "        log_message x\n        local filter_result=$?",
        ),
        (
            "        local filter_result=$?",
            "        local filter_result=0",
        ),
        (
            "local kind=$(echo \"$event_json\" | jq -r '.event.kind')",
            "local kind=1",
        ),
        (
            "    if is_key_blacklisted",
            "    pubkey=x\n    if is_key_blacklisted",
        ),
        (
            "    if is_key_blacklisted",
            "    if [[ $kind == 4 ]]; then\n        return\n    fi\n    if is_key_blacklisted",
        ),
        (
            "    if is_key_blacklisted",
            "    log_message x; return\n    if is_key_blacklisted",
        ),
        (
            "log_message \"blacklisted: $pubkey\"",
            "log_message \"$(exit 1)\" || return",
        ),
        ("\\\"accept\\\"}\"\n}", "\\\"reject\\\"}\"\n}"),
        // What it calls.
        ("== \"$blacklisted_key\"", "!= \"$blacklisted_key\""),
        ("    return 1\n}", "    return 0\n}"),
        ("is_key_blacklisted() {", "is_key_listed() {"),
        ("    echo \"$1\" >> \"$LOG_FILE\"", "    exit 1"),
        (
            "process_new_event() {",
            "more() {\n}\nprocess_new_event() {",
        ),
        ("process_new_event() {", "function process_new_event {"),
        (
            "process_new_event() {\n",
            "process_new_event() {\n}\nprocess_new_event() {\n",
        ),
        ("\"$1\" >> \"$LOG_FILE\"", "\"$1\" >> \"$LOG_FILE\"; exit"),
        // What is around it.
        ("strfry/blacklist.txt", "strfry/greylist.txt"),
        ("while IFS=", "exec /usr/bin/other\nwhile IFS="),
        ("== \"new\" ]]", "!= \"new\" ]]"),
        ("        continue\n", "        break\n"),
    ] {
        for text in [TODAY, OLD] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            assert_eq!(recognised(&changed), None, "{from} to {to}");
        }
    }
    for (from, to) in [
        ("\"nobody\" ]]", "\"player\" ]]"),
        ("elif check_amis_of_amis", "elif check_something_new"),
        ("local user_type=\"nobody\"", "local user_type=\"uplanet\""),
    ] {
        let changed = TODAY.replacen(from, to, 1);
        assert_ne!(changed, TODAY, "{from}");
        assert_eq!(recognised(&changed), None, "{from} to {to}");
    }
    for text in ["", "#!/bin/sh\nexec cat\n", "#!/bin/sh\n# their plugin\n"] {
        assert_eq!(recognised(text), None);
    }
    // It is said what it seems to do, if only something beside is unknown.
    let changed = TODAY.replace("while IFS=", "sleep 1\nwhile IFS=");
    let doubt = former_rule(&changed).unwrap_err();
    assert_eq!(
        doubt.what,
        "outside of its functions, this is unknown: sleep1"
    );
    assert_eq!(
        doubt.seems.map(|rule| rule.strangers),
        Some(Strangers::Filters)
    );
}

#[test]
fn what_a_relay_accepts_is_said_in_words() {
    let words = |strangers, runs_filters, knows_stations| {
        let rule = FormerRule {
            strangers,
            runs_filters,
            knows_stations,
        };
        rule.to_string()
    };
    assert_eq!(
        words(Strangers::Accept, false, false),
        "events of everyone who is not blacklisted"
    );
    assert_eq!(
        words(Strangers::Accept, true, true),
        "events of everyone who is not blacklisted, if there is no filter for their kind that rejects them"
    );
    assert_eq!(
        words(Strangers::Filters, true, true),
        "events of members and friends, nodes and captains of stations, if there is no filter for their kind that rejects them; of strangers only events whose kind has a filter that accepts them"
    );
    assert_eq!(
        words(Strangers::Filters, false, false),
        "events of members and friends; nothing of strangers"
    );
}

/// With the variable NIP101, which names a checkout of papiche/NIP-101, the plugin as it is.
#[test]
fn the_station_s_own_plugin_is_recognised() {
    let Some(checkout) = env::var_os("NIP101").filter(|path| !path.is_empty()) else {
        return;
    };
    let plugin = std::path::Path::new(&checkout).join(crate::commands::install::PLUGIN);
    let text = fs::read_to_string(plugin).unwrap();
    let rule = FormerRule {
        strangers: Strangers::Filters,
        runs_filters: true,
        knows_stations: true,
    };
    assert_eq!(former_rule(&text), Ok(rule));
}
