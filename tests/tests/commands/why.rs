//! Why an event is here or not, and a key followed or not.

use constellation_shared::{Event, EventId};
use constellation_tests::relay::dead_url;
use constellation_tests::sync_program::{DAY, follow, recent, report, sync};
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};
use serde_json::{Value, json};

fn why(station: &StationDir, arguments: &[&str], code: i32) -> Value {
    let output = station
        .command("constellation-sync")
        .args(["why", "--json"])
        .args(arguments)
        .output();
    report(output.expect_code(code))
}

/// A friend whose events are wanted, a stranger, and a relay that holds these.
fn station_with(events: &[Event]) -> (StationDir, ScriptedRelay) {
    let (station, relay) = (
        station!(),
        ScriptedRelay::start(events, Behaviour::default()),
    );
    follow(&station, &Author::many(1), &[&relay.url()]);
    (station, relay)
}

#[test]
fn each_fate_of_an_event_is_told() {
    let [friend, stranger, blocked] = &Author::many(3)[..] else {
        panic!("three")
    };
    let forged = Event {
        content: "another".to_owned(),
        ..friend.note(recent(), "signed")
    };
    let deleted = friend.note(recent(), "deleted");
    let deletion = friend.sign(5, recent(), &[&["e", &deleted.id.to_string()]], "");
    let old_profile = friend.sign(0, recent() - 10, &[], "{}");
    let new_profile = friend.sign(0, recent(), &[], r#"{"name":"new"}"#);
    let fates = [
        (friend.note(recent(), "wanted"), "wanted"),
        (stranger.note(recent(), "who?"), "not_followed"),
        (blocked.note(recent(), "blocked"), "blocked"),
        (friend.note(recent() - 3 * DAY, "old"), "wanted"),
        (friend.note(recent() + DAY, "soon"), "future"),
        (friend.sign(9999, recent(), &[], "odd"), "kind_left_out"),
        (friend.sign(20_001, recent(), &[], "gone"), "ephemeral"),
        (
            friend.sign(1, recent(), &[&["expiration", "1700000000"]], "late"),
            "expired",
        ),
        (friend.note(recent(), &"long".repeat(20_000)), "too_long"),
        (friend.note(recent(), "Hello NOSTR visitor"), "visitor"),
        (forged, "forged"),
        (deleted, "deleted"),
        (old_profile, "replaced"),
    ];
    let events: Vec<Event> = fates.iter().map(|(event, _)| event.clone()).collect();
    let (station, relay) = station_with(&events);
    station.blacklist(&[blocked.pubkey()]);
    station.import(&[deletion, new_profile]);
    for (event, fate) in &fates {
        let answer = why(&station, &[&event.id.to_bech32()], 1);
        let expected = json!([{"url": relay.url(), "name": null, "has": true, "fate": fate}]);
        assert_eq!(answer["peers"], expected, "{fate}");
        assert_eq!(answer["here"], false, "{fate}");
        assert_eq!(answer["advice"].as_array().unwrap().len(), 1, "{fate}");
    }
    let old = events.iter().find(|event| event.content == "old").unwrap();
    let answer = why(&station, &[&old.id.to_bech32(), "--sweep=false"], 1);
    assert_eq!(answer["peers"][0]["fate"], "before_window");
}

#[test]
fn it_is_told_how_to_add_a_kind_without_losing_the_others() {
    let [friend, stranger] = &Author::many(2)[..] else {
        panic!("two")
    };
    let odd = friend.sign(9999, recent(), &[], "odd");
    let economy = stranger.sign(30_850, recent(), &[&["d", "x"]], "{}");
    let (station, _relay) = station_with(&[odd.clone(), economy.clone()]);
    let advice = |event: &Event, arguments: &[&str]| {
        let answer = why(
            &station,
            &[&[&event.id.to_bech32()[..]], arguments].concat(),
            1,
        );
        answer["advice"][0].as_str().unwrap().to_owned()
    };
    let for_good = "in the table [sync] of strfry/constellation.toml: ";
    let usual = advice(&odd, &[]);
    assert!(
        usual.contains("constellation-sync --kinds +9999; "),
        "{usual}"
    );
    assert!(
        usual.ends_with(&format!("{for_good}kinds = \"+9999\"")),
        "{usual}"
    );
    let of_strangers = advice(&economy, &[]);
    let command = "constellation-sync --any-author-kinds +30850; ";
    assert!(of_strangers.contains(command), "{of_strangers}");
    station.write(
        "strfry/constellation.toml",
        "[sync]\nkinds = [\"uplanet\", -4]\nany-author-kinds = 30800\n",
    );
    let set = advice(&odd, &["--kinds", "+7"]);
    assert!(set.contains("--kinds +7,+9999; "), "{set}");
    assert!(set.ends_with("kinds = \"uplanet,-4,+9999\""), "{set}");
    let set = advice(&economy, &[]);
    assert!(
        set.ends_with("any-author-kinds = \"30800,+30850\""),
        "{set}"
    );
    let answer = why(
        &station,
        &[&economy.id.to_bech32(), "--any-author-kinds", "+30850"],
        1,
    );
    assert_eq!(answer["peers"][0]["fate"], "wanted");
    // What is advised does it.
    sync(
        &station,
        &["--kinds", "+9999", "--any-author-kinds", "+30850"],
    )
    .expect_code(0);
    assert_eq!(station.stored_ids().len(), 2);
}

#[test]
fn what_is_here_and_at_a_peer_is_just_that_however_old_it_is() {
    let friend = &Author::many(1)[0];
    let stranger = &Author::many(2)[1];
    let old = friend.note(recent() - 3 * DAY, "old");
    let odd = friend.sign(9999, recent(), &[], "odd");
    let blocked = stranger.note(recent(), "blocked since");
    let events = [old, odd, blocked];
    let (station, relay) = station_with(&events);
    station.blacklist(&[stranger.pubkey()]);
    station.import(&events);
    for (event, fate) in events.iter().zip(["here", "here", "blocked"]) {
        let answer = why(&station, &[&event.id.to_string()], 0);
        let expected = json!([{"url": relay.url(), "name": null, "has": true, "fate": fate}]);
        assert_eq!(answer["peers"], expected, "{fate}");
    }
    let text = station.run("constellation-sync", &["why", &events[0].id.to_bech32()]);
    text.expect_code(0).expect_stdout("has it too\n");
}

#[test]
fn what_the_backfill_refused_is_remembered_and_what_it_brought_is_here() {
    let friend = &Author::many(1)[0];
    let (wanted, visitor) = (
        friend.note(recent(), "wanted"),
        friend.note(recent(), "Hello NOSTR visitor"),
    );
    let (station, relay) = station_with(&[wanted.clone(), visitor.clone()]);
    station.peer("12D3KooDead", &dead_url());
    sync(&station, &[]).expect_code(1);
    let answer = why(&station, &[&wanted.id.to_string()], 0);
    assert_eq!(
        (&answer["here"], &answer["advice"]),
        (&json!(true), &json!([]))
    );
    let dead = answer["peers"].as_array().unwrap().iter();
    let dead: Vec<&Value> = dead.filter(|peer| peer["url"] != relay.url()).collect();
    assert_eq!(dead[0]["code"], "connect_refused");
    let answer = why(&station, &[&visitor.id.to_string()], 1);
    let before = answer["refused_before"].as_array().unwrap();
    assert_eq!((before.len(), &before[0]["sender"]), (1, &json!(null)));
    let nobody = why(&station, &[&EventId::from_bytes([9; 32]).to_string()], 1);
    assert!(nobody["advice"][0].as_str().unwrap().starts_with("no peer"));
    let text = station.run("constellation-sync", &["why", &visitor.id.to_bech32()]);
    text.expect_code(1)
        .expect_stdout("is not here\n")
        .expect_stdout("has it: visitor")
        .expect_stdout("refused whoever sends it, since ")
        .expect_stdout("What to do: nothing: greetings");
}

#[test]
fn a_key_is_told_by_file_and_line() {
    let [friend, stranger, blocked, pardoned] = &Author::many(4)[..] else {
        panic!("four")
    };
    let profile = friend.sign(0, recent(), &[], "{}");
    let (station, relay) = station_with(&[profile]);
    station.friends(&[pardoned.pubkey(), friend.pubkey()]);
    station.blacklist(&[pardoned.pubkey(), blocked.pubkey()]);
    station.import(&[
        friend.note(recent(), "one"),
        friend.note(recent() - 9 * DAY, "old"),
    ]);
    let place = |role: &str, file: &str, line: u32| {
        format!(
            "{role}: {} line {line}",
            station.strfry_dir().join(file).display()
        )
    };
    let of_friend = why(&station, &[&friend.pubkey().to_bech32()], 0);
    assert_eq!(
        of_friend["places"],
        json!([place("friend", "amisOfAmis.txt", 2)])
    );
    assert_eq!(
        (&of_friend["events"], &of_friend["profile"]),
        (&json!(2), &json!(false))
    );
    assert_eq!(
        of_friend["peers"],
        json!([{"url": relay.url(), "name": null, "has": true}])
    );
    // Hex is taken for what the lists know.
    assert_eq!(
        why(&station, &[&friend.pubkey().to_hex()], 0)["places"],
        of_friend["places"]
    );
    let answer = why(&station, &[&pardoned.pubkey().to_bech32()], 0);
    let both = [
        place("blocked", "blacklist.txt", 1),
        place("friend", "amisOfAmis.txt", 1),
    ];
    assert_eq!(
        (&answer["places"], &answer["blocked"]),
        (&json!(both), &json!(false))
    );
    let answer = why(&station, &[&blocked.pubkey().to_bech32()], 1);
    assert_eq!(
        (&answer["followed"], &answer["blocked"]),
        (&json!(false), &json!(true))
    );
    assert!(answer["advice"].as_str().unwrap().contains("blacklist.txt"));
    let answer = why(&station, &[&stranger.pubkey().to_bech32()], 1);
    assert_eq!(answer["places"], json!([]));
    station.member("dave@example.com", stranger.pubkey());
    let answer = why(&station, &[&stranger.pubkey().to_bech32()], 0);
    assert!(
        answer["places"][0]
            .as_str()
            .unwrap()
            .starts_with("member: ")
    );
    station
        .run("constellation-sync", &["why", "nsec1xyz"])
        .expect_code(2)
        .expect_stderr("neither 64 hex digits nor note1");
}
