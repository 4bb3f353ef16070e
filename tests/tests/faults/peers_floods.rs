//! Peers that send events without end.

use std::thread;
use std::time::Duration;

use constellation_tests::RawRelay;
use constellation_tests::sync_program::recent;

use crate::row::{AUTHORS, Fault, all_hold, genuine, greeting};
use crate::rows;

#[test]
fn events_without_end_harm_nobody() {
    all_hold(rows![
        endless_forged_events,
        endless_malformed_events,
        the_same_event_a_million_times,
        genuine_events_padded_with_blanks,
        one_event_spelled_in_endless_ways,
        an_event_twice_a_second,
    ]);
}

fn endless_forged_events() -> Fault {
    let forged = genuine("forged");
    Fault::of(RawRelay::answering(move |talk, name| {
        for number in 0_u64.. {
            let mut forged = forged.clone();
            forged.sig[..8].copy_from_slice(&number.to_be_bytes());
            talk.event(name, &forged.to_json())?;
        }
        Ok(())
    }))
    .fails("after 1 attempt: ws://127.0.0.1:")
    .says("more than 1000 of its events are forged")
    .refuses("forged", 1000)
}

/// What looks like an event of that author, and is none: each another.
fn malformed(number: u64) -> String {
    let (author, at) = (AUTHORS[0].pubkey(), recent() - 9);
    format!(r#"{{"id":"{number}","pubkey":"{author}","kind":1,"created_at":{at},"tags":[]}}"#)
}

fn endless_malformed_events() -> Fault {
    Fault::of(RawRelay::answering(|talk, name| {
        for number in 0.. {
            talk.event(name, &malformed(number))?;
        }
        Ok(())
    }))
    .fails("after 1 attempt: ws://127.0.0.1:")
    .says("more than 1000 of its events are forged, unasked, malformed")
}

fn the_same_event_a_million_times() -> Fault {
    let event = genuine("again and again");
    let json = event.to_json();
    Fault::of(RawRelay::answering(move |talk, name| {
        for _ in 0..1_000_000 {
            talk.event(name, &json)?;
        }
        talk.eose(name)
    }))
    .fails("WebSocket backfill failed after ")
    .brings(&[event])
}

fn genuine_events_padded_with_blanks() -> Fault {
    let blanks = " ".repeat(300_000);
    Fault::of(RawRelay::answering(move |talk, name| {
        for number in 0.. {
            talk.event(
                name,
                &greeting(number).replacen('{', &format!("{{{blanks}"), 1),
            )?;
        }
        Ok(())
    }))
    .fails("were of use [wasteful]")
}

fn one_event_spelled_in_endless_ways() -> Fault {
    let event = genuine("the only one");
    let json = event.to_json();
    Fault::of(RawRelay::answering(move |talk, name| {
        for number in 0_u64.. {
            talk.event(name, &json.replacen('{', &format!("{{\"x\":{number},"), 1))?;
        }
        Ok(())
    }))
    .fails("more than 1000 of its events are forged, unasked, malformed")
    .brings(&[event])
}

fn an_event_twice_a_second() -> Fault {
    Fault::of(RawRelay::answering(|talk, name| {
        for number in 0.. {
            talk.event(name, &greeting(number))?;
            thread::sleep(Duration::from_millis(500));
        }
        Ok(())
    }))
    .fails("it brings far less than the other peers, which are done")
}
