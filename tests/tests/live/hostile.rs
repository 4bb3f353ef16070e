//! Peers that flood, forge, drip and withhold harm nobody but themselves.

use std::thread;
use std::time::Duration;

use constellation_tests::author::{forged_signature, now};
use constellation_tests::command::wait_until;
use constellation_tests::sync_program::follow;
use constellation_tests::{Author, Behaviour, RawRelay, ScriptedRelay, station};

use crate::service::{end, live, log, wait_for, wait_until_asked};

/// Ten events reach the station from a good peer, one after the other, while this one is followed
/// too; then the log holds these words.
#[track_caller]
fn a_good_peer_beside(author: &Author, url: &str, words: &str) {
    let station = station!();
    let good = ScriptedRelay::start(&[], Behaviour::default());
    follow(&station, std::slice::from_ref(author), &[&good.url(), url]);
    let service = live(&station);
    wait_until_asked(&good, 1);
    for number in 0..10 {
        let event = author.note(now(), &format!("news {number}"));
        good.publish(std::slice::from_ref(&event));
        wait_for(&station, &[event]);
    }
    wait_until(words, || log(&station).contains(words));
    end(service);
}

#[test]
fn a_peer_that_sends_forged_events_without_end_is_left_alone() {
    let author = Author::new(7);
    let forged = forged_signature(&author.note(now(), "never said"));
    let forger = RawRelay::answering(move |talk, name| {
        for number in 0_u64.. {
            let mut forged = forged.clone();
            forged.sig[..8].copy_from_slice(&number.to_be_bytes());
            talk.event(name, &forged.to_json())?;
        }
        Ok(())
    });
    let words = "lost: it sends events that nobody asked for, or forged ones";
    a_good_peer_beside(&author, &forger.url(), words);
}

#[test]
fn a_peer_that_sends_the_same_event_without_end_is_left_alone() {
    let author = Author::new(7);
    let event = author.note(now(), &"again ".repeat(8_000)).to_json();
    let flood = RawRelay::answering(move |talk, name| {
        loop {
            talk.event(name, &event)?;
        }
    });
    a_good_peer_beside(&author, &flood.url(), "were of use");
}

#[test]
fn a_peer_that_drips_holds_up_nobody() {
    let author = Author::new(7);
    let drip = RawRelay::answering(|talk, _| {
        // A frame of 65,000 bytes, one after the other.
        talk.bytes(&[0x81, 126, 0xfd, 0xe8])?;
        loop {
            talk.bytes(b" ")?;
            thread::sleep(Duration::from_millis(100));
        }
    });
    a_good_peer_beside(&author, &drip.url(), "followed");
}

#[test]
fn a_peer_that_lists_what_it_does_not_send_holds_up_nobody() {
    let author = Author::new(7);
    let held: Vec<_> = (0..2000)
        .map(|number| author.note(now() - number, &format!("kept back {number}")))
        .collect();
    let behaviour = Behaviour {
        withholds: held.iter().map(|event| event.id).collect(),
        ..Behaviour::default()
    };
    let withholder = ScriptedRelay::start(&held, behaviour);
    let words = "what was missed could not all be fetched, and is tried again";
    a_good_peer_beside(&author, &withholder.url(), words);
}
