//! Peers whose messages are no messages of the protocol, or are about nothing.

use constellation_tests::RawRelay;

use crate::row::{Fault, all_hold, genuine, greeting};
use crate::rows;

#[test]
fn messages_that_make_no_sense_harm_nobody() {
    all_hold(rows![
        endless_notices,
        endless_notices_between_events,
        endless_empty_messages,
        nesting_100_000_deep,
        nesting_100_000_deep_in_an_event,
        notices_of_1_mb_between_events,
        a_message_of_two_million_elements,
        text_that_is_not_json,
        endless_text_that_is_not_json,
        lone_surrogates,
        strange_messages,
        words_for_the_terminal,
    ]);
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

fn endless_empty_messages() -> Fault {
    Fault::of(RawRelay::answering(|talk, _| {
        loop {
            talk.text("")?;
        }
    }))
    .fails("more than 1000 of its events are forged, unasked, malformed")
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
