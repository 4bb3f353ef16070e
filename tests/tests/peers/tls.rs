//! Relays behind TLS.

use constellation_tests::author::notes;
use constellation_tests::library_relay::LibraryRelay;
use constellation_tests::relay::tls::TlsFront;
use constellation_tests::sync_program::{
    PLAIN_KINDS, expect_logged, expect_stored, follow, paged, recent, sync, sync_all,
};
use constellation_tests::{Author, ScriptedRelay, StationDir, station};

/// A station with a peer behind TLS that is called by this name, and its certificate.
fn with_secure_peer(name: &str) -> (StationDir, ScriptedRelay, String) {
    let authors = Author::many(5);
    let events = notes(&authors, &PLAIN_KINDS, 700, recent(), 3000);
    let relay = ScriptedRelay::start(&events, paged(500));
    let front = TlsFront::start("localhost", &relay.url());
    let station = station!();
    follow(&station, &authors, &[&front.url(name)]);
    station.write("ca.pem", &front.certificate);
    sync(&station, &[]).expect_code(1);
    expect_logged(&station, ": invalid peer certificate: UnknownIssuer");
    expect_logged(&station, "no TLS with ");
    expect_stored(&station, &[]);
    let ca_file = station.root().join("ca.pem").display().to_string();
    (station, relay, ca_file)
}

#[test]
fn a_certificate_is_trusted_where_a_file_says_so() {
    let (station, relay, ca_file) = with_secure_peer("localhost");
    sync_all(&station, &["--ca-file", &ca_file]);
    assert_eq!(station.stored().len(), 700);
    assert_eq!((relay.connections(), relay.documents()), (1, 1));
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let (station, relay, ca_file) = with_secure_peer("127.0.0.1");
    sync(&station, &["--ca-file", &ca_file]).expect_code(1);
    expect_logged(
        &station,
        "invalid peer certificate: certificate not valid for name",
    );
    expect_stored(&station, &[]);
    assert_eq!((relay.connections(), relay.documents()), (0, 0));
}

#[test]
fn a_self_signed_certificate_that_is_marked_as_an_authority_is_trusted_where_it_is_given() {
    let authors = Author::many(2);
    let events = notes(&authors, &PLAIN_KINDS, 20, recent(), 300);
    let relay = ScriptedRelay::start(&events, paged(500));
    let front = TlsFront::start_as_authority("localhost", &relay.url());
    let expired = TlsFront::start_as_expired_authority("localhost", &relay.url());
    let station = station!();
    station.write("ca.pem", &front.certificate);
    station.write("expired.pem", &expired.certificate);
    let file = |name: &str| station.root().join(name).display().to_string();
    for (url, ca_file, fault) in [
        (front.url("127.0.0.1"), "ca.pem", "not valid for name"),
        (front.url("localhost"), "expired.pem", "CaUsedAsEndEntity"),
        (
            expired.url("localhost"),
            "expired.pem",
            "certificate expired",
        ),
    ] {
        follow(&station, &authors, &[&url]);
        sync(&station, &["--ca-file", &file(ca_file)]).expect_code(1);
        expect_logged(&station, fault);
        expect_stored(&station, &[]);
    }
    follow(&station, &authors, &[&front.url("localhost")]);
    sync_all(&station, &["--ca-file", &file("ca.pem")]);
    expect_stored(&station, &events);
}

#[test]
fn a_clear_text_relay_is_no_secure_one() {
    let authors = Author::many(2);
    let relay = LibraryRelay::start(&notes(&authors, &[1], 20, recent(), 300), 500);
    let station = station!();
    follow(
        &station,
        &authors,
        &[&relay.url().replace("ws://", "wss://")],
    );
    sync(&station, &[]).expect_code(1);
    expect_logged(&station, "no TLS with ");
    expect_stored(&station, &[]);
}
