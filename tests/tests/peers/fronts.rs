//! Relays behind web servers, proxies and firewalls: what these answer before the relay does.

use std::sync::OnceLock;

use constellation_shared::Event;
use constellation_tests::author::notes;
use constellation_tests::relay::Front;
use constellation_tests::sync_program::{
    PLAIN_KINDS, command, expect_logged, expect_stored, follow, recent, report, sync, sync_all,
};
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};

fn events() -> &'static [Event] {
    static EVENTS: OnceLock<Vec<Event>> = OnceLock::new();
    EVENTS.get_or_init(|| notes(&Author::many(5), &PLAIN_KINDS, 100, recent(), 3000))
}

fn behind(front: Front) -> (StationDir, ScriptedRelay) {
    let station = station!();
    let behaviour = Behaviour {
        front,
        ..Behaviour::default()
    };
    let relay = ScriptedRelay::start(events(), behaviour);
    follow(&station, &Author::many(5), &[&relay.url()]);
    (station, relay)
}

#[test]
fn a_firewall_that_wants_to_know_who_asks_is_told() {
    let (station, relay) = behind(Front::WantsName);
    sync_all(&station, &[]);
    expect_stored(&station, events());
    assert_eq!(relay.documents(), 1, "and with the NIP-11 document, too");
}

#[test]
fn a_proxy_that_asks_for_patience_gets_it() {
    for (status, headers) in [
        ("429 Too Many Requests", "Retry-After: 1\r\n"),
        ("503 Service Unavailable", ""),
        (
            "503 Service Unavailable",
            "Date: Wed, 21 Oct 2015 07:28:00 GMT\r\nRetry-After: Wed, 21 Oct 2015 07:28:01 GMT\r\n",
        ),
    ] {
        // More often than a relay that fails is tried.
        let (station, relay) = behind(Front::Busy {
            times: 4,
            status,
            headers,
        });
        sync_all(&station, &["--patience", "2"]);
        expect_stored(&station, events());
        assert_eq!(relay.fronted(), 5, "{status}");
    }
}

#[test]
fn a_proxy_that_wants_to_be_left_alone_for_long_is_left_alone() {
    let (station, relay) = behind(Front::Busy {
        times: 1,
        status: "429 Too Many Requests",
        headers: "Retry-After: 7200\r\n",
    });
    let output = sync(&station, &[]);
    output.expect_code(1);
    let first = report(&output);
    assert_eq!(first["peers"][0]["code"], "rate_limited", "{first}");
    expect_logged(&station, "asks for patience: HTTP 429, for 7200 s");
    let output = sync(&station, &[]);
    output.expect_code(1);
    assert_eq!(report(&output)["peers"][0]["code"], "left_alone");
    expect_logged(&station, "it asked to be left alone for another ");
    assert_eq!((relay.fronted(), relay.connections()), (1, 0));
}

fn elsewhere(status: &'static str, location: impl Into<String>) -> Behaviour {
    Behaviour {
        front: Front::Elsewhere {
            status,
            location: location.into(),
        },
        ..Behaviour::default()
    }
}

#[test]
fn a_relay_that_moved_is_followed_a_few_times() {
    let relay = ScriptedRelay::start(events(), Behaviour::default());
    let mut url = relay.url();
    let statuses = [
        "301 Moved Permanently",
        "302 Found",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ];
    let mut fronts = Vec::new();
    for (number, status) in statuses.into_iter().enumerate() {
        let location = url.replace("ws://", "http://") + "/";
        let front = ScriptedRelay::start(&[], elsewhere(status, location));
        url = front.url();
        fronts.push(front);
        let station = station!();
        follow(&station, &Author::many(5), &[&url]);
        let output = sync(&station, &[]);
        if number < 3 {
            output.expect_code(0);
            expect_stored(&station, events());
        } else {
            output.expect_code(1);
            expect_logged(&station, "leads elsewhere, more than three times in a row");
        }
    }
}

#[test]
fn a_redirect_leads_neither_to_this_machine_nor_to_nowhere() {
    let relay = ScriptedRelay::start(events(), Behaviour::default());
    let away = ScriptedRelay::start(
        &[],
        elsewhere("302 Found", relay.url().replace("ws://", "http://")),
    );
    let station = station!();
    follow(&station, &Author::many(5), &[]);
    // The operator may name this machine. A web server may not.
    let output = command(&station, &["--peer", &away.url()])
        .env_remove("CONSTELLATION_ALLOW_PRIVATE_PEERS")
        .output();
    output.expect_code(1);
    assert_eq!(report(&output)["peers"][0]["code"], "private_address");
    assert_eq!(relay.documents() + relay.connections(), 0);
    let nowhere = ScriptedRelay::start(&[], elsewhere("302 Found", "ftp://a.example/"));
    let station = station!();
    follow(&station, &Author::many(5), &[&nowhere.url()]);
    sync(&station, &[]).expect_code(1);
    expect_logged(
        &station,
        "leads elsewhere, to no relay that could be asked instead",
    );
}
