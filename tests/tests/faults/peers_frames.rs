//! Peers whose WebSocket frames are broken, huge or endless.

use std::thread;
use std::time::Duration;

use constellation_tests::RawRelay;
use constellation_tests::relay::raw::frame_head;

use crate::row::{Fault, all_hold, genuine};
use crate::rows;

#[test]
fn broken_and_huge_frames_harm_nobody() {
    all_hold(rows![
        endless_pings,
        an_event_of_100_mb,
        an_event_of_100_mb_in_fragments,
        a_frame_of_1_gb_announced,
        a_frame_of_2_to_the_63_bytes_announced,
        one_byte_a_second,
        invalid_utf_8,
        binary_frames,
        endless_binary_frames,
        a_masked_frame,
        an_unknown_opcode,
        a_fragment_of_nothing,
    ]);
}

fn endless_pings() -> Fault {
    Fault::of(RawRelay::answering(|talk, _| {
        loop {
            talk.frame(0x89, b"ping")?;
        }
    }))
    .fails("no progress for 1 s")
}

fn an_event_of_100_mb() -> Fault {
    Fault::of(RawRelay::answering(|talk, _| {
        talk.bytes(&frame_head(0x81, 100_000_000))?;
        for _ in 0..100 {
            talk.bytes(&[b'x'; 1_000_000])?;
        }
        talk.fall_silent()
    }))
    .fails("after 3 attempts")
    .says("Message too long")
}

fn an_event_of_100_mb_in_fragments() -> Fault {
    Fault::of(RawRelay::answering(|talk, _| {
        let piece = vec![b'x'; 1_000_000];
        talk.frame(0x01, &piece)?;
        for _ in 0..99 {
            talk.frame(0x00, &piece)?;
        }
        talk.fall_silent()
    }))
    .fails("after 3 attempts")
    .says("Message too long")
}

fn a_frame_of_1_gb_announced() -> Fault {
    Fault::of(RawRelay::answering(|talk, _| {
        talk.bytes(&frame_head(0x81, 1 << 30))?;
        talk.fall_silent()
    }))
    .fails("after 3 attempts")
    .says("Message too long")
}

fn a_frame_of_2_to_the_63_bytes_announced() -> Fault {
    Fault::of(RawRelay::answering(|talk, _| {
        talk.bytes(&frame_head(0x81, 1 << 63))?;
        talk.fall_silent()
    }))
    .fails("after 3 attempts")
}

fn one_byte_a_second() -> Fault {
    Fault::of(RawRelay::answering(|talk, _| {
        talk.bytes(&frame_head(0x81, 1000))?;
        loop {
            talk.bytes(b"[")?;
            thread::sleep(Duration::from_secs(1));
        }
    }))
    .fails("no progress for 1 s")
}

fn invalid_utf_8() -> Fault {
    Fault::of(RawRelay::answering(|talk, _| {
        talk.frame(0x81, b"[\"NOTICE\",\"\xff\xfe\"]")?;
        talk.fall_silent()
    }))
    .fails("after 3 attempts: ws://127.0.0.1:")
    .says("the connection broke: UTF-8 encoding error")
}

fn binary_frames() -> Fault {
    let json = genuine("in binary").to_json();
    Fault::of(RawRelay::answering(move |talk, name| {
        talk.frame(0x82, format!("[\"EVENT\",\"{name}\",{json}]").as_bytes())?;
        talk.eose(name)
    }))
}

fn endless_binary_frames() -> Fault {
    Fault::of(RawRelay::answering(|talk, _| {
        loop {
            talk.frame(0x82, &[0; 1000])?;
        }
    }))
    // A slow machine is not sent so much in a second that it would be too much.
    .fails("WebSocket backfill failed")
}

fn a_masked_frame() -> Fault {
    Fault::of(RawRelay::answering(|talk, _| {
        talk.bytes(&[0x81, 0x82, 1, 2, 3, 4, 5, 6])?;
        talk.fall_silent()
    }))
    .fails("the connection broke: WebSocket protocol error")
}

fn an_unknown_opcode() -> Fault {
    Fault::of(RawRelay::answering(|talk, _| {
        talk.frame(0xf3, b"x")?;
        talk.fall_silent()
    }))
    .fails("the connection broke: WebSocket protocol error")
}

fn a_fragment_of_nothing() -> Fault {
    Fault::of(RawRelay::answering(|talk, _| {
        talk.frame(0x80, b"the end of what?")?;
        talk.fall_silent()
    }))
    .fails("the connection broke: WebSocket protocol error")
}
