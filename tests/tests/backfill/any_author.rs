//! Kinds that are fetched whoever wrote them (`--any-author-kinds`), beside the events of the followed
//! authors.

use constellation_shared::{Event, kinds};
use constellation_tests::author::notes;
use constellation_tests::relay::Nip77;
use constellation_tests::sync_program::{
    BOTH, DAY, ERROR_LOG, LOG, PLAIN_KINDS, expect_logged, expect_stored, follow, paged, recent,
    report, sync, sync_all,
};
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};
use serde_json::json;

const UPSTREAM: &str = "30800,30850,30851";

/// The settings with which `install` replaces a script that asks for these kinds.
fn as_upstream(station: &StationDir) {
    let settings = format!("[sync]\nkinds = \"uplanet\"\nany-author-kinds = [{UPSTREAM}]\n");
    station.write("strfry/constellation.toml", settings);
}

fn own(author: &Author, kind: u16, number: u64) -> Event {
    author.sign(kind, recent(), &[&["d", &number.to_string()]], "{}")
}

#[test]
fn events_of_such_kinds_come_whoever_wrote_them_except_the_blocked() {
    for nip77 in BOTH {
        let [friend, captain, blocked] = &Author::many(3)[..] else {
            panic!("three")
        };
        let wanted = [
            friend.note(recent(), "ours"),
            own(friend, 30_850, 1),
            own(captain, 30_800, 2),
            own(captain, 30_851, 3),
        ];
        let others = [
            captain.note(recent(), "a note of a stranger"),
            own(captain, 30_023, 4),
            own(blocked, 30_850, 5),
        ];
        let behaviour = Behaviour {
            nip77,
            ..Behaviour::default()
        };
        let relay = ScriptedRelay::start(&[&wanted[..], &others].concat(), behaviour);
        let station = station!();
        follow(&station, std::slice::from_ref(friend), &[&relay.url()]);
        station.blacklist(&[blocked.pubkey()]);
        as_upstream(&station);
        let report = sync_all(&station, &["--sweep"]);
        expect_stored(&station, &wanted);
        assert_eq!(report["refused"]["blocked"], 1);
        let any_author = &report["peers"][0]["any_author"];
        // What is at the edge of two pages comes twice.
        assert!(any_author["received"].as_u64() >= Some(5), "{any_author}");
        assert_eq!(any_author["bound_hit"], false);
        assert_eq!(any_author["failure"], json!(null));
        // What was had of the followed authors is remembered all the same.
        assert!(report["peers"][0]["complete_until"].is_u64());
        let again = sync_all(&station, &["--sweep"]);
        assert_eq!(again["import"]["added"], 0);
        expect_stored(&station, &wanted);
    }
}

#[test]
fn without_the_option_nobody_is_asked_for_strangers() {
    let [friend, captain] = &Author::many(2)[..] else {
        panic!("two")
    };
    let (ours, theirs) = (friend.note(recent(), "ours"), own(captain, 30_850, 1));
    let relay = ScriptedRelay::start(&[ours.clone(), theirs.clone()], Behaviour::default());
    let station = station!();
    follow(&station, std::slice::from_ref(friend), &[&relay.url()]);
    let report = sync_all(&station, &["--kinds", "uplanet"]);
    assert_eq!(report["peers"][0]["any_author"], json!(null));
    expect_stored(&station, std::slice::from_ref(&ours));
    let report = sync_all(&station, &["--any-author-kinds", "30850"]);
    assert!(report["peers"][0]["any_author"]["received"].as_u64() >= Some(1));
    expect_stored(&station, &[ours, theirs]);
}

#[test]
fn a_peer_is_asked_for_the_newest_thousand_at_most_and_that_is_said() {
    let [friend, captain] = &Author::many(2)[..] else {
        panic!("two")
    };
    let many: Vec<Event> = (0..1300)
        .map(|number| {
            let d = number.to_string();
            captain.sign(30_850, recent() - number, &[&["d", &d]], "{}")
        })
        .collect();
    let ours = friend.note(recent(), "ours");
    let all = [&many[..], std::slice::from_ref(&ours)].concat();
    // One that knows no limits sends everything at once.
    for max_limit in [400, 500, 100_000] {
        let relay = ScriptedRelay::start(&all, paged(max_limit));
        let station = station!();
        follow(&station, std::slice::from_ref(friend), &[&relay.url()]);
        let report = sync_all(&station, &["--any-author-kinds", UPSTREAM]);
        let expected = json!({"received": 1000, "bound_hit": true, "failure": null});
        assert_eq!(report["peers"][0]["any_author"], expected, "{max_limit}");
        let stored = station.stored_ids();
        let came = many.iter().take_while(|event| stored.contains(&event.id));
        let came = came.count();
        assert!((998..=1000).contains(&came), "{came} of the newest");
        assert!(stored.contains(&ours.id));
        expect_logged(&station, "than the 1000 newest, which were taken");
        assert_eq!(station.read(ERROR_LOG), "", "it is no failure");
    }
}

