//! Peers that break or abuse the protocol once they are connected.

use std::thread;
use std::time::Duration;

use constellation_tests::RawRelay;
use constellation_tests::relay::raw::frame_head;

use crate::row::{AUTHORS, Fault, all_hold};
use crate::rows;
use constellation_tests::sync_program::recent;

#[test]
fn peers_that_talk_badly_harm_nobody() {
    all_hold(rows![
        endless_forged_events,
        endless_malformed_events,
        endless_notices,
        endless_notices_between_events,
        endless_pings,
        endless_empty_messages,
        an_event_of_100_mb,
        an_event_of_100_mb_in_fragments,
        a_frame_of_1_gb_announced,
        a_frame_of_2_to_the_63_bytes_announced,
        nesting_100_000_deep,
        nesting_100_000_deep_in_an_event,
        one_byte_a_second,
        answers_to_subscriptions_never_opened,
        answers_to_subscriptions_never_opened_without_end,
        eose_never,
        eose_at_once_and_events_after_it,
        eose_for_everything_twice,
        the_same_event_a_million_times,
        closed_as_duplicate,
        closed_for_pow,
        closed_as_blocked,
        closed_as_rate_limited,
        closed_as_invalid,
        closed_as_restricted,
        closed_as_muted,
        closed_with_an_error,
        closed_without_a_reason,
        closed_before_anything_was_asked,
        auth_demanded,
        auth_demanded_and_nothing_else,
        invalid_utf_8,
        binary_frames,
        endless_binary_frames,
        notices_of_1_mb_between_events,
        genuine_events_padded_with_blanks,
        one_event_spelled_in_endless_ways,
        an_event_twice_a_second,
        a_masked_frame,
        an_unknown_opcode,
        a_fragment_of_nothing,
        a_message_of_two_million_elements,
        text_that_is_not_json,
        endless_text_that_is_not_json,
        lone_surrogates,
        strange_messages,
        words_for_the_terminal,
    ]);
}

/// Its followed author's newest note so far, signed.
fn genuine(text: &str) -> constellation_shared::Event {
    AUTHORS[0].note(recent() - 5, text)
}

