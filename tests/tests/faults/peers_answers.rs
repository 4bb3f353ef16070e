//! Peers that answer subscriptions in other ways than NIP-01 has it: EOSE, CLOSED, AUTH.

use constellation_tests::RawRelay;

use crate::row::{Fault, all_hold, genuine};
use crate::rows;

#[test]
fn subscriptions_that_are_answered_wrongly_harm_nobody() {
    all_hold(rows![
        answers_to_subscriptions_never_opened,
        answers_to_subscriptions_never_opened_without_end,
        eose_never,
        eose_at_once_and_events_after_it,
        eose_for_everything_twice,
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
    ]);
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

fn closing(reason: &'static str) -> Fault {
    Fault::of(RawRelay::answering(move |talk, name| {
        talk.text(format!("[\"CLOSED\",\"{name}\",\"{reason}\"]"))
    }))
}

fn closed_as_duplicate() -> Fault {
    closing("duplicate: asked before")
        .fails("it refuses every question: \"duplicate: asked before\"")
}

fn closed_for_pow() -> Fault {
    closing("pow: 28 bits needed").fails("pow: 28 bits needed")
}

fn closed_as_blocked() -> Fault {
    closing("blocked: not for you").fails("blocked: not for you")
}

fn closed_as_rate_limited() -> Fault {
    closing("rate-limited: slow down")
        .fails("after 6 attempts: ws://127.0.0.1:")
        .says("it asks for patience: \"rate-limited: slow down")
}

fn closed_as_invalid() -> Fault {
    closing("invalid: what is that").fails("invalid: what is that")
}

fn closed_as_restricted() -> Fault {
    closing("restricted: members only")
        .says("it answers only clients who say who they are (NIP-42)")
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
    .fails("it refuses every question: \"\"")
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
    .says("it answers only clients who say who they are (NIP-42)")
}

fn auth_demanded_and_nothing_else() -> Fault {
    Fault::of(RawRelay::answering(|talk, _| {
        loop {
            talk.text(r#"["AUTH","challenge"]"#)?;
        }
    }))
    .fails("no progress for 1 s")
}
