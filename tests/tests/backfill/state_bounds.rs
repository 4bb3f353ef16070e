//! What others choose the length of ends neither in our memory nor in our files.

use std::fs;

use constellation_shared::EventId;
use constellation_sync::testing::state_file::{ALL, REFUSED};
use constellation_tests::author::{forged_signature, notes};
use constellation_tests::sync_program::{
    PLAIN_KINDS, command, expect_logged, expect_stored, follow, paged, recent, saying, sync,
    sync_all,
};
use constellation_tests::{Author, Behaviour, ScriptedRelay, StationDir, station};

/// What a run may have of its own, in bytes.
const MEMORY: u64 = 96 * 1024 * 1024;

fn expect_bounded(station: &StationDir) {
    for file in ALL {
        let path = station.strfry_dir().join(file.name);
        let length = fs::metadata(path).map_or(0, |metadata| metadata.len());
        assert!(length <= file.most_bytes, "{}: {length}", file.name);
    }
}

/// A line of what an earlier run refused.
fn line(byte: u8) -> String {
    format!("{} {} *\n", recent(), EventId::from_bytes([byte; 32]))
}

#[test]
fn an_address_of_65_000_characters_and_forged_events_cost_neither_memory_nor_what_is_remembered() {
    let author = Author::new(1);
    let events = notes(
        std::slice::from_ref(&author),
        &PLAIN_KINDS,
        50,
        recent(),
        3000,
    );
    let forged: Vec<String> = notes(
        std::slice::from_ref(&author),
        &PLAIN_KINDS,
        900,
        recent(),
        3000,
    )
    .iter()
    .map(|event| forged_signature(event).to_json())
    .collect();
    let station = station!();
    let honest = ScriptedRelay::start(&events, paged(500));
    follow(&station, std::slice::from_ref(&author), &[&honest.url()]);
    let liars: Vec<ScriptedRelay> = (0..6)
        .map(|_| ScriptedRelay::start(&[], saying(forged.clone())))
        .collect();
    for (number, liar) in liars.iter().enumerate() {
        let url = format!("{}/{}", liar.url(), "x".repeat(65_000));
        station.peer(&format!("12D3KooLiar{number}"), &url);
    }
    station.write(
        REFUSED_PATH,
        format!("constellation-refused 1\n{}", line(7)),
    );
    let output = sync(&station, &[]);
    output.expect_code(0);
    expect_logged(&station, "its myRELAY is longer than 500 characters");
    expect_stored(&station, &events);
    expect_bounded(&station);
    assert!(
        station
            .read(REFUSED_PATH)
            .contains(&EventId::from_bytes([7; 32]).to_hex())
    );
}

const REFUSED_PATH: &str = "strfry/constellation-refused.txt";

#[test]
fn state_files_far_beyond_their_bounds_cost_no_memory_and_lose_nothing_that_is_newest() {
    let author = Author::new(1);
    let events = notes(
        std::slice::from_ref(&author),
        &PLAIN_KINDS,
        50,
        recent(),
        3000,
    );
    let relay = ScriptedRelay::start(&events, paged(500));
    let station = station!();
    follow(&station, std::slice::from_ref(&author), &[&relay.url()]);
    let mut refused = format!("constellation-refused 1\n{}", line(7));
    let address = "x".repeat(65_000);
    while (refused.len() as u64) < 3 * REFUSED.most_bytes {
        let id = EventId::from_bytes([8; 32]);
        refused.push_str(&format!("{} {id} ws://{address}\n", recent() - 9));
    }
    station.write(REFUSED_PATH, refused);
    for name in ["constellation-peers.json", "constellation-runs.json"] {
        let file = fs::File::create(station.strfry_dir().join(name)).unwrap();
        file.set_len(1 << 34).unwrap();
    }
    let running = command(&station, &[]).spawn();
    running.limit_memory(MEMORY);
    running.wait().expect_code(0);
    expect_stored(&station, &events);
    expect_logged(&station, "constellation-peers.json is larger than 16 MiB");
    expect_logged(&station, "constellation-refused.txt is larger than 16 MiB");
    expect_bounded(&station);
    assert!(
        station
            .read(REFUSED_PATH)
            .contains(&EventId::from_bytes([7; 32]).to_hex())
    );
    sync_all(&station, &[]);
}

/// A run that waited for somebody to read would hold the lock for ever.
#[test]
fn a_fifo_in_the_place_of_a_file_of_ours_holds_nobody() {
    let (authors, events) = (
        Author::many(3),
        notes(&Author::many(3), &[1], 20, recent(), 300),
    );
    for name in [
        "backfill.log",
        "backfill.error.log",
        "backfill.lock",
        "runs.json",
    ] {
        let station = station!();
        let relay = ScriptedRelay::start(&events, Behaviour::default());
        follow(&station, &authors, &[&relay.url()]);
        let path = station.strfry_dir().join(format!("constellation-{name}"));
        let fifo = rustix::fs::FileType::Fifo;
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, mode, 0).unwrap();
        // It ends, and says why where it could do nothing.
        let output = sync(&station, &[]);
        let said = output.stderr.contains(name);
        assert!(said || station.stored_ids().len() == 20, "{output}");
    }
}
