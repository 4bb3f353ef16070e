//! What peers have is here within seconds, whatever happens in between.

use constellation_shared::Event;
use constellation_tests::author::{notes, now};
use constellation_tests::command::wait_until;
use constellation_tests::relay::Nip77;
use constellation_tests::sync_program::children::{children, kill};
use constellation_tests::sync_program::{LOCK, PID_FILE, PLAIN_KINDS, PROGRAM, follow, recent};
use constellation_tests::{Author, Behaviour, ScriptedRelay, station};
use rustix::process::Signal;

use crate::service::{live, state, wait_for, wait_until_asked};

#[test]
fn what_a_peer_is_given_is_here_soon_and_so_is_what_it_had_before() {
    let station = station!();
    let authors = Author::many(5);
    let before = notes(&authors, &PLAIN_KINDS, 100, recent(), 3000);
    let relay = ScriptedRelay::start(&before, Behaviour::default());
    follow(&station, &authors, &[&relay.url()]);
    let mut live = live(&station);
    wait_for(&station, &before);
    wait_until_asked(&relay, 1);
    for number in 0..5 {
        let event = authors[0].note(now(), &format!("news {number}"));
        relay.publish(std::slice::from_ref(&event));
        wait_for(&station, &[event]);
    }
    // Others see that it does the backfills.
    let pid = live.pid();
    assert_eq!(station.read(LOCK), format!("{pid} live\n"));
    assert_eq!(station.read(PID_FILE), format!("{pid}\n"));
    let words = format!("constellation-sync live, PID {pid}, keeps this station level");
    for arguments in [&["trigger"][..], &["trigger", "--live"], &[]] {
        let other = station.run(PROGRAM, arguments);
        other.expect_code(0);
        assert!(other.stdout.starts_with(&words), "{other}");
    }
    wait_until("the state to be written", || {
        state(&station)["peers"][0]["connected_since"].is_u64()
    });
    let status = station.run(PROGRAM, &["status"]);
    assert!(status.stdout.contains("1 of 1 peer connected"), "{status}");
    let doctor = station.run(PROGRAM, &["doctor", "--allow-private-peers"]);
    assert!(doctor.stdout.contains(&words), "{doctor}");
    live.signal(Signal::TERM);
    live.wait().expect_code(0);
    assert_eq!(station.read(PID_FILE), "");
    assert_eq!(state(&station)["peers"][0]["url"], relay.url());
}

#[test]
fn what_a_peer_is_given_while_it_cannot_be_reached_is_here_once_it_can() {
    let station = station!();
    let authors = Author::many(5);
    let relay = ScriptedRelay::start(&[], Behaviour::default());
    follow(&station, &authors, &[&relay.url()]);
    let mut live = live(&station);
    wait_until_asked(&relay, 1);
    for round in 0..3 {
        relay.go_away();
        let missed = notes(&authors, &PLAIN_KINDS, 100, now(), 60);
        let missed: Vec<Event> = missed.into_iter().skip(round * 30).take(30).collect();
        relay.publish(&missed);
        relay.come_back();
        wait_for(&station, &missed);
        wait_until_asked(&relay, round + 2);
    }
    live.signal(Signal::TERM);
    live.wait().expect_code(0);
}

#[test]
fn a_strfry_that_is_killed_costs_no_event() {
    let station = station!();
    let authors = Author::many(5);
    let relay = ScriptedRelay::start(&[], Behaviour::default());
    follow(&station, &authors, &[&relay.url()]);
    let mut live = live(&station);
    wait_until_asked(&relay, 1);
    let mut all = Vec::new();
    for number in 0..20 {
        let event = authors[number % 5].note(now(), &format!("news {number}"));
        relay.publish(std::slice::from_ref(&event));
        all.push(event);
        if number % 4 == 3 {
            children(live.pid()).into_iter().for_each(kill);
        }
    }
    wait_for(&station, &all);
    live.signal(Signal::TERM);
    live.wait().expect_code(0);
}

#[test]
fn who_is_followed_anew_is_had_at_once_and_who_is_blocked_no_more() {
    let station = station!();
    let authors = Author::many(3);
    let [first, second, third] = &authors[..] else {
        panic!("three authors");
    };
    let old = second.note(now() - 400 * 86_400, "long ago");
    let relay = ScriptedRelay::start(std::slice::from_ref(&old), Behaviour::default());
    follow(&station, std::slice::from_ref(first), &[&relay.url()]);
    let mut live = live(&station);
    wait_until_asked(&relay, 1);
    follow(&station, &authors, &[&relay.url()]);
    wait_for(&station, &[old]);
    let new = second.note(now(), "now");
    relay.publish(std::slice::from_ref(&new));
    wait_for(&station, &[new]);
    // Friends are pardoned; who is none any more is blocked.
    follow(&station, &authors[..2], &[&relay.url()]);
    station.blacklist(&[third.pubkey()]);
    let blocked = third.note(now(), "let me in");
    let welcome = first.note(now(), "after it");
    wait_until_asked(&relay, 3);
    relay.publish(&[blocked.clone(), welcome.clone()]);
    wait_for(&station, &[welcome]);
    assert!(!station.stored_ids().contains(&blocked.id));
    live.signal(Signal::TERM);
    live.wait().expect_code(0);
}

#[test]
fn peers_that_all_have_the_same_do_not_all_push_it_and_what_one_alone_has_comes_too() {
    let station = station!();
    let authors = Author::many(5);
    let reconciling = Behaviour {
        nip77: Nip77::Served,
        ..Behaviour::default()
    };
    let relays: Vec<ScriptedRelay> = (0..4)
        .map(|_| ScriptedRelay::start(&[], reconciling.clone()))
        .collect();
    let urls: Vec<String> = relays.iter().map(ScriptedRelay::url).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    follow(&station, &authors, &urls);
    let mut live = live(&station);
    for relay in &relays {
        wait_until_asked(relay, 1);
    }
    let sent = || -> u64 { relays.iter().map(ScriptedRelay::events_sent).sum() };
    let round = |round: u64| {
        let note = |number: u64| authors[0].note(now(), &format!("{round} {number}"));
        let events: Vec<Event> = (0..30).map(note).collect();
        let before = sent();
        relays.iter().for_each(|relay| relay.publish(&events));
        wait_for(&station, &events);
        sent() - before
    };
    let mut rounds = 0;
    wait_until("the relays to push less", || {
        rounds += 1;
        round(rounds) < 45
    });
    // Each of them is still looked at.
    for relay in &relays {
        rounds += 1;
        let alone = authors[1].note(now(), &format!("{rounds} alone"));
        relay.publish(std::slice::from_ref(&alone));
        wait_for(&station, &[alone]);
    }
    live.signal(Signal::TERM);
    live.wait().expect_code(0);
}
