//! `--strangers filters`: who counts as a stranger, what strangers may write, and that the verdicts
//! are those of the plugin that the policy replaces, but for the differences that are named.
//!
//! `verdicts.txt` holds the verdicts of both. Those of the station's plugin were produced by running
//! it; with the variable NIP101, which names a checkout of papiche/NIP-101, a test runs it again.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use constellation_shared::{Event, Pubkey};
use constellation_tests::Author;
use constellation_tests::author::now;
use constellation_tests::policy_program::{
    ACCEPT, BLOCKED, PROGRAM, Policy, UNAVAILABLE, clean, command, in_force, key, request, rested,
    run_script,
};
use constellation_tests::real_relay::RealRelay;
use constellation_tests::{StationDir, station};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

/// What follows the id of a stranger's event whose kind has no filter.
const STRANGER: &str = r#""action":"reject","msg":"restricted: this relay takes this kind only from members, friends and stations""#;

/// Where the station's plugin lies, below the station's folder.
const PLUGIN: &str = "workspace/NIP-101/relay.writePolicy.plugin";

/// This station's own id.
const NODE: &str = "12D3KooWOwn";

/// The filters of the station, which stand in for its real ones.
const FILTERS: [(&str, &str); 7] = [
    ("0", "exit 0"),
    ("1", "case \"$1\" in *spam*) exit 1 ;; esac"),
    ("7", "exit 1"),
    (
        "22242",
        "touch \"$HOME/.zen/game/nostr/.nip42_auth_x\"; exit 0",
    ),
    ("30023", "[ $# = 1 ] && echo \"$1\" | grep -q '^{\"event\"'"),
    ("30078", "kill -KILL $$"),
    ("30800", "exit 126"),
];

/// The kinds of the table; those from 42 to 44 have something that is no filter in the place of
/// one, and those behind them have none.
const KINDS: [&str; 19] = [
    "0", "1", "7", "22242", "30023", "30078", "30800", "42", "43", "44", "3", "4", "5", "6", "9",
    "1063", "1111", "10002", "65535",
];

