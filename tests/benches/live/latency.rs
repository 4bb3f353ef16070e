//! From the `OK` at a peer until the event can be read at the station: ours beside `strfry router`,
//! each with a station of its own, of the same peers, at the same time. How many seconds does it take
//! in the median, and for 99 %?

use std::time::Duration;

use constellation_tests::real_relay::RealRelay;

use super::Bench;
use super::flow::{Flow, delays, quantile};
use super::kept::{Keeper, Kept, peers, wait_until_followed};

pub(crate) const PEERS: usize = 8;

pub(crate) fn measure(bench: &Bench) {
    let count = bench.either(100, 1_000);
    let peers = peers(PEERS);
    let urls: Vec<String> = peers.iter().map(RealRelay::url).collect();
    let keys = bench.keys();
    let ours = Kept::start(Keeper::Ours(&bench.program), &keys, &urls);
    let router = Kept::start(Keeper::Router, &keys, &urls);
    wait_until_followed(&[&ours, &router], &peers, &bench.authors[0]);
    let ports: Vec<u16> = peers.iter().map(RealRelay::port).collect();
    let flow = Flow::start(&ports, &bench.authors, count, Duration::from_millis(150));
    let published = flow.wait();
    let patience = Duration::from_secs(30);
    let mine = delays(&ours.reader, &published, patience);
    let theirs = delays(&router.reader, &published, patience);
    println!("\n| {count} events, {PEERS} peers | ours | `strfry router` | ratio | at most |");
    println!("|---|---|---|---|---|");
    for (name, share, most) in [
        ("median", 0.5, 1.1),
        ("99 %", 0.99, 1.5),
        ("longest", 1.0, 0.0),
    ] {
        let (of, to) = (quantile(&mine, share), quantile(&theirs, share));
        let most = if most > 0.0 {
            most.to_string()
        } else {
            String::new()
        };
        println!(
            "| {name} | {of:.3} s | {to:.3} s | {:.2} | {most} |",
            of / to
        );
    }
    let lacks = |delays: &[f64]| published.len() - delays.len();
    println!("| missing | {} | {} | | 0 |", lacks(&mine), lacks(&theirs));
}