/// What looks like an event of that author, and is none: each another.
fn malformed(number: u64) -> String {
    let (author, at) = (AUTHORS[0].pubkey(), recent() - 9);
    format!(r#"{{"id":"{number}","pubkey":"{author}","kind":1,"created_at":{at},"tags":[]}}"#)
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

fn endless_notices() -> Fault {
    Fault::of(RawRelay::answering(|talk, _| {
        loop {
            talk.text(r#"["NOTICE","be patient"]"#)?;
        }
    }))
    .fails("no progress for 1 s, and it says: \"be patient")
}

fn endless_notices_between_events() -> Fault {
    let event = genuine("the only one");
    let json = event.to_json();
    Fault::of(RawRelay::answering(move |talk, name| {
        loop {
            talk.event(name, &json)?;
            talk.text(r#"["NOTICE","there is more"]"#)?;
        }
    }))
    .fails("no progress for 1 s")
    .brings(&[event])
}

fn endless_pings() -> Fault {
    Fault::of(RawRelay::answering(|talk, _| {
        loop {
            talk.frame(0x89, b"ping")?;
        }
    }))
    .fails("no progress for 1 s")
}

fn endless_empty_messages() -> Fault {
    Fault::of(RawRelay::answering(|talk, _| {
        loop {
            talk.text("")?;
        }
    }))
    .fails("more than 1000 of its events are forged, unasked, malformed")
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

fn nesting_100_000_deep() -> Fault {
    Fault::of(RawRelay::answering(|talk, name| {
        talk.text("[".repeat(100_000))?;
        talk.text("[".repeat(100_000) + &"]".repeat(100_000))?;
        talk.eose(name)
    }))
    .refuses("malformed", 1)
    .patiently()
}

fn nesting_100_000_deep_in_an_event() -> Fault {
    let event = genuine("with a field that NIP-01 does not know");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let odd = event
        .to_json()
        .replacen('{', &format!("{{\"x\":{deep},"), 1);
    let tags = genuine("tags").to_json();
    let tags = tags.replace("\"tags\":[]", &format!("\"tags\":[[\"t\",{deep}]]"));
    Fault::of(RawRelay::answering(move |talk, name| {
        talk.event(name, &odd)?;
        talk.event(name, &tags)?;
        talk.eose(name)
    }))
    .refuses("malformed", 1)
    .patiently()
    .brings(&[event])
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

fn answers_to_subscriptions_never_opened() -> Fault {
    let json = genuine("unasked").to_json();
    Fault::of(RawRelay::answering(move |talk, name| {
        for other in ["", "999999", "-1", "neg", "ids0", "18446744073709551616"] {
            talk.event(other, &json)?;
            talk.eose(other)?;
            talk.text(format!("[\"CLOSED\",\"{other}\",\"blocked: no\"]"))?;
        }
        talk.eose(name)
    }))
    .refuses("unasked", 6)
}

fn answers_to_subscriptions_never_opened_without_end() -> Fault {
    let json = genuine("unasked").to_json();
    Fault::of(RawRelay::answering(move |talk, _| {
        loop {
            talk.event("nobody's", &json)?;
        }
    }))
    .fails("more than 1000 of its events are forged, unasked")
    .refuses("unasked", 1000)
}

fn eose_never() -> Fault {
    let event = genuine("before the silence");
    let json = event.to_json();
    Fault::of(RawRelay::answering(move |talk, name| {
        talk.event(name, &json)
    }))
    .fails("after 3 attempts: ws://127.0.0.1:")
    .says("no progress for 1 s")
    .brings(&[event])
}

fn eose_at_once_and_events_after_it() -> Fault {
    let event = genuine("published that very moment");
    let json = event.to_json();
    Fault::of(RawRelay::answering(move |talk, name| {
        talk.eose(name)?;
        // It was on its way.
        talk.event(name, &json)
    }))
    .brings(&[event])
}

fn eose_for_everything_twice() -> Fault {
    Fault::of(RawRelay::answering(|talk, name| {
        for _ in 0..2000 {
            talk.eose(name)?;
        }
        Ok(())
    }))
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

fn closing(reason: &'static str) -> Fault {
    Fault::of(RawRelay::answering(move |talk, name| {
        talk.text(format!("[\"CLOSED\",\"{name}\",\"{reason}\"]"))
    }))
}

fn closed_as_duplicate() -> Fault {
    closing("duplicate: asked before").fails("could not be had: 5 authors between ")
}

fn closed_for_pow() -> Fault {
    closing("pow: 28 bits needed").fails("pow: 28 bits needed")
}

fn closed_as_blocked() -> Fault {
    closing("blocked: not for you").fails("blocked: not for you")
}

fn closed_as_rate_limited() -> Fault {
    closing("rate-limited: slow down")
        .fails("after 3 attempts: ws://127.0.0.1:")
        .says("it asks for patience: \"rate-limited: slow down")
}

fn closed_as_invalid() -> Fault {
    closing("invalid: what is that").fails("invalid: what is that")
}

fn closed_as_restricted() -> Fault {
    closing("restricted: members only").fails("only to clients who say who they are (NIP-42)")
}

fn closed_as_muted() -> Fault {
    closing("mute: nobody listens").fails("mute: nobody listens")
}

fn closed_with_an_error() -> Fault {
    closing("error: shutting down")
        .fails("after 3 attempts: ws://127.0.0.1:")
        .says("it asks for patience: \"error: shutting down")
}

fn closed_without_a_reason() -> Fault {
    Fault::of(RawRelay::answering(|talk, name| {
        talk.text(format!("[\"CLOSED\",\"{name}\"]"))
    }))
    .fails("it holds what could not be had")
}

fn closed_before_anything_was_asked() -> Fault {
    Fault::of(RawRelay::talking(|talk| {
        talk.text(r#"["CLOSED","0","blocked: too early"]"#)?;
        loop {
            let name = talk.question()?;
            talk.eose(&name)?;
        }
    }))
    .fails("it holds what could not be had: 5 authors between ")
}

fn auth_demanded() -> Fault {
    Fault::of(RawRelay::answering(|talk, name| {
        talk.text(r#"["AUTH","challenge"]"#)?;
        talk.text(format!("[\"CLOSED\",\"{name}\",\"auth-required: who?\"]"))
    }))
    .fails("only to clients who say who they are (NIP-42)")
}

fn auth_demanded_and_nothing_else() -> Fault {
    Fault::of(RawRelay::answering(|talk, _| {
        loop {
            talk.text(r#"["AUTH","challenge"]"#)?;
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

/// An event of so little use that it is not stored.
fn greeting(number: u64) -> String {
    let content = format!("Hello NOSTR visitor {number}");
    AUTHORS[2].note(recent() - number, &content).to_json()
}

fn notices_of_1_mb_between_events() -> Fault {
    let notice = format!(r#"["NOTICE","{}"]"#, "x".repeat(1_000_000));
    Fault::of(RawRelay::answering(move |talk, name| {
        for number in 0.. {
            talk.event(name, &greeting(number))?;
            for _ in 0..4 {
                talk.text(notice.clone())?;
            }
        }
        Ok(())
    }))
    // How many attempts it takes depends on how fast the machine reads.
    .fails("were of use [wasteful]")
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

fn a_message_of_two_million_elements() -> Fault {
    Fault::of(RawRelay::answering(|talk, name| {
        talk.text(format!("[{}]", vec!["1"; 2_000_000].join(",")))?;
        talk.text(format!(
            "[\"EOSE\",\"{name}\",{}]",
            vec!["1"; 1_900_000].join(",")
        ))
    }))
    .refuses("malformed", 1)
    .patiently()
}

fn text_that_is_not_json() -> Fault {
    let event = genuine("amid nonsense");
    let json = event.to_json();
    Fault::of(RawRelay::answering(move |talk, name| {
        for text in [
            "",
            "hello",
            "{",
            "[]",
            "[7]",
            "null",
            "[\"EVENT\"]",
            "\u{0}",
        ] {
            talk.text(text)?;
        }
        talk.event(name, &json)?;
        talk.eose(name)
    }))
    .refuses("malformed", 5)
    .brings(&[event])
}

fn endless_text_that_is_not_json() -> Fault {
    Fault::of(RawRelay::answering(|talk, _| {
        loop {
            talk.text("<html>Welcome to nginx!</html>")?;
        }
    }))
    .fails("more than 1000 of its events are forged, unasked, malformed")
}

fn lone_surrogates() -> Fault {
    let odd = genuine("x").to_json().replace("\"x\"", r#""\ud800""#);
    Fault::of(RawRelay::answering(move |talk, name| {
        talk.event(name, &odd)?;
        talk.text(r#"["EVENT","\udfff",{}]"#)?;
        talk.text(r#"["NOTICE","\ud800\ud800"]"#)?;
        talk.text(r#"["\ud800","0"]"#)?;
        talk.eose(name)
    }))
    .refuses("malformed", 2)
}

fn strange_messages() -> Fault {
    Fault::of(RawRelay::answering(|talk, name| {
        for text in [
            r#"["EVENT",7,{}]"#,
            r#"["EVENT",{},[]]"#,
            r#"["EOSE",7]"#,
            r#"["EOSE"]"#,
            r#"["CLOSED",null,null]"#,
            r#"["NOTICE",1e400]"#,
            r#"["OK","x",true,""]"#,
            r#"["COUNT","0",{"count":-1}]"#,
            r#"["NEG-MSG","neg","61"]"#,
            r#"["NEG-ERR","neg","blocked: x"]"#,
            r#"["AUTH",["a"]]"#,
            r#"[[["EVENT"]]]"#,
        ] {
            talk.text(text)?;
        }
        talk.eose(name)
    }))
}

fn words_for_the_terminal() -> Fault {
    Fault::of(RawRelay::answering(|talk, name| {
        talk.text(format!(
            "[\"CLOSED\",\"{name}\",\"blocked: \\u001b[2J\\u0007\\n[2026-01-01 00:00:00] [INFO] x\"]"
        ))
    }))
    .fails("\"blocked: [2J [2026-01-01 00:00:00] [·INFO] x")
}