/// The authors of the table: what each is, and in which lists the key stands, as it is written
/// there.
fn authors() -> Vec<Listed> {
    let hex = |number: u32| key(number).to_hex();
    let author = |name, number: u32, lists: &[(&'static str, String)]| Listed {
        name,
        key: key(number),
        lists: lists
            .iter()
            .map(|(list, line)| (*list, line.clone()))
            .collect(),
    };
    let line = |number: u32| hex(number) + "\n";
    let member = "game/nostr/a@example.com/HEX";
    let (friends, friends_there) = ("strfry/amisOfAmis.txt", "tmp/swarm/A/amisOfAmis.txt");
    let (own_node, node, captain) = (
        "tmp/12D3KooWOwn/HEX",
        "tmp/swarm/A/HEX",
        "tmp/swarm/B/HEX_CAPTAIN",
    );
    let blocked = "strfry/blacklist.txt";
    vec![
        author("stranger", 1, &[]),
        author("member", 2, &[(member, line(2))]),
        author(
            "geographic-member",
            3,
            &[("game/nostr/UMAP_1_2/HEX", line(3))],
        ),
        author("hidden-folder", 4, &[("game/nostr/.pubkey_4/HEX", line(4))]),
        author("friend-here", 5, &[(friends, line(5))]),
        author("friend-in-swarm", 6, &[(friends_there, line(6))]),
        author("own-node", 7, &[(own_node, line(7))]),
        author("node-in-swarm", 8, &[(node, line(8))]),
        author("captain-in-swarm", 9, &[(captain, line(9))]),
        author("flashmem", 10, &[("flashmem/x/HEX", line(10))]),
        author("hidden-station", 11, &[("tmp/swarm/.C/HEX", line(11))]),
        author("blocked-stranger", 21, &[(blocked, line(21))]),
        author(
            "blocked-member",
            22,
            &[(blocked, line(22)), (member, line(22))],
        ),
        author(
            "blocked-friend",
            23,
            &[(blocked, line(23)), (friends, line(23))],
        ),
        author(
            "blocked-friend-in-swarm",
            24,
            &[(blocked, line(24)), (friends_there, line(24))],
        ),
        author(
            "blocked-own-node",
            25,
            &[(blocked, line(25)), (own_node, line(25))],
        ),
        author("blocked-node", 26, &[(blocked, line(26)), (node, line(26))]),
        author(
            "blocked-captain",
            27,
            &[(blocked, line(27)), (captain, line(27))],
        ),
        author("friend-crlf", 41, &[(friends, hex(41) + "\r\n")]),
        author(
            "friend-upper-case",
            42,
            &[(friends, hex(42).to_uppercase() + "\n")],
        ),
        author(
            "friend-behind-blank",
            43,
            &[(friends, format!(" {}\n", hex(43)))],
        ),
        author(
            "friend-with-comment",
            44,
            &[(friends, format!("{} # a name\n", hex(44)))],
        ),
        author(
            "friend-as-npub",
            45,
            &[(friends, key(45).to_bech32() + "\n")],
        ),
        author(
            "friend-half-written",
            46,
            &[(friends, hex(46)[..63].to_owned() + "\n")],
        ),
        author(
            "friend-in-log-line",
            47,
            &[(friends, format!("[INFO] {}\n", hex(47)))],
        ),
        author(
            "node-without-line-break",
            48,
            &[("tmp/swarm/D/HEX", hex(48))],
        ),
        author("blocked-crlf", 51, &[(blocked, hex(51) + "\r\n")]),
        author(
            "blocked-upper-case",
            52,
            &[(blocked, hex(52).to_uppercase() + "\n")],
        ),
        author(
            "blocked-with-comment",
            53,
            &[(blocked, format!("{} # spam\n", hex(53)))],
        ),
    ]
}

struct Listed {
    name: &'static str,
    key: Pubkey,
    lists: Vec<(&'static str, String)>,
}

/// A request of the table of odd ones.
struct Odd {
    name: String,
    line: String,
}

/// Requests that no strfry writes, or seldom, of a stranger and of a member.
fn odd_requests() -> Vec<Odd> {
    let mut odd = Vec::new();
    for (who, number) in [("stranger", 1), ("member", 2)] {
        let hex = key(number).to_hex();
        let of_kind = |kind: &str| of_kind(kind, &hex);
        let mut add = |name: &str, line: String| {
            let name = format!("{who}:{name}");
            odd.push(Odd { name, line });
        };
        add(
            "key-in-upper-case",
            of_kind("3").replace(&hex, &hex.to_uppercase()),
        );
        add(
            "key-behind-0x",
            of_kind("3").replace(&hex, &format!("0x{hex}")),
        );
        add("key-is-a-pattern", of_kind("3").replace(&hex, ".*"));
        add("key-is-a-pattern,kind-0", of_kind("0").replace(&hex, ".*"));
        add(
            "key-too-short,kind-0",
            of_kind("0").replace(&hex, &hex[..63]),
        );
        add(
            "key-missing,kind-0",
            of_kind("0").replace("\"pubkey\"", "\"other\""),
        );
        for (name, kind) in [
            ("1.0", "1.0"),
            ("text", "\"1\""),
            ("negative", "-1"),
            ("null", "null"),
            ("path", "\"../filter/0\""),
            ("above-2^64", "18446744073709551617"),
        ] {
            add(&format!("kind-{name}"), of_kind(kind));
        }
        add(
            "kind-missing",
            of_kind("3").replace("\"kind\"", "\"other\""),
        );
        add(
            "kind-twice",
            of_kind("3").replace("\"kind\":3", "\"kind\":3,\"kind\":0"),
        );
        add("spam", of_kind("1").replace("say ", "say spam "));
        add(
            "shell-in-content",
            of_kind("1").replace("say ", "$(exit 1) `false` ; exit 1 '"),
        );
        let long = |kind: &str| of_kind(kind).replace("say ", &"x".repeat(140_000));
        add("140-kB,kind-0", long("0"));
        add("140-kB,kind-3", long("3"));
        add(
            "id-missing",
            of_kind("3").replace("\"id\":\"", "\"other\":\""),
        );
        add(
            "type-other",
            of_kind("3").replace("\"new\"", "\"lookback\""),
        );
        add(
            "type-missing",
            of_kind("3").replace("\"type\"", "\"other\""),
        );
        add("blanks-around", format!("  {}  ", of_kind("3")));
    }
    for (name, line) in [
        ("no-json", "{\"event\":{\"id\":\"1\","),
        ("json-null", "null"),
        ("json-array", "[]"),
        ("event-missing", "{\"type\":\"new\"}"),
        ("event-is-text", "{\"type\":\"new\",\"event\":\"x\"}"),
    ] {
        odd.push(Odd {
            name: name.to_owned(),
            line: line.to_owned(),
        });
    }
    odd
}

/// A request about an event of this kind.
fn of_kind(kind: &str, pubkey: &str) -> String {
    request("1", pubkey).replace(r#""kind":1"#, &format!(r#""kind":{kind}"#))
}

/// A station with these authors and filters.
fn differential_station() -> StationDir {
    let station = station!();
    station.own_node(NODE);
    let mut lists: BTreeMap<&str, String> = BTreeMap::new();
    for author in authors() {
        for (list, line) in author.lists {
            *lists.entry(list).or_default() += &line;
        }
    }
    for (list, text) in lists {
        station.write(list, text);
    }
    rested(&station);
    for (kind, script) in FILTERS {
        write_filter(&station, kind, script);
    }
    let filters = filters(&station);
    write_filter(&station, "42", "exit 0");
    fs::set_permissions(filters.join("42.sh"), Permissions::from_mode(0o644)).unwrap();
    fs::create_dir(filters.join("43.sh")).unwrap();
    symlink("nowhere", filters.join("44.sh")).unwrap();
    station
}

fn filters(station: &StationDir) -> PathBuf {
    station.root().join(PLUGIN).join("filter")
}

fn write_filter(station: &StationDir, kind: &str, script: &str) {
    let path = filters(station).join(format!("{kind}.sh"));
    station.write(&path, format!("#!/bin/bash\n{script}\n"));
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

/// The policy with the filters of this station and this rule.
fn start(station: &StationDir, rule: &str) -> Policy {
    let mut command = command(station);
    command.arg("--filters").arg(filters(station));
    command.args(["--strangers", rule]);
    Policy::spawn(command)
}

/// Whether a plugin's answer accepts the event.
fn letter(answer: &str) -> &'static str {
    let answer: String = answer.split_whitespace().collect();
    match answer.contains(r#""action":"accept""#) {
        true => "A",
        false => "R",
    }
}

/// A row of a table: what it is about, and the verdict of each column.
type Rows = BTreeMap<String, Vec<String>>;

/// All requests of the tables, each with its row.
fn asked() -> Vec<Odd> {
    let mut asked = Vec::new();
    for author in authors() {
        for kind in KINDS {
            asked.push(Odd {
                name: author.name.to_owned(),
                line: of_kind(kind, &author.key.to_hex()),
            });
        }
    }
    asked.extend(odd_requests());
    asked
}

fn rows(answers: impl IntoIterator<Item = String>) -> Rows {
    let mut rows = Rows::new();
    for (Odd { name, .. }, answer) in asked().into_iter().zip(answers) {
        rows.entry(name)
            .or_default()
            .push(letter(&answer).to_owned());
    }
    rows
}

/// The tables of `verdicts.txt`: a cell is the verdict of both, or the station's plugin's and ours.
struct Tables {
    theirs: Rows,
    ours: Rows,
    /// The rows in which they differ, and why.
    reasons: BTreeMap<String, String>,
}

fn tables() -> Tables {
    let (mut theirs, mut ours, mut reasons) = (Rows::new(), Rows::new(), BTreeMap::new());
    let text = include_str!("verdicts.txt");
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines {
        let (cells, reason) = line.split_once(" | ").unwrap_or((line, ""));
        let mut words = cells.split_whitespace();
        let name = words.next().unwrap().to_owned();
        let cells: Vec<(&str, &str)> = words
            .map(|cell| cell.split_once('/').unwrap_or((cell, cell)))
            .collect();
        let column = |pick: fn(&(&str, &str)) -> String| cells.iter().map(pick).collect();
        theirs.insert(name.clone(), column(|cell| cell.0.to_owned()));
        ours.insert(name.clone(), column(|cell| cell.1.to_owned()));
        reasons.insert(name, reason.to_owned());
    }
    Tables {
        theirs,
        ours,
        reasons,
    }
}

#[track_caller]
fn expect(found: &Rows, expected: &Rows) {
    let differ = |(name, cells): (&String, &Vec<String>)| {
        let known = expected.get(name).map(|cells| cells.join(" "));
        let cells = cells.join(" ");
        (known.as_ref() != Some(&cells)).then(|| format!("{name} {cells} (not {known:?})"))
    };
    let rows: Vec<String> = found.iter().filter_map(differ).collect();
    assert!(rows.is_empty(), "{}", rows.join("\n"));
    assert_eq!(found.len(), expected.len());
}

#[test]
fn each_author_and_kind_has_the_verdict_of_the_table() {
    let station = differential_station();
    let mut policy = start(&station, "filters");
    // Until the other stations' lists are read.
    policy.ask_until(8, ACCEPT);
    let answers = asked().into_iter().map(|Odd { line, .. }| {
        policy.write(line + "\n");
        policy.answer()
    });
    let found = rows(answers.collect::<Vec<_>>());
    policy.close();
    expect(&found, &tables().ours);
    // What the filters do besides is done.
    assert!(station.root().join("game/nostr/.nip42_auth_x").exists());
    // Who was pardoned left the blacklist.
    let blacklist = station.read("strfry/blacklist.txt");
    for (number, stays) in [
        (21, true),
        (22, false),
        (23, false),
        (24, false),
        (26, true),
    ] {
        assert_eq!(blacklist.contains(&key(number).to_hex()), stays, "{number}");
    }
}

#[test]
fn each_difference_from_the_station_s_plugin_has_its_reason() {
    let Tables {
        theirs,
        ours,
        reasons,
    } = tables();
    for (name, cells) in &theirs {
        let is_reasoned = !reasons[name].is_empty();
        assert_eq!(*cells != ours[name], is_reasoned, "{name}");
    }
    assert!(theirs.len() > 60, "{}", theirs.len());
}

/// Runs the station's plugin as it is; it takes a minute.
#[test]
fn the_station_s_plugin_gives_its_verdicts_of_the_table() {
    let Some(checkout) = env::var_os("NIP101").filter(|path| !path.is_empty()) else {
        println!("skipped: NIP101 names no checkout of papiche/NIP-101");
        return;
    };
    let station = differential_station();
    let folder = Path::new(&checkout).join("relay.writePolicy.plugin");
    let plugin = station.root().join(PLUGIN);
    for name in ["all_but_blacklist.sh", "filter/common.sh"] {
        fs::copy(folder.join(name), plugin.join(name)).unwrap();
    }
    let input = station.home().join("requests");
    let lines: Vec<String> = asked().into_iter().map(|odd| odd.line + "\n").collect();
    fs::write(&input, lines.concat()).unwrap();
    let mut command = Command::new(plugin.join("all_but_blacklist.sh"));
    clean(&mut command, &station.home());
    let output = command
        .stdin(Stdio::from(fs::File::open(&input).unwrap()))
        .output()
        .unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<String> = output.lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), lines.len());
    expect(&rows(answers), &tables().theirs);
}

/// A station with a filter for kind 7 and without one for kind 1, and a policy.
fn small_station(rule: &str) -> (StationDir, Policy) {
    let station = station!();
    write_filter(&station, "7", "exit 0");
    let policy = start(&station, rule);
    (station, policy)
}

fn ask_kind_7(policy: &mut Policy, number: u32) -> String {
    policy.write(of_kind("7", &key(number).to_hex()) + "\n");
    policy.answer()
}

const ACCEPTED_7: &str = r#"{"id":"1","action":"accept"}"#;

#[test]
fn who_enters_or_leaves_a_list_is_known_within_a_second() {
    let (station, mut policy) = small_station("filters");
    for (number, list) in [
        (1, "strfry/amisOfAmis.txt"),
        (2, "game/nostr/a@example.com/HEX"),
        (3, "tmp/12D3KooWOwn/HEX"),
        (4, "tmp/swarm/A/amisOfAmis.txt"),
        (5, "tmp/swarm/A/HEX"),
        (6, "tmp/swarm/A/HEX_CAPTAIN"),
    ] {
        station.own_node(NODE);
        in_force(
            &mut policy,
            &format!("a key in {list}"),
            number,
            ACCEPT,
            || {
                station.write(list, format!("{}\n", key(number)));
            },
        );
        // Who vanishes with the whole file of another station is known for two more hours.
        let is_kept = list.starts_with("tmp/swarm/");
        let others = if is_kept {
            format!("{}\n", key(9))
        } else {
            String::new()
        };
        in_force(
            &mut policy,
            &format!("no such key in {list}"),
            number,
            STRANGER,
            || {
                station.write(list, others);
            },
        );
        in_force(
            &mut policy,
            &format!("{list} again"),
            number,
            ACCEPT,
            || {
                station.write(list, format!("{}\n", key(number)));
            },
        );
        if is_kept {
            continue;
        }
        in_force(&mut policy, &format!("no {list}"), number, STRANGER, || {
            fs::remove_file(station.root().join(list)).unwrap();
        });
    }
    policy.close();
}

#[test]
fn a_stranger_s_event_is_not_let_in_while_its_filter_is_gone() {
    let (station, mut policy) = small_station("filters");
    station.friends(&[key(2)]);
    policy.ask_until(2, ACCEPT);
    assert_eq!(ask_kind_7(&mut policy, 1), ACCEPTED_7);
    // As git does when it replaces a file.
    fs::remove_file(filters(&station).join("7.sh")).unwrap();
    assert!(ask_kind_7(&mut policy, 1).contains("restricted: "));
    assert_eq!(ask_kind_7(&mut policy, 2), ACCEPTED_7);
    // One that is still being written is waited for.
    write_filter(&station, "7", "exit 0");
    policy.write(of_kind("7", &key(1).to_hex()) + "\n");
    let answer = policy.answer();
    assert!(
        answer == ACCEPTED_7 || answer.contains("restricted: "),
        "{answer}"
    );
    in_force_for_7(&mut policy);
    policy.close();
}

fn in_force_for_7(policy: &mut Policy) {
    let started = std::time::Instant::now();
    while ask_kind_7(policy, 1) != ACCEPTED_7 {
        assert!(started.elapsed().as_secs() < 60);
    }
}

#[test]
fn without_filters_strangers_write_nothing() {
    let station = station!();
    station.friends(&[key(2)]);
    let mut command = command(&station);
    command.env("CONSTELLATION_STRANGERS", "filters");
    let mut policy = Policy::spawn(command);
    assert_eq!(policy.ask_until(1, STRANGER).as_secs(), 0);
    assert_eq!(policy.ask_key(2), ACCEPT);
    policy.close();
    let output = station.run(PROGRAM, &["--strangers", "reject"]);
    output.expect_code(2).expect_stderr("accept, filters");
}

#[test]
fn the_rule_in_the_settings_file_counts_within_a_second() {
    let station = station!();
    write_filter(&station, "7", "exit 0");
    let mut command = command(&station);
    command.arg("--filters").arg(filters(&station));
    let mut second = Policy::spawn(command);
    station.friends(&[key(2)]);
    in_force(&mut second, "strangers = filters", 1, STRANGER, || {
        station.write(
            "strfry/constellation.toml",
            "[policy]\nstrangers = \"filters\"\n",
        );
    });
    assert_eq!(second.ask_key(2), ACCEPT);
    assert_eq!(ask_kind_7(&mut second, 1), ACCEPTED_7);
    in_force(&mut second, "strangers = accept", 1, ACCEPT, || {
        station.write(
            "strfry/constellation.toml",
            "[policy]\nstrangers = \"accept\"\n",
        );
    });
    second.close();
    // What is broken when the policy starts may have said the stricter.
    station.write("strfry/constellation.toml", "[policy]\nstrangers = \"fil");
    let mut command = constellation_tests::policy_program::command(&station);
    command.arg("--filters").arg(filters(&station));
    let mut third = Policy::spawn(command);
    assert_eq!(third.ask_key(1), STRANGER);
    third.close();
}

#[test]
fn whoever_cannot_be_judged_yet_is_told_to_try_again() {
    let station = station!();
    station.blacklist(&[key(3)]);
    rested(&station);
    station.friends(&[key(2)]);
    // Long enough to be read for a while.
    let many: String = (10..400_000)
        .map(|number| format!("{}\n", key(number)))
        .collect();
    station.write("tmp/swarm/A/amisOfAmis.txt", many);
    write_filter(&station, "7", "exit 0");
    let mut policy = start(&station, "filters");
    let unread = constellation_tests::policy_program::UNREAD;
    let mut answers = Vec::new();
    while answers.last().is_none_or(|last| last == unread) {
        answers.push(policy.ask_once(key(1).to_hex()));
        // Whoever is in a list of the station's own, or whose event a filter decides about, waits for
        // nothing.
        assert_eq!(policy.ask_once(key(2).to_hex()), ACCEPT);
        assert_eq!(ask_kind_7(&mut policy, 1), ACCEPTED_7);
    }
    assert_eq!(answers.last().unwrap(), STRANGER);
    assert_eq!(policy.ask_key(399_999), ACCEPT);
    assert_eq!(policy.ask_key(3), BLOCKED);
    policy.close();
    fs::remove_file(station.paths().blacklist()).unwrap();
    fs::create_dir(station.paths().blacklist()).unwrap();
    let mut policy = start(&station, "filters");
    assert_eq!(policy.ask_key(1), UNAVAILABLE);
    policy.close();
}

#[test]
fn what_other_stations_put_in_the_place_of_keys_holds_nobody() {
    let station = station!();
    let swarm = station.root().join("tmp/swarm");
    fs::create_dir_all(&swarm).unwrap();
    run_script(
        &swarm,
        "for i in $(seq 300); do mkdir s$i; mkfifo s$i/HEX; truncate -s 1G s$i/HEX_CAPTAIN; done
         mkdir a b c d; ln -s /dev/zero a/HEX; ln -s ../../../../HEX b/HEX; mkdir c/HEX
         head -c 60000 /dev/zero > c/HEX_CAPTAIN",
    );
    fs::write(station.home().join("HEX"), format!("{}\n", key(1))).unwrap();
    station.write("tmp/swarm/d/HEX", format!("junk\n{}\n", key(5)));
    // More than is read.
    let long: String = (100..1200)
        .map(|number| format!("{}\n", key(number)))
        .collect();
    station.write("tmp/swarm/d/HEX_CAPTAIN", long);
    let mut policy = start(&station, "filters");
    policy.ask_until(5, ACCEPT);
    assert_eq!(policy.ask_key(1), STRANGER);
    assert_eq!(policy.ask_key(100), STRANGER);
    // Nor does it fill the log.
    let stderr = policy.close();
    assert!(stderr.lines().count() < 5, "{stderr}");
}

#[test]
fn explain_names_the_class_and_the_rule_of_the_running_policy() {
    let (station, mut policy) = small_station("filters");
    station.friends(&[key(2)]);
    policy.ask_until(2, ACCEPT);
    let explain = |arguments: &[&str]| station.run(PROGRAM, &[&["explain"], arguments].concat());
    let [stranger, friend] = [1, 2].map(|number| key(number).to_hex());
    let running = format!(
        "the rule of the policy that runs as process {}",
        policy.id()
    );
    let kinds = format!("filters in {}: kinds 7\n", filters(&station).display());
    for (arguments, code, said) in [
        (
            &[&stranger[..]][..],
            0,
            "allow only what a filter accepts (a stranger)",
        ),
        (
            &[&stranger, "--kind", "1"],
            1,
            "block (a stranger, and kind 1 has no filter)",
        ),
        (
            &[&stranger, "--kind", "7"],
            0,
            "allow if the filter 7.sh accepts the event",
        ),
        (&[&friend, "--kind", "1"], 0, "allow\n"),
        (
            &[&friend, "--kind=7"],
            0,
            "allow if the filter 7.sh accepts the event",
        ),
    ] {
        let output = explain(arguments);
        output.expect_code(code);
        output
            .expect_stdout(said)
            .expect_stdout(&running)
            .expect_stdout(&kinds);
    }
    policy.close();
    explain(&[&stranger, "--kind", "1"])
        .expect_code(0)
        .expect_stdout("no running policy was seen");
    explain(&[&stranger, "--kind", "1", "--strangers", "filters"])
        .expect_code(1)
        .expect_stdout("as this command was told");
    station.write(
        "strfry/constellation-install.json",
        r#"{"version":1,"rule":{"strangers":"filters","filters":null},"changes":[]}"#,
    );
    explain(&[&stranger, "--kind", "1"])
        .expect_code(1)
        .expect_stdout("--strangers filters, as the install wrote down");
}

/// What a relay answers to these events: `A` if it takes one, `R` if it refuses one for good, `E` if it
/// cannot tell.
pub(super) fn published(relay: &RealRelay, events: &[Event]) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (mut socket, _) = connect_async(relay.url()).await.unwrap();
        let mut verdicts = String::new();
        for event in events {
            let message = format!("[\"EVENT\",{}]", event.to_json());
            socket.send(Message::text(message)).await.unwrap();
            let answer = loop {
                if let Message::Text(answer) = socket.next().await.unwrap().unwrap() {
                    break answer;
                }
            };
            let is_refused = answer.contains("restricted: ") || answer.contains("blocked: ");
            verdicts.push(match (answer.contains(",true,"), is_refused) {
                (true, _) => 'A',
                (false, true) => 'R',
                (false, false) => 'E',
            });
        }
        verdicts
    })
}

