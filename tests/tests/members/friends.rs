//! Friends of friends: who is shown, who is added, beside whom, and what comes of it.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::thread;

use constellation_shared::Pubkey;
use constellation_tests::author::now;
use constellation_tests::members::{follows, log, profile, sync};
use constellation_tests::station::ids;
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};

const LIST: &str = "strfry/amisOfAmis.txt";

/// The members are the first authors, with these contact lists by number.
fn with_members(station: &StationDir, authors: &[Author], lists: &[(usize, &[usize])]) {
    for (member, friends) in lists {
        let friends: Vec<Pubkey> = friends
            .iter()
            .map(|&friend| authors[friend].pubkey())
            .collect();
        station.member(&format!("{member}@example.org"), authors[*member].pubkey());
        station.import(&[follows(&authors[*member], now() - 100, &friends)]);
    }
}

fn listed(station: &StationDir) -> Vec<Pubkey> {
    let text = station.read(LIST);
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// The line of the output about this author.
fn line_about<'a>(output: &'a str, author: &Author) -> Option<&'a str> {
    let key = author.pubkey().to_hex();
    output.lines().find(|line| line.contains(&key))
}

#[test]
fn friends_are_shown_and_only_written_when_asked_to() {
    let station = station!();
    let authors = Author::many(8);
    // 0 follows itself, 1 follows 0; 4 is listed already.
    with_members(&station, &authors, &[(0, &[0, 2, 3, 4]), (1, &[0, 3])]);
    station.import(&[profile(&authors[3], r#"{"name":"Carol\u001b[2J"}"#)]);
    station.friends(&[authors[4].pubkey()]);
    let before = station.read(LIST);

    let output = sync(&station, &["friends"]);
    let shown = &output.expect_code(0).stdout;
    assert!(
        shown.contains("2 of 2 members with a contact list; 4 friends, 3 of them new"),
        "{shown}"
    );
    assert!(
        line_about(shown, &authors[3])
            .unwrap()
            .contains("Carol [2J")
    );
    assert!(
        line_about(shown, &authors[3])
            .unwrap()
            .ends_with("followed by 2")
    );
    assert!(
        line_about(shown, &authors[2])
            .unwrap()
            .ends_with("followed by 1")
    );
    assert!(line_about(shown, &authors[4]).is_none(), "{shown}");
    assert!(shown.contains("Would add 3 pubkeys to "), "{shown}");
    assert_eq!(station.read(LIST), before);
    sync(&station, &["--dry-run", "friends", "--write"]).expect_code(0);
    assert_eq!(station.read(LIST), before);

    sync(&station, &["friends", "--write"])
        .expect_code(0)
        .expect_stdout("Added 3 pubkeys to ");
    let written = listed(&station);
    assert!(station.read(LIST).starts_with(&before));
    assert_eq!(written.len(), 4);
    let expected: BTreeSet<Pubkey> = [0, 2, 3, 4]
        .map(|number: usize| authors[number].pubkey())
        .into();
    assert_eq!(written.into_iter().collect::<BTreeSet<_>>(), expected);
    // Once more adds nobody.
    let text = station.read(LIST);
    sync(&station, &["friends", "--write"]).expect_stdout("Added 0 pubkeys to ");
    assert_eq!(station.read(LIST), text);
}

#[test]
fn nobody_follows_himself_into_the_list() {
    let station = station!();
    let authors = Author::many(2);
    with_members(&station, &authors, &[(0, &[0, 1])]);
    sync(&station, &["friends", "--write"]).expect_code(0);
    assert_eq!(listed(&station), [authors[1].pubkey()]);
}

#[test]
fn captains_and_stations_count_where_they_are_asked_for() {
    let station = station!();
    let authors = Author::many(9);
    with_members(&station, &authors, &[(0, &[1])]);
    let captain = |id: &str, author: &Author| {
        let json = serde_json::json!({"ipfsnodeid": id, "captainHEX": author.pubkey().to_hex()});
        station.peer_description(id, json.to_string());
    };
    captain("12D3KooA", &authors[2]);
    captain("12D3KooB", &authors[3]);
    station.import(&[
        follows(&authors[2], now() - 10, &[authors[4].pubkey()]),
        // A captain who may not write here brings nobody.
        follows(&authors[3], now() - 10, &[authors[5].pubkey()]),
    ]);
    station.blacklist(&[authors[3].pubkey()]);
    station.peer_friends("12D3KooA", &[authors[6].pubkey(), authors[7].pubkey()]);
    station.peer_friends("12D3KooB", &[authors[6].pubkey()]);

    let new = |args: &[&str]| {
        let output = sync(&station, args);
        let shown = output.expect_code(0).stdout.clone();
        let is_new = |number: &usize| line_about(&shown, &authors[*number]).is_some();
        ((0..9).filter(is_new).collect::<Vec<_>>(), shown)
    };
    assert_eq!(new(&["friends"]).0, [1]);
    assert_eq!(new(&["friends", "--captains"]).0, [1, 4]);
    assert_eq!(new(&["--captains", "friends"]).0, [1, 4]);
    let (all, shown) = new(&["friends", "--captains", "--merge-swarm", "--write"]);
    assert_eq!(all, [1, 4, 6, 7]);
    assert!(
        line_about(&shown, &authors[6])
            .unwrap()
            .ends_with("listed by 2 other stations")
    );
    let expected: BTreeSet<Pubkey> = [1, 4, 6, 7]
        .map(|number: usize| authors[number].pubkey())
        .into();
    assert_eq!(
        listed(&station).into_iter().collect::<BTreeSet<_>>(),
        expected
    );
}

#[test]
fn whom_the_list_would_unblock_is_shown_and_can_be_left_out() {
    let station = station!();
    let authors = Author::many(3);
    with_members(&station, &authors, &[(0, &[1, 2])]);
    station.blacklist(&[authors[2].pubkey()]);
    let output = sync(&station, &["friends"]);
    let about = line_about(&output.stdout, &authors[2]).unwrap();
    assert!(
        about.contains("ON blacklist.txt: being listed unblocks it"),
        "{about}"
    );
    output
        .expect_stdout("Would add 2 pubkeys")
        .expect_stdout(", 1 of them unblocked by it");
    sync(&station, &["friends", "--keep-blocked", "--write"])
        .expect_stdout("left out because of blacklist.txt: 1")
        .expect_stdout("Added 1 pubkey ");
    assert_eq!(listed(&station), [authors[1].pubkey()]);
}

#[test]
fn lists_that_cannot_be_read_are_said() {
    let station = station!();
    std::fs::create_dir_all(station.root().join(LIST)).unwrap();
    sync(&station, &["friends", "--write"])
        .expect_code(3)
        .expect_stderr("amisOfAmis.txt cannot be read or written");
    let station = station!();
    std::fs::create_dir_all(station.root().join("strfry/blacklist.txt")).unwrap();
    sync(&station, &["friends"])
        .expect_code(3)
        .expect_stderr("blacklist.txt cannot be read");
}

#[test]
fn other_writers_lose_nothing() {
    let station = station!();
    let authors = Author::many(60);
    let friends: Vec<usize> = (1..60).collect();
    with_members(&station, &authors, &[(0, &friends)]);
    let path = station.root().join(LIST);
    // A last line without a newline, as `echo -n` leaves it.
    std::fs::write(&path, Author::new(1000).pubkey().to_hex()).unwrap();
    thread::scope(|scope| {
        let appending = scope.spawn(|| {
            for seed in 2000..2200 {
                let line = format!("\n{}", Author::new(seed).pubkey());
                let mut file = OpenOptions::new().append(true).open(&path).unwrap();
                file.write_all(line.as_bytes()).unwrap();
            }
        });
        for _ in 0..3 {
            sync(&station, &["friends", "--write"]).expect_code(0);
        }
        appending.join().unwrap();
    });
    let text = station.read(LIST);
    let keys: Vec<Pubkey> = text
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| line.parse().unwrap())
        .collect();
    let distinct: BTreeSet<Pubkey> = keys.iter().copied().collect();
    assert_eq!((keys.len(), distinct.len()), (260, 260));
}

#[test]
fn a_backfill_adds_friends_at_its_end() {
    let station = station!();
    let authors = Author::many(3);
    station.member("a@example.org", authors[0].pubkey());
    station.blacklist(&[authors[2].pubkey()]);
    let list = follows(
        &authors[0],
        now() - 100,
        &[authors[1].pubkey(), authors[2].pubkey()],
    );
    let relay = ScriptedRelay::start(&[list], Behaviour::default());
    let url = relay.url();
    sync(&station, &["--peer", &url]).expect_code(0);
    assert_eq!(station.read(LIST), "");
    sync(&station, &["--peer", &url, "--friends"])
        .expect_code(0)
        .expect_stderr("is on blacklist.txt and becomes a friend of a friend");
    assert_eq!(listed(&station).len(), 2);
    let text = log(&station);
    assert!(
        text.contains("SYNC_FRIENDS: friends=2 added=2 unblocked=1"),
        "{text}"
    );
    assert!(!text.contains("failed"), "{text}");
    // Without profiles too.
    sync(&station, &["--peer", &url, "--friends", "--no-profiles"]).expect_code(0);
    assert!(log(&station).contains("SYNC_FRIENDS: friends=2 added=0 unblocked=0"));
}

/// The policy's answer about an author, as strfry would get it.
fn policy_accepts(station: &StationDir, author: &Author) -> bool {
    let event = author.note(now(), "may I?").to_json();
    let request = format!(
        "{{\"event\":{event},\"receivedAt\":1,\"sourceInfo\":\"127.0.0.1\",\"sourceType\":\"IP4\",\"type\":\"new\"}}\n"
    );
    let output = station
        .command("constellation-policy")
        .stdin(request)
        .output();
    output.expect_code(0);
    output.stdout.contains("\"action\":\"accept\"")
}

#[test]
fn the_whole_circle_over_two_stations() {
    // A is a member of one station, B of another; A follows B, B follows C.
    let (here, there) = (station!(), station!());
    let [a, b, c] = [1, 2, 3].map(Author::new);
    here.member("a@example.org", a.pubkey());
    there.member("b@example.org", b.pubkey());
    here.import(&[follows(&a, now() - 300, &[b.pubkey()])]);
    let of_b = [
        profile(&b, r#"{"name":"B"}"#),
        follows(&b, now() - 200, &[c.pubkey()]),
        b.note(now() - 100, "I follow C"),
    ];
    let of_c = [profile(&c, r#"{"name":"C"}"#), c.note(now() - 50, "hello")];
    there.import(&of_b);
    there.import(&of_c);
    here.blacklist(&[b.pubkey(), c.pubkey()]);
    assert!(!policy_accepts(&here, &b) && !policy_accepts(&here, &c));

    // Each station lists the friends of its members.
    sync(&there, &["friends", "--write"]).expect_code(0);
    sync(&here, &["friends", "--write"])
        .expect_code(0)
        .expect_stdout("unblocked by it");
    assert_eq!(listed(&there), [c.pubkey()]);
    assert_eq!(listed(&here), [b.pubkey()]);
    // The list of the other station comes over the swarm, and so does its relay.
    let relay = ScriptedRelay::start(&there.stored(), Behaviour::default());
    here.peer("12D3KooThere", &relay.url());

    // B is followed from now on, and may write.
    sync(&here, &[]).expect_code(0);
    let mut expected = ids(&of_b);
    expected.extend(ids(
        &here.scan(&format!(r#"{{"authors":["{}"]}}"#, a.pubkey()))
    ));
    assert_eq!(here.stored_ids(), expected);
    assert!(policy_accepts(&here, &b) && !policy_accepts(&here, &c));

    // C comes with the friends of the other station.
    here.peer_friends("12D3KooThere", &listed(&there));
    sync(&here, &["friends", "--merge-swarm", "--write"]).expect_stdout("Added 1 pubkey ");
    assert!(policy_accepts(&here, &c));
    assert!(
        !here
            .read("strfry/blacklist.txt")
            .contains(&c.pubkey().to_hex())
    );
    sync(&here, &[]).expect_code(0);
    expected.extend(ids(&of_c));
    assert_eq!(here.stored_ids(), expected);
    sync(&here, &["--show-hex"]).expect_stdout("Found 3 HEX pubkeys");
    let text = log(&here);
    assert!(text.contains("Profile: C"), "{text}");
}

#[test]
fn friends_are_added_to_the_list_that_the_settings_name() {
    let station = station!();
    let authors = Author::many(4);
    with_members(&station, &authors, &[(0, &[1, 2, 3])]);
    let listed_elsewhere = format!("{}\n", authors[1].pubkey());
    station.write("strfry/more.txt", &listed_elsewhere);
    station.write(
        "strfry/constellation.toml",
        "[lists]\namis = ['others.txt', 'more.txt']\n",
    );
    sync(&station, &["friends", "--write"])
        .expect_code(0)
        .expect_stdout("strfry/others.txt");
    let written = station.read("strfry/others.txt");
    let written: BTreeSet<&str> = written.lines().collect();
    let expected = authors[2..].iter().map(|author| author.pubkey().to_hex());
    let expected: BTreeSet<String> = expected.collect();
    assert_eq!(written, expected.iter().map(String::as_str).collect());
    assert_eq!(station.read("strfry/more.txt"), listed_elsewhere);
    sync(&station, &["doctor"])
        .expect_stdout("strfry/others.txt holds 2 keys")
        .expect_stdout("strfry/more.txt holds 1 key");
}
