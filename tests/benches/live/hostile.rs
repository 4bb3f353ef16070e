//! Beside its eight good peers, a station has four that flood, forge, drip and withhold: are the events
//! of the good ones there as soon as at a station that has the good ones only? Both are measured at the
//! same time.

use std::thread;
use std::time::Duration;

use constellation_shared::Event;
use constellation_tests::author::{Author, forged_signature, notes, now};
use constellation_tests::real_relay::RealRelay;
use constellation_tests::{Behaviour, RawRelay, ScriptedRelay};

use super::Bench;
use super::flow::{Flow, delays, quantile};
use super::kept::{Keeper, Kept, fresh, peers, wait_until_followed};
use super::latency::PEERS;

pub(crate) fn measure(bench: &Bench) {
    let count = bench.either(100, 1_000);
    let peers = peers(PEERS);
    let good: Vec<String> = peers.iter().map(RealRelay::url).collect();
    let (_scripted, _raw, hostile) = hostile(&bench.authors);
    let all = [&good[..], &hostile].concat();
    let keys = bench.keys();
    let alone = Kept::start(Keeper::Ours(&bench.program), &keys, &good);
    let beset = Kept::start(Keeper::Ours(&bench.program), &keys, &all);
    wait_until_followed(&[&alone, &beset], &peers, &bench.authors[0]);
    let ports: Vec<u16> = peers.iter().map(RealRelay::port).collect();
    let flow = Flow::start(&ports, &bench.authors, count, Duration::from_millis(150));
    let published = flow.wait();
    let patience = Duration::from_secs(30);
    let without = delays(&alone.reader, &published, patience);
    let with = delays(&beset.reader, &published, patience);
    println!("\n| {count} events, {PEERS} good peers | with 4 hostile peers | without | ratio |");
    println!("|---|---|---|---|");
    for (name, share) in [("median", 0.5), ("99 %", 0.99), ("longest", 1.0)] {
        let (with, without) = (quantile(&with, share), quantile(&without, share));
        println!(
            "| {name} | {with:.3} s | {without:.3} s | {:.2} |",
            with / without
        );
    }
    let lacks = |delays: &[f64]| published.len() - delays.len();
    println!("| missing | {} | {} | |", lacks(&with), lacks(&without));
    eprintln!("{}", beset.log());
}

/// A relay that floods, one that forges, one that drips, one that withholds; and their addresses.
fn hostile(authors: &[Author]) -> (ScriptedRelay, Vec<RawRelay>, Vec<String>) {
    let event = fresh(&authors[0]).to_json();
    let flood = RawRelay::answering(move |talk, name| {
        loop {
            talk.event(name, &event)?;
        }
    });
    let author = authors[0].clone();
    let forger = RawRelay::answering(move |talk, name| {
        loop {
            let forged = forged_signature(&fresh(&author));
            talk.event(name, &forged.to_json())?;
            thread::sleep(Duration::from_millis(5));
        }
    });
    let drip = RawRelay::answering(|talk, _| {
        // A frame of a thousand bytes, one each second.
        talk.bytes(&[0x81, 126, 3, 0xe8])?;
        loop {
            talk.bytes(b" ")?;
            thread::sleep(Duration::from_secs(1));
        }
    });
    let held: Vec<Event> = notes(authors, &[1], 2_000, now() - 5, 600);
    let withholds = held.iter().map(|event| event.id).collect();
    let withholder = ScriptedRelay::start(
        &held,
        Behaviour {
            withholds,
            ..Behaviour::default()
        },
    );
    let raw = vec![flood, forger, drip];
    let mut urls: Vec<String> = raw.iter().map(RawRelay::url).collect();
    urls.push(withholder.url());
    (withholder, raw, urls)
}
