//! [`Author`]: somebody who signs events, and forgers who cannot.

use std::thread;
use std::time::SystemTime;

use constellation_shared::{Event, EventId, Pubkey, TagElement, kinds};
use secp256k1::Keypair;
use sha2::{Digest, Sha256};

/// Now, in seconds since 1970, as events are dated.
pub fn now() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since_1970.unwrap().as_secs()
}

/// Somebody with a secret key, the same for the same seed in every run.
#[derive(Clone)]
pub struct Author {
    keypair: Keypair,
    pubkey: Pubkey,
}

impl Author {
    /// The author of this number.
    pub fn new(seed: u64) -> Self {
        let mut secret = [0x11; 32];
        secret[24..].copy_from_slice(&seed.to_be_bytes());
        // Any 32 bytes that begin so low are a scalar of the curve's order.
        let keypair = Keypair::from_secret_bytes(secret).unwrap();
        let (key, _) = keypair.x_only_public_key();
        Self {
            keypair,
            pubkey: Pubkey::from_bytes(key.to_byte_array()),
        }
    }

    /// The authors numbered 0 to `count` - 1.
    pub fn many(count: u64) -> Vec<Self> {
        (0..count).map(Self::new).collect()
    }

    /// Whose events these are.
    pub fn pubkey(&self) -> Pubkey {
        self.pubkey
    }

    /// A genuine event of this content.
    pub fn sign(&self, kind: u16, created_at: u64, tags: &[&[&str]], content: &str) -> Event {
        let tags = tags
            .iter()
            .map(|tag| tag.iter().map(|&text| text.to_owned()).collect())
            .collect();
        self.sign_owned(kind, created_at, tags, content.to_owned())
    }

    /// A text note (kind 1) without tags.
    pub fn note(&self, created_at: u64, content: &str) -> Event {
        self.sign(1, created_at, &[], content)
    }

    /// A deletion (NIP-09) of these events, whoever their author is.
    pub fn delete(&self, created_at: u64, targets: &[EventId]) -> Event {
        let tags = targets
            .iter()
            .map(|id| vec!["e".to_owned(), id.to_hex()])
            .collect();
        self.sign_owned(kinds::DELETION, created_at, tags, String::new())
    }

    fn sign_owned(
        &self,
        kind: u16,
        created_at: u64,
        tags: Vec<Vec<String>>,
        content: String,
    ) -> Event {
        let tags = tags.into_iter();
        let mut event = Event {
            id: EventId::from_bytes([0; 32]),
            pubkey: self.pubkey,
            created_at,
            kind,
            tags: tags
                .map(|tag| tag.into_iter().map(TagElement::from).collect())
                .collect(),
            content,
            sig: [0; 64],
        };
        event.id = event.hash();
        self.sign_again(&mut event);
        event
    }

    /// A text note with these tags, as JSON, which may hold what NIP-01 does not know.
    ///
    /// # Panics
    /// Where they are no tags at all.
    pub fn note_with_tags(&self, created_at: u64, tags: &str) -> Event {
        let mut event = self.note(created_at, "odd tags");
        event.tags = serde_json::from_str(tags).unwrap();
        event.id = event.hash();
        self.sign_again(&mut event);
        event
    }

    /// JSON of a text note with a pubkey in upper case, signed over that: strfry verifies and
    /// serves it, and NIP-01 knows no such event.
    pub fn shouted_note(&self, created_at: u64, content: &str) -> String {
        let mut event = self.note(created_at, content);
        let (lower, upper) = (self.pubkey.to_hex(), self.pubkey.to_hex().to_uppercase());
        let form = event.canonical_form().replacen(&lower, &upper, 1);
        event.id = EventId::from_bytes(Sha256::digest(form).into());
        self.sign_again(&mut event);
        let [from, to] = [lower, upper].map(|key| format!("\"pubkey\":\"{key}\""));
        event.to_json().replacen(&from, &to, 1)
    }

    /// Signs the id that the event has.
    pub fn sign_again(&self, event: &mut Event) {
        event.sig = self
            .keypair
            .sign_schnorr_no_aux_rand(event.id.as_bytes())
            .to_byte_array();
    }
}