/// Needs a real strfry; the stand-in is no relay.
#[test]
fn a_real_relay_takes_from_whom_the_rule_says() {
    if !RealRelay::is_possible() {
        println!("skipped: STRFRY names no strfry");
        return;
    }
    let station = station!();
    let [stranger, friend, member, captain, blocked] = [1, 2, 3, 4, 5].map(Author::new);
    station.friends(&[friend.pubkey()]);
    station.member("a@example.com", member.pubkey());
    let captain_list = format!("{}\n", captain.pubkey());
    station.write("tmp/swarm/A/HEX_CAPTAIN", captain_list);
    station.blacklist(&[blocked.pubkey()]);
    rested(&station);
    write_filter(&station, "7", "exit 0");
    write_filter(&station, "22242", "touch \"$HOME/.nip42_auth\"");
    write_filter(&station, "1984", "exit 1");
    let plugin = format!(
        "HOME={} {} --zen {} --strangers filters --filters {}",
        station.home().display(),
        station.program(PROGRAM).display(),
        station.root().display(),
        filters(&station).display()
    );
    let settings = format!("writePolicy {{\n        plugin = \"{plugin}\"\n    }}");
    let relay = RealRelay::start(env!("CARGO_BIN_EXE_demo"), &settings, &[]);
    for (author, verdicts) in [
        (&friend, "AAAR"),
        (&stranger, "RAAR"),
        (&member, "AAAR"),
        (&captain, "AAAR"),
        (&blocked, "RRRR"),
    ] {
        let events = [1, 7, 22242, 1984].map(|kind| author.sign(kind, now(), &[], "hello"));
        assert_eq!(published(&relay, &events), verdicts);
    }
    assert!(station.home().join(".nip42_auth").exists());
}
