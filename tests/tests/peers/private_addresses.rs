//! What the swarm says of a peer's address: it must lead neither to this station itself nor to
//! this machine's other services, unless the operator says so.

use std::sync::{Arc, Mutex};

use constellation_tests::author::notes;
use constellation_tests::command::TestCommand;
use constellation_tests::relay::raw::{RawRelay, peek_head, respond};
use constellation_tests::relay::{Nip11, dead_url};
use constellation_tests::sync_program::{
    LOG, PLAIN_KINDS, command, expect_logged, follow, recent, report, said,
};
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};

/// A station whose conf has its relay listen on the port of this URL.
fn station_at(url: &str) -> StationDir {
    let port = port(url);
    let conf = format!(
        "db = \"./strfry-db/\"\nrelay {{\n    port = {port}\n    nofiles = 0\n}}\nevents {{\n    maxEventSize = 65536\n}}\n"
    );
    StationDir::builder(env!("CARGO_BIN_EXE_demo"))
        .conf(&conf)
        .build()
}

fn port(url: &str) -> &str {
    url.rsplit(':').next().unwrap()
}

fn relay_with_notes(authors: &[Author]) -> ScriptedRelay {
    let events = notes(authors, &PLAIN_KINDS, 20, recent(), 3000);
    ScriptedRelay::start(&events, Behaviour::default())
}

/// The backfill of a station that has not been told to trust private addresses.
fn guarded(station: &StationDir, args: &[&str]) -> TestCommand {
    command(station, args).env_remove("CONSTELLATION_ALLOW_PRIVATE_PEERS")
}

#[test]
fn a_station_that_only_finds_itself_has_not_synced() {
    let authors = Author::many(2);
    let own = relay_with_notes(&authors);
    let (station, port) = (station_at(&own.url()), port(&own.url()).to_owned());
    for host in [
        "127.0.0.1",
        "localhost",
        "127.1",
        "localhost.",
        "127.0.0.2",
        "2130706433",
    ] {
        follow(&station, &authors, &[&format!("ws://{host}:{port}")]);
        let output = command(&station, &[]).output();
        output.expect_code(3);
        assert_eq!(report(&output)["success"], false, "{host}: {output}");
        expect_logged(&station, "this station's own relay");
        expect_logged(&station, "No constellation peers found");
        assert_eq!(own.connections(), 0, "{host}");
    }
}

#[test]
fn a_former_folder_of_our_own_is_no_peer() {
    let authors = Author::many(2);
    let (own, other) = (relay_with_notes(&authors), relay_with_notes(&authors));
    let station = station_at(&own.url());
    let ourselves = format!("ws://localhost:{}", port(&own.url()));
    for (second, code, success) in [(other.url(), 0, 1), (dead_url(), 1, 0)] {
        follow(&station, &authors, &[&ourselves, &second]);
        let output = command(&station, &[]).output();
        output.expect_code(code);
        assert_eq!(report(&output)["success"], success == 1, "{output}");
        let peers = said(&station, "SYNC_PEERS: ");
        assert_eq!((peers["success"], peers["total"]), (success, 1), "{output}");
        assert_eq!(own.connections(), 0);
    }
}

/// Behind a router or a proxy that serves many names, the address tells nothing.
#[test]
fn a_relay_that_has_the_name_and_pubkey_of_our_own_is_no_peer() {
    let authors = Author::many(2);
    let events = notes(&authors, &PLAIN_KINDS, 20, recent(), 3000);
    let (key, other_key) = ("ab".repeat(32), "cd".repeat(32));
    let info = |key: &str| {
        Nip11::Body(format!(
            r#"{{"name":"BOX 12D3KooWOwn","pubkey":"{key}","negentropy":1}}"#
        ))
    };
    let relay = |key: &str| {
        let nip11 = info(key);
        ScriptedRelay::start(
            &events,
            Behaviour {
                nip11,
                ..Behaviour::default()
            },
        )
    };
    let (ours, other) = (relay(&key), relay(&other_key));
    let conf = format!(
        "db = \"./strfry-db/\"\nrelay {{\n    nofiles = 0\n    info {{\n        name = \"BOX 12D3KooWOwn\"\n        pubkey = \"{key}\"\n    }}\n}}\n"
    );
    let station = StationDir::builder(env!("CARGO_BIN_EXE_demo"))
        .conf(&conf)
        .build();
    follow(&station, &authors, &[&ours.url()]);
    // Twice, as the second run remembers what the first one learned.
    for _ in 0..2 {
        let output = command(&station, &[]).output();
        output.expect_code(3);
        assert_eq!(report(&output)["success"], false, "{output}");
        expect_logged(&station, "the name and pubkey of this station's own relay");
    }
    assert_eq!(station.stored(), []);
    follow(&station, &authors, &[&ours.url(), &other.url()]);
    let output = command(&station, &[]).output();
    output.expect_code(0);
    let peers = said(&station, "SYNC_PEERS: ");
    assert_eq!((peers["success"], peers["total"]), (1, 1), "{output}");
    // What the operator names is asked.
    let output = command(&station, &["--peer", &ours.url()]).output();
    output.expect_code(0);
}

