//! `kill -9` at random moments, of ours, of its `strfry import`, of the station's relay and of a peer's
//! relay, while events are published: is anything missing once what was killed runs again?

use std::thread;
use std::time::{Duration, Instant};

use constellation_tests::real_relay::RealRelay;
use constellation_tests::sync_program::children::{children, kill};

use super::Bench;
use super::flow::{Flow, quantile};
use super::kept::{Keeper, Kept, peers, wait_until_followed};
use super::latency::PEERS;

/// After how many kills it is looked whether anything is missing.
const BLOW: usize = 4;

/// How long to wait for what is missing.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn measure(bench: &Bench) {
    let kills: usize = bench.either(12, 200);
    let mut peers = peers(PEERS);
    let urls: Vec<String> = peers.iter().map(RealRelay::url).collect();
    let mut ours = Kept::start(Keeper::Ours(&bench.program), &bench.keys(), &urls);
    wait_until_followed(&[&ours], &peers, &bench.authors[0]);
    let ports: Vec<u16> = peers.iter().map(RealRelay::port).collect();
    let gap = Duration::from_millis(50);
    let flow = Flow::start(&ports, &bench.authors, 1_000_000, gap);
    let mut until_level = Vec::new();
    let mut missing = 0;
    let mut victims = [0; 4];
    for blow in 1..=kills {
        thread::sleep(Duration::from_millis(fastrand::u64(..2_000)));
        let victim = fastrand::usize(..4);
        victims[victim] += 1;
        strike(victim, &mut ours, &mut peers);
        if blow % BLOW > 0 && blow < kills {
            continue;
        }
        let began = Instant::now();
        let published = flow.so_far();
        let mut left = ours.missing(&published);
        while left > 0 && began.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(100));
            left = ours.missing(&published);
        }
        if left > 0 {
            eprintln!(
                "{left} missing after {blow} kills, the last of {victim}\n{}",
                ours.log()
            );
        }
        missing += left;
        until_level.push(began.elapsed().as_secs_f64());
    }
    let published = flow.stop();
    until_level.sort_by(f64::total_cmp);
    let [own, import, relay, peer] = victims;
    println!(
        "\n| {kills} `kill -9`, {} events published | measured | at most |",
        published.len()
    );
    println!("|---|---|---|");
    println!(
        "| ours / its `strfry import` / the station's relay / a peer's relay | {own} / {import} / {relay} / {peer} | |"
    );
    println!(
        "| missing {} s after it ran again | {missing} | 0 |",
        PATIENCE.as_secs()
    );
    println!(
        "| all is here after, median / longest | {:.1} / {:.1} s | |",
        quantile(&until_level, 0.5),
        quantile(&until_level, 1.0)
    );
}

fn strike(victim: usize, ours: &mut Kept<'_>, peers: &mut [RealRelay]) {
    match victim {
        0 => ours.replace_keeper(),
        1 => children(ours.pid()).into_iter().for_each(kill),
        2 => {
            ours.relay.kill();
            ours.relay.start_again();
        }
        _ => {
            let peer = fastrand::usize(..peers.len());
            peers[peer].kill();
            thread::sleep(Duration::from_millis(fastrand::u64(..1_000)));
            peers[peer].start_again();
        }
    }
}
