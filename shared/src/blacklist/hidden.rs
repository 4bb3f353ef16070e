//! Finds keys that the scanner does not see: those in `nprofile1…` (NIP-19), whose length varies,
//! and those with characters inside that no editor shows, as they come with text copied from a web
//! page.

use crate::blacklist::scanner::Scanner;
use crate::key::Pubkey;

/// The beginning of a profile in bech32.
const PROFILE: &[u8] = b"nprofile1";

/// The characters that are not shown, in UTF-8: the soft hyphen, zero width spaces and joiners, the
/// word joiner and the byte order mark.
const INVISIBLE: [&[u8]; 6] = [
    b"\xc2\xad",
    b"\xe2\x80\x8b",
    b"\xe2\x80\x8c",
    b"\xe2\x80\x8d",
    b"\xe2\x81\xa0",
    b"\xef\xbb\xbf",
];

/// The keys of a line that only a second look finds, and perhaps others.
pub(super) fn keys(line: &[u8]) -> Vec<Pubkey> {
    let mut found = Vec::new();
    // A comment also ends at a carriage return.
    for part in line.split(|&byte| byte == b'\r') {
        let text = memchr::memchr(b'#', part).map_or(part, |remark| part.split_at(remark).0);
        let visible = visible(text);
        if let Some(visible) = &visible {
            let mut mentions = Vec::new();
            let mut scanner = Scanner::default();
            scanner.scan(0, visible, &mut mentions);
            scanner.finish(&mut mentions);
            found.extend(mentions.into_iter().map(|mention| mention.key));
        }
        profiles(visible.as_deref().unwrap_or(text), &mut found);
    }
    found
}

/// The text without invisible characters; `None` if it has none.
fn visible(text: &[u8]) -> Option<Vec<u8>> {
    memchr::memchr3(0xc2, 0xe2, 0xef, text)?;
    let mut visible = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, more @ ..] = rest {
        let hidden = INVISIBLE
            .iter()
            .find_map(|hidden| rest.strip_prefix(*hidden));
        if hidden.is_none() {
            visible.push(*first);
        }
        rest = hidden.unwrap_or(more);
    }
    (visible.len() < text.len()).then_some(visible)
}

/// Adds the keys of all profiles in the text.
fn profiles(text: &[u8], found: &mut Vec<Pubkey>) {
    for word in text.split(|byte| !byte.is_ascii_alphanumeric()) {
        let is_profile = |start: &[u8]| start.eq_ignore_ascii_case(PROFILE);
        let Some(start) = word.windows(PROFILE.len()).position(is_profile) else {
            continue;
        };
        let profile = word.get(start..).unwrap_or_default();
        let profile = std::str::from_utf8(profile).unwrap_or_default();
        found.extend(Pubkey::of_nprofile(profile));
    }
}
