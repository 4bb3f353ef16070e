//! The service is killed, and started again.

use constellation_tests::author::now;
use constellation_tests::sync_program::children::kill;
use constellation_tests::sync_program::follow;
use constellation_tests::sync_program::left_behind::wait_for_orphans;
use constellation_tests::{Author, Behaviour, ScriptedRelay, station};

use crate::service::{end, live, wait_for, wait_until_asked};

#[test]
fn what_comes_before_a_kill_and_until_the_next_start_is_here_soon_after_it() {
    let station = station!();
    let authors = Author::many(5);
    let relay = ScriptedRelay::start(&[], Behaviour::default());
    follow(&station, &authors, &[&relay.url()]);
    let mut all = Vec::new();
    let mut tell = |number: usize| {
        let event = authors[number % 5].note(now(), &format!("news {number}"));
        relay.publish(std::slice::from_ref(&event));
        all.push(event);
    };
    for round in 0..3 {
        let service = live(&station);
        wait_until_asked(&relay, round + 1);
        (0..5).for_each(|number| tell(10 * round + number));
        kill(service.pid());
        service.wait();
        wait_for_orphans(&station);
        (5..10).for_each(|number| tell(10 * round + number));
    }
    let service = live(&station);
    wait_for(&station, &all);
    end(service);
}