/// `count` genuine events of some 600 bytes each, spread over the authors, the kinds and
/// the `span` seconds up to `newest`; several may fall into one second. The same arguments
/// give the same events.
///
/// None replaces or deletes another, so that a strfry holds all of them in the end: each
/// addressable one has a `d` tag of its own, deletions name events that exist nowhere, and
/// of a replaceable kind an author has one.
///
/// # Panics
/// Where there are too few authors for so many events of replaceable kinds alone.
pub fn notes(
    authors: &[Author],
    kinds: &[u16],
    count: usize,
    newest: u64,
    span: u64,
) -> Vec<Event> {
    let mut random = Random(newest ^ span ^ count as u64);
    let mut singles = std::collections::HashSet::new();
    let mut plans = Vec::with_capacity(count);
    let mut turn = 0;
    while plans.len() < count {
        let author = turn % authors.len();
        let kind = kinds[(turn / authors.len() + author) % kinds.len()];
        turn += 1;
        if kinds::is_replaceable(kind) && !singles.insert((author, kind)) {
            assert!(
                kinds.iter().any(|&kind| !kinds::is_replaceable(kind)) || turn < 4 * count,
                "{} authors cannot have {count} events of kinds {kinds:?}: replaceable",
                authors.len()
            );
            continue;
        }
        let created_at = newest - random.below(span + 1);
        let tags = tags_for(kind, plans.len(), &mut random);
        plans.push((author, kind, created_at, tags, text(&mut random)));
    }
    // Signing is most of the work.
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = count.div_ceil(threads).max(1);
    thread::scope(|scope| {
        let signers: Vec<_> = plans
            .chunks(share)
            .map(|plans| {
                scope.spawn(move || -> Vec<Event> {
                    let sign = |(author, kind, created_at, tags, text): &Plan| {
                        authors[*author].sign_owned(*kind, *created_at, tags.clone(), text.clone())
                    };
                    plans.iter().map(sign).collect()
                })
            })
            .collect();
        signers
            .into_iter()
            .flat_map(|signer| signer.join().unwrap())
            .collect()
    })
}

/// Author, kind, time, tags and content of an event to be.
type Plan = (usize, u16, u64, Vec<Vec<String>>, String);

fn tags_for(kind: u16, number: usize, random: &mut Random) -> Vec<Vec<String>> {
    let tag = |name: &str, value: String| vec![name.to_owned(), value];
    let mut tags = Vec::new();
    if kinds::is_addressable(kind) {
        tags.push(tag("d", format!("entry-{number}")));
    }
    if kind == kinds::DELETION || random.below(3) == 0 {
        tags.push(tag("e", random.hex()));
    }
    if random.below(3) == 0 {
        tags.push(tag("p", random.hex()));
    }
    if random.below(4) == 0 {
        tags.push(tag("t", format!("topic-{}", random.below(20))));
    }
    tags
}

fn text(random: &mut Random) -> String {
    const WORDS: [&str; 16] = [
        "relay",
        "forêt",
        "\"quoted\"",
        "a\\b",
        "🌱",
        "station",
        "line\nbreak",
        "captain",
        "ẑen",
        "constellation",
        "tab\there",
        "of",
        "and",
        "the",
        "commune",
        "12D3Koo",
    ];
    let length = 80 + random.below(240);
    let mut text = String::new();
    while (text.len() as u64) < length {
        text.push_str(WORDS[random.below(WORDS.len() as u64) as usize]);
        text.push(' ');
    }
    text
}

/// The same event with a signature that nobody made; its id is still true.
pub fn forged_signature(event: &Event) -> Event {
    let mut forged = event.clone();
    forged.sig[40] ^= 0x55;
    forged
}

/// The same event with another content: its id and signature are those of the genuine one.
pub fn tampered(event: &Event) -> Event {
    let mut tampered = event.clone();
    tampered.content.push_str(" (tampered)");
    tampered
}

/// The event's JSON with `id`, `pubkey` and `sig` in upper-case hex, as strfry would take
/// them from `import --no-verify`.
pub fn upper_case_json(event: &Event) -> String {
    let sig = const_hex::encode(event.sig);
    [event.id.to_hex(), event.pubkey.to_hex(), sig]
        .iter()
        .fold(event.to_json(), |json, hex| {
            json.replacen(
                &format!("\"{hex}\""),
                &format!("\"{}\"", hex.to_uppercase()),
                1,
            )
        })
}

/// SplitMix64: a seeded source of numbers, the same on every machine.
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `end` - 1, all but evenly.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_u64() % end
    }

    /// 64 hex digits.
    pub fn hex(&mut self) -> String {
        (0..4)
            .map(|_| format!("{:016x}", self.next_u64()))
            .collect()
    }
}
