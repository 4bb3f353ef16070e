//! The policy's request lines, compared with a reading by serde_json.

use std::io::BufReader;

use constellation_policy::answers::{Rules, answer_all};
use constellation_policy::in_force::InForce;
use constellation_policy::lists::{Standing, Stranger, Undecided};
use constellation_policy::message::LONGEST_ANSWER;
use constellation_shared::Pubkey;
use constellation_shared::verdict::Verdict;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Whom the station of this property blocks.
pub const BLOCKED: Pubkey = Pubkey::from_bytes([0x11; 32]);

/// Of whom the lists are unavailable.
const UNKNOWN: Pubkey = Pubkey::from_bytes([0x22; 32]);

/// Room for everything in an answer but the id.
const ANSWER_FRAME: usize = 256;

const NOT_UNDERSTOOD: &str = "error: request not understood";

/// Each line that is not blank gets one answer, in order; each answer is one line of JSON
/// that strfry takes, and says what serde_json's reading of the line says.
///
/// # Panics
/// Where that is not so.
pub fn holds(input: &[u8]) {
    for shadow in [false, true] {
        let mut output = Vec::new();
        let reader = BufReader::with_capacity(1 + input.len() % 97, input);
        let rules = Rules {
            standing,
            in_force: &InForce::without_filters(shadow),
        };
        answer_all(reader, &mut output, &rules).unwrap();
        assert!(output.is_empty() || output.ends_with(b"\n"));
        let mut answers = output.split_inclusive(|&byte| byte == b'\n');
        for line in input.split(|&byte| byte == b'\n') {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let answer = std::str::from_utf8(answers.next().expect("an answer")).unwrap();
            agrees(line, answer, shadow);
        }
        assert_eq!(answers.next(), None, "an answer too many");
    }
}

fn standing(author: &Pubkey) -> Result<Standing, Undecided> {
    let verdict = match *author {
        BLOCKED => Verdict::Block,
        UNKNOWN => return Err(Undecided::Unavailable),
        _ => Verdict::Allow,
    };
    let stranger = Stranger::No;
    Ok(Standing { verdict, stranger })
}

fn agrees(line: &[u8], answer: &str, shadow: bool) {
    assert!(answer.len() < LONGEST_ANSWER);
    let said: serde_json::Value = serde_json::from_str(answer).unwrap();
    assert!(said["id"].is_string());
    let action = said["action"].as_str().unwrap();
    assert!(["accept", "reject", "shadowReject"].contains(&action));
    assert_eq!(said["msg"].is_string(), action == "reject");
    if serde_json::from_slice::<IgnoredAny>(line).is_err() {
        assert_eq!(said["msg"], NOT_UNDERSTOOD);
    }
    if let Some(expected) = expected(line, shadow) {
        assert_eq!(answer, expected);
    }
}

/// The answer to a line that serde_json reads; `None` where it has no opinion: it refuses
/// more than the grammar does, and a name that is escaped is not ours.
fn expected(line: &[u8], shadow: bool) -> Option<String> {
    let Members(members) = serde_json::from_slice(line).ok()?;
    let of = |members: &[(&str, &RawValue)], wanted: &str| -> Vec<String> {
        let named = members.iter().filter(|(name, _)| *name == wanted);
        named.map(|(_, value)| value.get().to_owned()).collect()
    };
    let (mut ids, mut pubkeys) = (Vec::new(), Vec::new());
    let kinds = of(&members, "type");
    for event in of(&members, "event") {
        if event.starts_with('{') {
            let Members(fields) = serde_json::from_str(&event).ok()?;
            ids.extend(of(&fields, "id"));
            pubkeys.extend(of(&fields, "pubkey"));
        }
    }
    if kinds.len() > 1 || ids.len() > 1 || pubkeys.len() > 1 {
        // It is not understood; whose id the answer bears nobody can say.
        return None;
    }
    let text = |json: &String| serde_json::from_str::<String>(json).ok();
    let id = ids.into_iter().find(|id| {
        id.starts_with('"') && id.len() <= LONGEST_ANSWER - ANSWER_FRAME && text(id).is_some()
    });
    let named = id.clone().unwrap_or_else(|| "\"\"".to_owned());
    let reject = |why: &str| {
        Some(format!(
            "{{\"id\":{named},\"action\":\"reject\",\"msg\":\"{why}\"}}\n"
        ))
    };
    let accept = Some(format!("{{\"id\":{named},\"action\":\"accept\"}}\n"));
    match kinds.first() {
        Some(kind) if kind.starts_with('"') => {
            if text(kind).is_none_or(|kind| kind != "new") {
                return accept;
            }
        }
        _ => return reject(NOT_UNDERSTOOD),
    }
    if id.is_none() {
        return reject(NOT_UNDERSTOOD);
    }
    let author = pubkeys.first().and_then(text);
    let Some(author) = author.and_then(|text| super::key::naive(text.as_bytes(), "npub")) else {
        return reject("invalid: pubkey is not 32 bytes of hex");
    };
    match standing(&Pubkey::from_bytes(author)).map(|standing| standing.verdict) {
        Err(_) => reject("error: policy lists unavailable"),
        Ok(Verdict::Block) if shadow => {
            Some(format!("{{\"id\":{named},\"action\":\"shadowReject\"}}\n"))
        }
        Ok(Verdict::Block) => reject("blocked: pubkey is blacklisted"),
        Ok(_) => accept,
    }
}

/// The members of an object as they are spelled, in order, doubled ones too. No object
/// with an escape in a name is one of these.
struct Members<'a>(Vec<(&'a str, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