#[test]
fn our_own_name_in_a_former_folder_is_no_peer() {
    let authors = Author::many(2);
    let (own, other) = (relay_with_notes(&authors), relay_with_notes(&authors));
    // As behind a proxy: the conf's port is another than that of the name.
    let station = station_at("ws://127.0.0.1:7777");
    station.own_node("12D3KooOurs");
    let description = format!(
        r#"{{"myRELAY":"ws://localhost:{}","ipfsnodeid":"12D3KooOurs"}}"#,
        port(&own.url())
    );
    station.write("tmp/12D3KooOurs/12345.json", description);
    for former in ["localhost", "LOCALHOST.", "127.0.0.1"] {
        let former = format!("ws://{former}:{}/", port(&own.url()));
        follow(&station, &authors, &[&former, &other.url()]);
        command(&station, &[]).output().expect_code(0);
        assert_eq!(said(&station, "SYNC_PEERS: ")["total"], 1, "{former}");
        assert_eq!(own.connections(), 0, "{former}");
    }
}

#[test]
fn the_swarm_leads_to_no_service_of_this_machine() {
    let authors = Author::many(2);
    let service = relay_with_notes(&authors);
    let port = port(&service.url()).to_owned();
    for host in [
        "127.0.0.1",
        "127.1",
        "0",
        "0x7f.1",
        "0177.0.0.1",
        "2130706433",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "localhost",
        "localhost.",
        "0.0.0.0",
    ] {
        let station = station!();
        follow(
            &station,
            &authors,
            &[&format!("ws://{host}:{port}/api/v0/shutdown?force=1")],
        );
        let output = guarded(&station, &[]).output();
        assert_ne!(output.status.code(), Some(0), "{host}: {output}");
        expect_logged(&station, "--allow-private-peers");
        for looking in [&["doctor"][..], &["why", &authors[0].pubkey().to_hex()]] {
            guarded(&station, looking).output();
        }
        assert_eq!(service.connections(), 0, "{host}");
    }
}

#[test]
fn what_the_operator_names_may_be_anywhere() {
    let authors = Author::many(2);
    let relay = relay_with_notes(&authors);
    let station = station_at(&relay.url());
    follow(&station, &authors, &[]);
    guarded(&station, &["--peer", &relay.url()])
        .output()
        .expect_code(0);
    assert!(relay.connections() > 0);
    let other = station!();
    follow(&other, &authors, &[&relay.url()]);
    guarded(&other, &["--allow-private-peers"])
        .output()
        .expect_code(0);
}

#[test]
fn a_peer_s_query_string_is_not_sent() {
    let authors = Author::many(1);
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    let service = RawRelay::start(move |stream| {
        let head = peek_head(&stream)?;
        let line = head.lines().next().unwrap_or_default().to_owned();
        seen.lock().unwrap().push(line);
        respond(stream, "404 Not Found", "")
    });
    let station = station!();
    let url = format!("{}/relay/?arg=/etc#part", service.url());
    follow(&station, &authors, &[&url]);
    command(&station, &["--patience", "1"]).output();
    let heads = heads.lock().unwrap();
    assert!(!heads.is_empty(), "{}", station.read(LOG));
    for line in heads.iter() {
        assert_eq!(line, "GET /relay/ HTTP/1.1");
    }
}
