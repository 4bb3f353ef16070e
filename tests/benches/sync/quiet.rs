//! A quiet hour: nothing is new, and 109 events of the peer are refused for good. What does the run
//! cost in bytes in both directions, in time, and in the peer's processor time, for how many keys
//! that are followed? The peer is a real strfry with 200,000 events, 50,000 of them in the time that
//! is asked for; then with as many of authors whom nobody follows, then with ten times as many.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use constellation_shared::{Event, Pubkey, kinds};
use constellation_tests::StationDir;
use constellation_tests::author::{Author, Random, notes};
use constellation_tests::real_relay::RealRelay;
use constellation_tests::sync_program::release_program;

use super::measure::{Ours, Row};
use super::now;

const IN_WINDOW: usize = 50_000;
const BEFORE: usize = 150_000;
const REFUSED: usize = 109;
const NEW: usize = 100;
const KEYS: [usize; 4] = [100, 1_000, 10_000, 100_000];
const RUNS: usize = 5;
const DAY: u64 = 86_400;

/// How many events of others a peer holds in the window, for each of ours, and the most kilobytes
/// that a quiet run may cost then; without a bound, naming the authors is one.
const OTHERS: [(usize, Option<f64>); 3] = [(0, Some(10.0)), (1, Some(20.0)), (10, None)];

pub(crate) fn measure_quiet() {
    assert!(RealRelay::is_possible(), "STRFRY names no strfry");
    let authors = Author::many(100);
    let now = now();
    let mut ours = of_the_table(&authors, IN_WINDOW, now - 60, 80_000);
    ours.extend(of_the_table(&authors, BEFORE, now - 2 * DAY, 60 * DAY));
    let refused: Vec<Event> = (0..REFUSED as u64)
        .map(|number| {
            authors[0].note(
                now - 700 * number - 60,
                &format!("Hello NOSTR visitor {number}"),
            )
        })
        .collect();
    let new: Vec<Event> = (0..NEW as u64)
        .map(|number| authors[1].note(now - number, &format!("what is new {number}")))
        .collect();
    let station = StationDir::new(env!("CARGO_BIN_EXE_demo"));
    ours.chunks(50_000)
        .for_each(|events| station.import(events));
    println!("| events of others | keys | seconds | bytes both ways | peer's processor | ways |");
    println!("|---|---|---|---|---|---|");
    for (others, most) in OTHERS {
        let mut held = [&ours[..], &refused].concat();
        let strangers: Vec<Author> = (0..100)
            .map(|number| Author::new(90_000 + number))
            .collect();
        held.extend(of_the_table(
            &strangers,
            others * IN_WINDOW,
            now - 60,
            80_000,
        ));
        let relay = RealRelay::start(env!("CARGO_BIN_EXE_demo"), "", &held);
        drop(held);
        for keys in KEYS {
            measure_keys(&station, &authors, keys, (others, most), &relay);
        }
        if others == 0 {
            measure_new(&station, &relay, &new);
        }
    }
}

/// Events of all kinds that every relay serves, and that do not replace each other.
pub(crate) fn of_the_table(authors: &[Author], count: usize, newest: u64, span: u64) -> Vec<Event> {
    let all = kinds::Set::Seed.numbers();
    let plain: Vec<u16> = all
        .into_iter()
        .filter(|kind| *kind != 4 && !kinds::is_replaceable(*kind) && *kind != kinds::DELETION)
        .collect();
    notes(authors, &plain, count, newest, span)
}

fn ours(authors: &[Author], keys: usize) -> Ours {
    let mut random = Random(keys as u64);
    let mut followed: Vec<Pubkey> = authors.iter().map(Author::pubkey).collect();
    while followed.len() < keys {
        let mut bytes = [0; 32];
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&random.next_u64().to_be_bytes());
        }
        followed.push(Pubkey::from_bytes(bytes));
    }
    Ours {
        program: release_program(),
        keys: followed,
    }
}

fn measure_keys(
    station: &StationDir,
    authors: &[Author],
    keys: usize,
    (others, most): (usize, Option<f64>),
    relay: &RealRelay,
) {
    let ours = ours(authors, keys);
    station.friends(&ours.keys);
    for name in ["peers.json", "peer-sets", "refused.txt", "coverage.json"] {
        let _ = std::fs::remove_file(station.strfry_dir().join(format!("constellation-{name}")));
    }
    let proxy = Proxy::start(relay.port());
    let url = proxy.url();
    // Everything is had; then it is tried without names, and learned what others wrote.
    let mut before = 0.0;
    for _ in 0..5 {
        before = ours.run(station, &url, &[]).bytes;
    }
    let mut row = Row::default();
    let begin = relay.processor_ms();
    proxy.bytes.store(0, Ordering::SeqCst);
    let mut by_authors = false;
    for _ in 0..RUNS {
        let run = ours.run(station, &url, &[]);
        by_authors = run.by_authors;
        row.add(run);
    }
    let processor = (relay.processor_ms() - begin) / RUNS as f64;
    let kilobytes = proxy.bytes.load(Ordering::SeqCst) as f64 / RUNS as f64 / 1000.0;
    let seconds = row.seconds().unwrap_or_default();
    println!(
        "| {others} × | {keys} | {seconds:.2} | {kilobytes:.1} kB | {processor:.0} ms | {} |",
        if by_authors { "by authors" } else { "by kinds" }
    );
    if let Some(most) = most
        && kilobytes > most
    {
        println!("more than {most} kB; the run before: {before} bytes");
    }
}

/// What 100 new events cost, beyond their own bytes.
fn measure_new(station: &StationDir, relay: &RealRelay, new: &[Event]) {
    let ours = Ours {
        program: release_program(),
        keys: Vec::new(),
    };
    let proxy = Proxy::start(relay.port());
    ours.run(station, &proxy.url(), &[]);
    ours.run(station, &proxy.url(), &[]);
    ours.run(station, &proxy.url(), &[]);
    relay.add(new);
    proxy.bytes.store(0, Ordering::SeqCst);
    ours.run(station, &proxy.url(), &[]);
    let bytes = proxy.bytes.load(Ordering::SeqCst) as f64;
    let own: usize = new.iter().map(|event| event.to_json().len()).sum();
    println!(
        "\n{NEW} new events: {:.1} kB, their own {:.1} kB; at most {:.1} kB",
        bytes / 1000.0,
        own as f64 / 1000.0,
        (own as f64 * 1.2 + 20_000.0) / 1000.0
    );
}

/// Hands on what two sides say to each other, and counts the bytes.
pub(crate) struct Proxy {
    port: u16,
    pub(crate) bytes: Arc<AtomicU64>,
}

impl Proxy {
    pub(crate) fn start(to: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let bytes = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&bytes);
        // Ends with the bench.
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let far = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).unwrap();
                for stream in [&near, &far] {
                    stream.set_nodelay(true).unwrap();
                }
                hand_on(
                    near.try_clone().unwrap(),
                    far.try_clone().unwrap(),
                    &counter,
                );
                hand_on(far, near, &counter);
            }
        });
        Self { port, bytes }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }
}

fn hand_on(mut from: TcpStream, mut to: TcpStream, counter: &Arc<AtomicU64>) {
    let counter = Arc::clone(counter);
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            counter.fetch_add(length as u64, Ordering::SeqCst);
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}
