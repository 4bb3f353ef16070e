//! Half a million events, from three peers that hold the same into an empty database: is it
//! complete, how much memory does it take, does the time grow faster than the events?

use constellation_tests::author::Author;

use super::measure::{Ours, release_program};
use super::peer::Peer;
use super::recent;

const AUTHORS: u64 = 5000;
const COUNTS: [usize; 3] = [125_000, 250_000, 500_000];

pub(crate) fn measure_many() {
    let authors = Author::many(AUTHORS);
    let ours = Ours {
        program: release_program(),
        keys: authors.iter().map(Author::pubkey).collect(),
    };
    println!(
        "| events of {AUTHORS} pubkeys, three peers | seconds | a million events | peak memory |"
    );
    println!("|---|---|---|---|");
    for count in COUNTS {
        let events = recent(&authors, count);
        let peers = [(); 3].map(|()| Peer::start(&events));
        let urls = peers.each_ref().map(Peer::url).join(",");
        drop(events);
        let station = ours.station(&[]);
        let measured = ours.run(&station, &urls, &[]);
        let stored = station.run_strfry(["scan", "--count", "{}"]);
        let stored = stored.stdout.trim();
        assert_eq!(stored, count.to_string(), "it is not complete");
        println!(
            "| {count} | {:.1} | {:.0} s | {:.0} MB |",
            measured.seconds,
            measured.seconds / count as f64 * 1e6,
            measured.megabytes
        );
    }
}
