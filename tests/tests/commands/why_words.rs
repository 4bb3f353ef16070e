//! What `why` understands: events, keys, members, stations and kinds, in any words for them.

use constellation_shared::Event;
use constellation_tests::relay::dead_url;
use constellation_tests::sync_program::{follow, recent, report};
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};
use serde_json::{Value, json};

/// What is said of a subject in text.
fn told(station: &StationDir, subject: &str, code: i32) -> String {
    let output = station.run("constellation-sync", &["why", subject]);
    output.expect_code(code);
    output.stdout
}

/// What is said of a subject in JSON.
fn answer(station: &StationDir, arguments: &[&str], code: i32) -> Value {
    let command = station.command("constellation-sync");
    let output = command.args(["why", "--json"]).args(arguments).output();
    report(output.expect_code(code))
}

/// A station with the member Alice, a friend without a name, and the station saturne, whose relay
/// holds an article of Alice's.
struct Case {
    station: StationDir,
    relay: ScriptedRelay,
    authors: Vec<Author>,
    article: Event,
}

fn with_alice() -> Case {
    let authors = Author::many(3);
    let station = station!();
    follow(&station, &authors[1..2], &[]);
    station.member("alice@example.org", authors[0].pubkey());
    let profile = authors[0].sign(
        0,
        recent(),
        &[],
        r#"{"name":"Alice \u202e L.","nip05":"al@a.org"}"#,
    );
    let article = authors[0].sign(30_023, recent(), &[&["d", "x"]], "");
    station.import(std::slice::from_ref(&profile));
    let relay = ScriptedRelay::start(&[profile, article.clone()], Behaviour::default());
    let description = json!({
        "ipfsnodeid": "12D3KooSaturne", "myRELAY": relay.url(), "hostname": "saturne",
        "captain": "captain@example.org", "captainHEX": authors[1].pubkey().to_hex(),
    });
    station.peer_description("12D3KooSaturne", description.to_string());
    Case {
        station,
        relay,
        authors,
        article,
    }
}

#[test]
fn the_answer_begins_with_what_was_understood() {
    let Case {
        station,
        relay,
        authors,
        article,
    } = with_alice();
    let (alice, captain) = (authors[0].pubkey(), authors[1].pubkey());
    let of_alice = format!(
        "About the key {alice} ({}): the member alice@example.org, called \"Alice L.\"\n",
        alice.to_bech32()
    );
    for subject in [
        alice.to_hex(),
        alice.to_bech32(),
        format!("nostr:{}", alice.to_bech32()),
        "alice@example.org".to_owned(),
        " ALICE@example.org ".to_owned(),
        "alice l.".to_owned(),
        "al@a.org".to_owned(),
        "Alic".to_owned(),
    ] {
        let told = told(&station, &subject, 0);
        assert!(told.starts_with(&of_alice), "{subject}: {told}");
    }
    let of_captain = format!(
        "About the key {captain} ({}): the captain of the station saturne (captain@example.org)\n",
        captain.to_bech32()
    );
    let told_of_captain = told(&station, "captain@example.org", 0);
    assert!(
        told_of_captain.starts_with(&of_captain),
        "{told_of_captain}"
    );
    let of_saturne = format!(
        "About the station saturne (captain@example.org) {}\n",
        relay.url()
    );
    for subject in ["saturne", "SATURNE", "12D3KooSaturne", &relay.url()] {
        let told = told(&station, subject, 0);
        assert!(told.starts_with(&of_saturne), "{subject}: {told}");
    }
    let note = authors[0].note(recent(), "x");
    let of_note = format!("About the event {} ({})\n", note.id, note.id.to_bech32());
    for subject in [
        note.id.to_bech32(),
        format!("nostr:{}", note.id.to_bech32()),
    ] {
        let told = told(&station, &subject, 1);
        assert!(told.starts_with(&of_note), "{subject}: {told}");
    }
    let told_of_article = told(&station, &article.id.to_bech32(), 1);
    let author = format!(
        " by {}, the member alice@example.org, called \"Alice L.\"; kind 30023, blog article (NIP-23)\n",
        alice.to_bech32()
    );
    assert!(told_of_article.contains(&author), "{told_of_article}");
    let of_kind = "About events of kind 30023, blog article (NIP-23)\n";
    for subject in ["30023", "kind 30023", "kind:30023"] {
        let told = told(&station, subject, 0);
        assert!(told.starts_with(of_kind), "{subject}: {told}");
    }
}

#[test]
fn a_kind_is_told_with_the_option_that_asks_for_it_and_who_has_it() {
    let Case { station, relay, .. } = with_alice();
    let blog = answer(&station, &["30023"], 0);
    assert_eq!(blog["asked_for"], true);
    assert_eq!(blog["by"], "the default of --kinds, the set seed");
    assert_eq!(blog["here"], 0);
    let url = relay.url();
    let has = json!([{"url": url, "name": "saturne (captain@example.org)", "has": true}]);
    assert_eq!(blog["peers"], has);
    let odd = answer(&station, &["9999"], 1);
    assert_eq!(
        (&odd["asked_for"], &odd["by"]),
        (&json!(false), &json!(null))
    );
    let advice = odd["advice"].as_str().unwrap();
    assert!(advice.contains("--kinds +9999"), "{advice}");
    let given = answer(&station, &["9999", "--kinds", "+9999"], 0);
    assert_eq!(given["by"], "--kinds or CONSTELLATION_KINDS");
    station.write(
        "strfry/constellation.toml",
        "[sync]\nkinds = \"-30023,+9999\"\n",
    );
    let set = answer(&station, &["9999"], 0);
    assert_eq!(set["by"], "kinds in [sync] of strfry/constellation.toml");
    let out = answer(&station, &["30023"], 1);
    assert_eq!(out["by"], "kinds in [sync] of strfry/constellation.toml");
    let dms = answer(&station, &["4", "--no-dms"], 1);
    assert_eq!(dms["by"], "--no-dms or CONSTELLATION_NO_DMS");
    let any = answer(&station, &["30850", "--any-author-kinds", "30850"], 0);
    assert_eq!(any["whoever_wrote_them"], true);
    let ephemeral = told(&station, "20001", 1);
    assert!(ephemeral.contains("are not stored"), "{ephemeral}");
}