#[test]
fn a_relay_that_refuses_filters_without_authors_gives_its_followed_authors_all_the_same() {
    let friend = &Author::many(1)[0];
    let events = notes(
        std::slice::from_ref(friend),
        &PLAIN_KINDS,
        40,
        recent(),
        3000,
    );
    let relay = ScriptedRelay::start(
        &events,
        Behaviour {
            nip77: Nip77::Absent,
            refuse_without_authors: true,
            ..Behaviour::default()
        },
    );
    let station = station!();
    follow(&station, std::slice::from_ref(friend), &[&relay.url()]);
    let output = sync(&station, &["--sweep", "--any-author-kinds", UPSTREAM]);
    let report = report(output.expect_code(1));
    expect_stored(&station, &events);
    let peer = &report["peers"][0];
    assert_eq!(
        (&peer["code"], &peer["complete"]),
        (&json!("any_author"), &json!(false))
    );
    assert!(peer["complete_until"].is_u64(), "{peer}");
    assert_eq!(report["success"], true);
    assert!(
        station
            .read(ERROR_LOG)
            .contains("--any-author-kinds did not all come")
    );
}

#[test]
fn an_old_stranger_s_event_is_as_far_away_as_days_say() {
    let [friend, captain] = &Author::many(2)[..] else {
        panic!("two")
    };
    let old = captain.sign(30_850, recent() - 5 * DAY, &[&["d", "x"]], "{}");
    let relay = ScriptedRelay::start(std::slice::from_ref(&old), Behaviour::default());
    let station = station!();
    follow(&station, std::slice::from_ref(friend), &[&relay.url()]);
    as_upstream(&station);
    sync_all(&station, &["--sweep"]);
    assert_eq!(station.stored(), [], "{}", station.read(LOG));
    sync_all(&station, &["--days", "9"]);
    expect_stored(&station, &[old]);
}

#[test]
fn sets_and_changes_of_kinds_add_up_over_the_settings_file() {
    let authors = Author::many(1);
    let odd = authors[0].sign(9999, recent(), &[], "odd");
    let numbers: Vec<u16> = kinds::Set::Uplanet
        .numbers()
        .into_iter()
        .filter(|kind| !kinds::is_ephemeral(*kind))
        .collect();
    let events: Vec<Event> = numbers
        .iter()
        .map(|kind| own(&authors[0], *kind, u64::from(*kind)))
        .collect();
    let all = [&events[..], std::slice::from_ref(&odd)].concat();
    let relay = ScriptedRelay::start(&all, Behaviour::default());
    let stored_by = |set_up: &dyn Fn(&StationDir), arguments: &[&str]| {
        let station = station!();
        follow(&station, &authors, &[&relay.url()]);
        set_up(&station);
        sync_all(&station, arguments);
        let mut kinds: Vec<u16> = station.stored().iter().map(|event| event.kind).collect();
        kinds.sort_unstable();
        kinds
    };
    let seed = |more: &[u16], less: &[u16]| {
        let mut kinds = kinds::Set::Seed.numbers();
        kinds.extend(more);
        kinds.retain(|kind| !less.contains(kind));
        kinds.sort_unstable();
        kinds
    };
    let stored = |arguments: &[&str]| stored_by(&|_| (), arguments);
    assert_eq!(stored(&[]), seed(&[], &[]));
    assert_eq!(stored(&["--kinds", "+9999,-4"]), seed(&[9999], &[4]));
    assert_eq!(stored(&["--kinds=-4"]), seed(&[], &[4]));
    let mut uplanet = numbers.clone();
    uplanet.sort_unstable();
    assert_eq!(stored(&["--kinds", "uplanet"]), uplanet);
    let stored = |arguments: &[&str]| stored_by(&as_upstream, arguments);
    assert_eq!(stored(&[]), uplanet);
    assert_eq!(stored(&["--kinds", "+9999"]).len(), uplanet.len() + 1);
    assert_eq!(stored(&["--kinds", "seed"]), seed(&[30_850, 30_851], &[]));
    let station = station!();
    for wrong in ["seeds", "70000", "4,-4", ""] {
        sync(&station, &["--kinds", wrong])
            .expect_code(2)
            .expect_stderr("seed");
    }
}
