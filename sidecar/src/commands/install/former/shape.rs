//! The shapes of the parts of a plugin that decide: each reduced line is one letter, and the row of
//! letters must be a known one.

use constellation_shared::verdict::Strangers;

/// What a plugin does with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) strangers: Strangers,
    pub(super) runs_filters: bool,
}

/// The lines of the function that decides about an event, each with its letter. A blank stands for a
/// line that only gives a name to something.
const DECISION: [(&str, char); 20] = [
    ("log", ' '),
    ("localevent_json=$1", ' '),
    ("localcurrent_time=$(date+%s)", ' '),
    ("localevent_id=$(echo$event_json|jq-r.event.id)", 'i'),
    ("localpubkey=$(echo$event_json|jq-r.event.pubkey)", 'p'),
    ("localkind=$(echo$event_json|jq-r.event.kind)", 'k'),
    ("ifis_key_blacklisted$pubkey;then", 'B'),
    ("localuser_type=$(classify_user$pubkey)", 'c'),
    ("if[[$user_type==nobody]];then", 'N'),
    ("if[[-x$MY_PATH/filter/$kind.sh]];then", 'X'),
    ("$MY_PATH/filter/$kind.sh$event_json", 'r'),
    ("localfilter_result=$?", '='),
    ("if[[$filter_result-ne0]];then", 'F'),
    ("if[[$?-ne0]];then", 'f'),
    ("echo{id:$event_id,action:reject}", 'R'),
    ("echo{id:$event_id,action:accept}", 'A'),
    ("return", '.'),
    ("else", 'e'),
    ("fi", '}'),
    ("echo$event_json>&2", ' '),
];

/// How the line that runs a filter may go on: where the output goes.
const OUTPUT: [&str; 4] = [
    "",
    ">/dev/null2>&1",
    ">>~/.zen/tmp/strfry.log",
    ">>~/.zen/tmp/strfry.log2>&1",
];

/// The known shapes of that function. In them, `r=F` and `rf` are `!`: run the filter, and if it
/// failed.
const DECISIONS: [(&str, Decision); 3] = [
    (
        "BR.}cNX!R.}A.eR.}}X!R.}}A",
        Decision {
            strangers: Strangers::Filters,
            runs_filters: true,
        },
    ),
    (
        "BR.}X!R.}}A",
        Decision {
            strangers: Strangers::Accept,
            runs_filters: true,
        },
    ),
    (
        "BR.}A",
        Decision {
            strangers: Strangers::Accept,
            runs_filters: false,
        },
    ),
];

/// What the function does with an event.
///
/// # Errors
/// What is unknown, in words.
pub(super) fn decision(body: &str) -> Result<Decision, String> {
    let mut letters = String::new();
    for line in body.lines() {
        let known = DECISION.iter().find(|(known, letter)| match letter {
            'r' => line
                .strip_prefix(known)
                .is_some_and(|rest| OUTPUT.contains(&rest)),
            _ => line == *known,
        });
        let Some((_, letter)) = known else {
            return Err(format!("what it does about an event is unknown: {line}"));
        };
        letters.push(*letter);
    }
    // The code of the filter must be looked at before anything else is done.
    let letters = letters.replace("r=F", "!").replace("rf", "!");
    let mut named: Vec<char> = letters
        .chars()
        .filter(|letter| matches!(letter, 'i' | 'p' | 'k'))
        .collect();
    named.sort_unstable();
    let begins = letters.find('B').unwrap_or(0);
    let is_named_first = !letters
        .get(begins..)
        .unwrap_or_default()
        .contains(['i', 'p', 'k']);
    let shape: String = letters
        .chars()
        .filter(|letter| !matches!(letter, ' ' | 'i' | 'p' | 'k'))
        .collect();
    let known = DECISIONS.iter().find(|(known, _)| *known == shape);
    match known {
        Some((_, decision)) if named == ['i', 'k', 'p'] && is_named_first => Ok(*decision),
        _ => Err("the order in which it decides about an event is unknown".to_owned()),
    }
}

/// The lines outside of functions that only prepare.
const PREPARES: [&str; 14] = [
    "log",
    "exec>>(tee-a$LOG_FILE)2>&1",
    "MY_PATH=`dirname$0`",
    "MY_PATH=`(cd$MY_PATH&&pwd)`",
    "source$MY_PATH/filter/common.sh",
    "LOG_FILE=$HOME/.zen/tmp/strfry.log",
    "LOG_FILE=$HOME/.zen/strfry/plugin.log",
    "mkdir-p$(dirname$LOG_FILE)",
    "KEY_DIR=$HOME/.zen/game/nostr",
    "BLACKLIST_FILE=$HOME/.zen/strfry/blacklist.txt",
    "AMIS_OF_AMIS_FILE=$HOME/.zen/strfry/amisOfAmis.txt",
    "event_id=$(echo$parsed|jq-r.id)",
    "event_id=$(echo$line|jq-r.event.id)",
    "parsed=$(echo$line|jq-e{type:.type,id:.event.id,kind:.event.kind}2>/dev/null)||{echo{action:reject};continue;}",
];

/// The lines of the loop, each with its letter.
const LOOP: [(&str, char); 15] = [
    ("whileIFS=read-rline;do", 'W'),
    ("if[[-z$line]];then", 'Z'),
    ("continue", 'n'),
    ("ifecho$line|jq-e.>/dev/null2>&1;then", 'J'),
    ("event_type=$(echo$line|jq-r.type)", 't'),
    ("event_type=$(echo$parsed|jq-r.type)", 't'),
    ("event_kind=$(echo$line|jq-r.event.kind)", ' '),
    ("event_kind=$(echo$parsed|jq-r.kind)", ' '),
    ("if[[$event_type==new]];then", 'T'),
    ("process_new_event$line", 'P'),
    ("echo{id:$event_id,action:accept}", 'A'),
    ("echo{action:reject}", 'Q'),
    ("else", 'e'),
    ("fi", '}'),
    ("done</dev/stdin", 'D'),
];

/// The known shape of the loop.
const KNOWN_LOOP: &str = "WZn}JtTPeA}eQ}D";

/// Checks what stands outside of functions.
///
/// # Errors
/// What is unknown, in words.
pub(super) fn main_program(main: &str) -> Result<(), String> {
    let mut letters = String::new();
    for line in main.lines() {
        if PREPARES.contains(&line) {
            continue;
        }
        match LOOP.iter().find(|(known, _)| *known == line) {
            Some((_, ' ')) => {}
            Some((_, letter)) => letters.push(*letter),
            None => return Err(format!("outside of its functions, this is unknown: {line}")),
        }
    }
    if letters == KNOWN_LOOP {
        Ok(())
    } else {
        Err("the order in which it reads events is unknown".to_owned())
    }
}
