//! Both programs make one verdict of the same lists, wherever the settings of these stand.

use std::fs;
use std::path::Path;

use constellation_shared::Pubkey;
use constellation_tests::policy_program::{ACCEPT, BLOCKED, Policy, lines};
use constellation_tests::sync_program::{paged, recent, refused, sync_all};
use constellation_tests::{Author, ScriptedRelay, StationDir, station};

/// Where settings can stand; in each place both programs are told the same.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Nowhere,
    File,
    PluginOptions,
    PluginVariables,
    Script,
    Variables,
    CommandLine,
    /// The file says the contrary of the plugin line, which wins.
    PluginOverFile,
}

const PLACES: [Place; 8] = [
    Place::Nowhere,
    Place::File,
    Place::PluginOptions,
    Place::PluginVariables,
    Place::Script,
    Place::Variables,
    Place::CommandLine,
    Place::PluginOverFile,
];

/// The keys: in which lists each stands is its number in bits.
const LISTS: [&str; 6] = [
    "strfry/blacklist.txt",
    "strfry/other_blacklist.txt",
    "strfry/amisOfAmis.txt",
    "strfry/other_amis.txt",
    "tmp/swarm/12D3KooWother/amisOfAmis.txt",
    "game/nostr/member/HEX",
];

fn key(number: u8) -> Pubkey {
    Pubkey::from_bytes([number + 1; 32])
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A station whose lists hold every combination; members have a folder each.
fn with_lists() -> StationDir {
    let station = station!();
    for (bit, name) in LISTS.iter().enumerate() {
        let keys = (0..1 << LISTS.len()).filter(|number| number >> bit & 1 == 1);
        let lines: Vec<String> = keys
            .clone()
            .map(|number| format!("{}\n", key(number)))
            .collect();
        match *name {
            "game/nostr/member/HEX" => {
                for number in keys {
                    let path = format!("game/nostr/m{number}/HEX");
                    write(&station.root().join(path), &key(number).to_string());
                }
            }
            name => write(&station.root().join(name), &lines.concat()),
        }
    }
    station
}

#[test]
fn the_policy_s_verdict_and_the_backfill_s_are_one() {
    let station = with_lists();
    let conf = station.strfry_dir().join("strfry.conf");
    let toml = station.strfry_dir().join("constellation.toml");
    let before = fs::read_to_string(&conf).unwrap();
    let other = |name: &str| station.strfry_dir().join(name).display().to_string();
    let (blacklist, amis) = (other("other_blacklist.txt"), other("other_amis.txt"));
    let policy = station
        .program("constellation-policy")
        .display()
        .to_string();
    for place in PLACES {
        let most: u8 = if place == Place::Nowhere { 1 } else { 8 };
        for said in 0..most {
            let mut options = Vec::new();
            let mut variables = Vec::new();
            let mut file = String::from("[lists]\n");
            if said & 1 == 1 {
                options.extend(["--blacklist".to_owned(), blacklist.clone()]);
                variables.push(("CONSTELLATION_BLACKLIST", blacklist.clone()));
                file += "blacklist = 'other_blacklist.txt'\n";
            }
            if said & 2 == 2 {
                options.extend(["--amis".to_owned(), amis.clone()]);
                variables.push(("CONSTELLATION_AMIS", amis.clone()));
                file += "amis = ['other_amis.txt']\n";
            }
            if said & 4 == 4 {
                options.push("--no-swarm".to_owned());
                variables.push(("CONSTELLATION_NO_SWARM", "true".to_owned()));
                file += "swarm = false\n";
            }
            let assigned: Vec<String> = variables
                .iter()
                .map(|(n, v)| format!("{n}='{v}' "))
                .collect();
            let line = match place {
                Place::PluginOptions | Place::PluginOverFile => {
                    format!("{policy} {}", options.join(" "))
                }
                Place::PluginVariables => format!("{}{policy}", assigned.concat()),
                Place::Script => {
                    let script = station.root().join("all_but_blacklist.sh");
                    let exec = format!("#!/bin/sh\nexec {policy} {} \"$@\"\n", options.join(" "));
                    write(&script, &exec);
                    script.display().to_string()
                }
                _ => policy.clone(),
            };
            fs::write(
                &conf,
                format!("{before}\nrelay.writePolicy.plugin = \"{line}\"\n"),
            )
            .unwrap();
            match place {
                Place::File => fs::write(&toml, &file).unwrap(),
                Place::PluginOverFile if said == 7 => {
                    fs::write(
                        &toml,
                        "[lists]\nswarm = true\namis = []\nblacklist = 'none'\n",
                    )
                    .unwrap();
                }
                _ => {
                    let _ = fs::remove_file(&toml);
                }
            }
            // The policy as strfry starts it, or as its captain does.
            let told_here = matches!(place, Place::Variables | Place::CommandLine);
            let mut explain: Vec<String> = Vec::new();
            let by_line = matches!(
                place,
                Place::PluginOptions
                    | Place::PluginOverFile
                    | Place::PluginVariables
                    | Place::Script
            );
            if by_line || place == Place::CommandLine {
                explain.extend(options.iter().cloned());
            }
            explain.push("explain".to_owned());
            explain.extend((0..1 << LISTS.len()).map(|number: u8| key(number).to_string()));
            let mut asked = station.command("constellation-policy").args(&explain);
            let mut shown = station.command("constellation-sync").args(["--show-hex"]);
            if place == Place::CommandLine {
                shown = shown.args(&options);
            }
            if told_here && place == Place::Variables {
                for (name, value) in &variables {
                    asked = asked.env(name, value);
                    shown = shown.env(name, value);
                }
            }
            let (verdicts, shown) = (asked.output().stdout, shown.output());
            let shown = shown.expect_code(0).stdout.clone();
            for number in 0..1_u8 << LISTS.len() {
                let key = key(number).to_string();
                let verdict = verdicts
                    .lines()
                    .find(|line| line.starts_with(&key))
                    .unwrap();
                let is_allowed = verdict.contains(" allow");
                let list = |bit: u8| number >> bit & 1 == 1;
                let friend = list(if said & 2 == 2 { 3 } else { 2 });
                let swarm = list(4) && said & 4 == 0;
                let counts = friend || swarm || list(5);
                let blocked = list(u8::from(said & 1 == 1)) && !counts;
                assert_eq!(is_allowed, !blocked, "{place:?} {said} {number}: {verdict}");
                let is_followed = shown.contains(&format!("- {}", &key[..8]));
                assert_eq!(is_followed, counts, "{place:?} {said} {number}");
            }
        }
    }
}

/// A pardon counts for both wherever it stands in a list, also behind the 50,000 keys of other
/// stations that the backfill follows at most.
#[test]
fn both_pardon_the_last_of_60_000_keys_of_another_station() {
    let mut authors = Author::many(3);
    authors.sort_by_key(Author::pubkey);
    let [blocked, _, pardoned] = <[Author; 3]>::try_from(authors).ok().unwrap();
    let events = [&blocked, &pardoned].map(|author| author.note(recent(), "here"));
    let relay = ScriptedRelay::start(&events, paged(500));
    let station = station!();
    station.peer("12D3KooPeer0", &relay.url());
    station.blacklist(&[blocked.pubkey(), pardoned.pubkey()]);
    // They come before the last one in every order.
    let others = (1..=60_000_u32).map(|number| {
        let mut bytes = [0; 32];
        bytes[28..].copy_from_slice(&number.to_be_bytes());
        Pubkey::from_bytes(bytes)
    });
    let list = lines(others.chain([pardoned.pubkey()]));
    station.write("tmp/swarm/12D3KooWother/amisOfAmis.txt", list);
    // This makes the backfill ask for the events of both.
    for author in [&blocked, &pardoned] {
        let hex = author.pubkey().to_hex();
        station.write(format!("flashmem/{hex}/HEX"), &hex);
    }
    let report = sync_all(&station, &[]);
    assert_eq!(station.stored_ids(), [events[1].id].into());
    // The backfill does not even ask for the other one's.
    assert_eq!(refused(&report, "blocked"), 0);
    let mut policy = Policy::start(&station);
    assert_eq!(policy.ask(pardoned.pubkey().to_hex()), ACCEPT);
    assert_eq!(policy.ask(blocked.pubkey().to_hex()), BLOCKED);
}
