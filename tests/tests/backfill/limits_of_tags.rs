//! Limits that setup scripts give the strfry of a small station (`events.maxNumTags`,
//! `events.maxTagValSize`): what strfry would refuse is named, and not fetched again until the limit
//! changes.

use constellation_shared::Event;
use constellation_tests::sync_program::{
    BOTH, LOG, expect_stored, follow, recent, report, sync_all,
};
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};
use serde_json::{Value, json};

fn limit(station: &StationDir, tags: usize, value: usize) {
    let conf = format!(
        "db = \"./strfry-db/\"\nevents {{\n maxEventSize = 65536\n maxNumTags = {tags}\n \
         maxTagValSize = {value}\n}}\nrelay {{\n nofiles = 0\n}}\n"
    );
    station.write("strfry/strfry.conf", conf);
}

/// Events at the edge of 5 tags and of 20 bytes, and what becomes of each.
fn events(author: &Author) -> Vec<(Event, Option<&'static str>)> {
    let tag = ["t", "x"];
    let (long, longer) = ("12345678901234567890", "123456789012345678901");
    let sign = |number: u64, tags: &[&[&str]]| author.sign(1, recent() - number, tags, "x");
    vec![
        (sign(1, &[&tag[..]; 5]), None),
        (sign(2, &[&tag[..]; 6]), Some("too_many_tags")),
        (sign(3, &[&["t", long]]), None),
        (sign(4, &[&["t", longer]]), Some("tag_too_long")),
        // Bytes count, not characters.
        (sign(5, &[&["é", longer]]), None),
        (sign(6, &[&["t", "ééééééééééé"]]), Some("tag_too_long")),
        // strfry looks at no other names, and at no other elements.
        (sign(7, &[&["title", longer]]), None),
        (sign(8, &[&["t", "x", longer]]), None),
        (sign(9, &[&["t"]]), None),
    ]
}

fn why(station: &StationDir, event: &Event) -> Value {
    let id = event.id.to_string();
    let output = station.run("constellation-sync", &["why", "--json", &id]);
    report(output.expect_code(1))
}

#[test]
fn what_strfry_would_refuse_for_its_tags_is_named_and_not_fetched_until_the_limit_is_raised() {
    for nip77 in BOTH {
        let author = Author::new(1);
        let events = events(&author);
        let all: Vec<Event> = events.iter().map(|(event, _)| event.clone()).collect();
        let behaviour = Behaviour {
            nip77,
            ..Behaviour::default()
        };
        let relay = ScriptedRelay::start(&all, behaviour);
        let station = station!();
        follow(&station, std::slice::from_ref(&author), &[&relay.url()]);
        limit(&station, 5, 20);
        let report = sync_all(&station, &["--sweep"]);
        assert_eq!(
            report["refused"],
            json!({"too_many_tags": 1, "tag_too_long": 2})
        );
        assert_eq!(
            report["import"]["rejected"],
            json!({}),
            "{}",
            station.read(LOG)
        );
        let let_in = events.iter().filter(|(_, refusal)| refusal.is_none());
        let let_in: Vec<Event> = let_in.map(|(event, _)| event.clone()).collect();
        expect_stored(&station, &let_in);
        for (event, refusal) in &events {
            if let Some(refusal) = refusal {
                let answer = why(&station, event);
                assert_eq!(answer["peers"][0]["fate"], *refusal);
                let advice = answer["advice"][0].as_str().unwrap();
                assert!(advice.starts_with("raise events.max"), "{advice}");
            }
        }
        let sent = relay.events_sent();
        let again = sync_all(&station, &["--sweep"]);
        assert_eq!(
            again["import"]["events"],
            if again["peers"][0]["reconciled"] == true {
                0
            } else {
                6
            }
        );
        if again["peers"][0]["reconciled"] == true {
            assert_eq!(relay.events_sent(), sent, "nothing is fetched again");
        }
        limit(&station, 6, 22);
        sync_all(&station, &["--sweep"]);
        expect_stored(&station, &all);
    }
}