#[test]
fn a_station_is_told_with_how_it_is_reached_and_what_came_of_it() {
    let Case {
        station,
        relay,
        authors,
        ..
    } = with_alice();
    let (url, name) = (relay.url(), "saturne (captain@example.org)");
    let saturne = answer(&station, &["saturne"], 0);
    assert_eq!(
        (&saturne["station"], &saturne["url"]),
        (&json!(name), &json!(url))
    );
    assert_eq!(
        (&saturne["asked"], &saturne["answers"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(saturne["captain"], authors[1].pubkey().to_hex());
    assert_eq!(saturne["last_run"], json!(null));
    station.run("constellation-sync", &[]).expect_code(0);
    let saturne = answer(&station, &["saturne"], 0);
    assert_eq!(saturne["last_run"]["complete"], true);
    for (id, relay, host) in [
        ("12D3KooDead", dead_url(), "dead"),
        ("12D3KooOdd", "ftp://odd.org".to_owned(), "odd"),
    ] {
        let json = json!({"ipfsnodeid": id, "myRELAY": relay, "hostname": host});
        station.peer_description(id, json.to_string());
    }
    station.peer_description("12D3KooMute", r#"{"hostname":"mute","status":"booting"}"#);
    let dead = answer(&station, &["dead"], 1);
    assert_eq!(
        (&dead["asked"], &dead["answers"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(dead["code"], "connect_refused");
    let odd = answer(&station, &["odd"], 1);
    assert_eq!(
        (&odd["asked"], &odd["answers"]),
        (&json!(false), &json!(null))
    );
    let why = odd["passed_over"].as_str().unwrap();
    assert!(why.contains("its myRELAY is"), "{why}");
    let mute = told(&station, "mute", 1);
    assert!(mute.contains("says nothing of its relay"), "{mute}");
}

#[test]
fn an_ambiguous_word_lists_what_it_may_mean() {
    let Case {
        station,
        relay: _relay,
        authors,
        ..
    } = with_alice();
    let other = authors[2].sign(
        0,
        recent(),
        &[],
        r#"{"name":"saturne","display_name":"{{x}}"}"#,
    );
    station.import(&[other]);
    let told = told(&station, "saturne", 2);
    assert!(
        told.starts_with("\"saturne\" may mean 2 things:\n"),
        "{told}"
    );
    let stranger = authors[2].pubkey().to_bech32();
    assert!(
        told.contains(&format!("constellation-sync why {stranger}\n")),
        "{told}"
    );
    assert!(
        told.contains("constellation-sync why 12D3KooSaturne\n"),
        "{told}"
    );
    let json = answer(&station, &["saturne"], 2);
    assert_eq!(json["candidates"].as_array().unwrap().len(), 2);
    // Nobody takes the place of a member by taking that name.
    let fake = authors[1].sign(0, recent(), &[], r#"{"name":"alice@example.org"}"#);
    station.import(&[fake]);
    let alice = answer(&station, &["alice@example.org"], 0);
    assert_eq!(alice["key"], authors[0].pubkey().to_hex());
    assert_eq!(alice["others_of_that_name"], 1);
}

#[test]
fn what_nobody_is_called_is_said_with_what_to_ask_instead() {
    let Case {
        station,
        relay: _relay,
        ..
    } = with_alice();
    for word in [
        "zzz",
        "{{",
        "🦊",
        "nobody@example.org",
        "\u{1b}[2J",
        "\u{202e}x",
        "70000",
        &"x".repeat(100_000),
    ] {
        let output = station.run("constellation-sync", &["why", word]);
        output
            .expect_code(2)
            .expect_stdout("nobody here is called so");
        let first = output.stdout.lines().next().unwrap();
        assert!(
            first.len() < 300 && !first.contains(['\u{1b}', '\u{202e}']),
            "{first}"
        );
    }
    for none in ["", "note1x", "npub1x", "nsec1x"] {
        let output = station.run("constellation-sync", &["why", none]);
        output.expect_code(2).expect_stderr("neither 64 hex digits");
    }
}

#[test]
fn digits_of_no_known_event_are_looked_up_as_a_key() {
    let stranger = &Author::many(9)[8];
    let profile = stranger.sign(0, recent(), &[], r#"{"name":"Bob"}"#);
    let station = station!();
    let relay = ScriptedRelay::start(&[profile], Behaviour::default());
    follow(&station, &Author::many(1), &[&relay.url()]);
    let hex = stranger.pubkey().to_hex();
    let told = told(&station, &hex, 1);
    assert!(
        told.starts_with(&format!("About the key {hex} (")),
        "{told}"
    );
    assert!(told.contains("no event with this id"), "{told}");
    assert_eq!(answer(&station, &[&hex], 1)["key"], hex);
    let nothing = "09".repeat(32);
    let neither = answer(&station, &[&nothing], 1);
    assert_eq!(neither["event"], nothing);
    assert_eq!(neither["as_key"]["followed"], false);
}
