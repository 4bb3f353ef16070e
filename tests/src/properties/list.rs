//! Lists of keys, compared with a reader that holds all of a list in memory.

use std::collections::BTreeSet;
use std::io::BufReader;

use constellation_shared::Pubkey;
use constellation_shared::wot::{KeySet, LINE_CUT, LINE_LIMIT, read_list};

/// The keys are those that the naive reader finds, with their lines; what else is in the
/// list is counted; what is said of it is harmless.
///
/// # Panics
/// Where that is not so.
pub fn holds(list: &[u8]) {
    let mut keys = Vec::new();
    let reader = BufReader::with_capacity(1 + list.len() % 97, list);
    let faults = read_list(reader, |number, key| keys.push((number, *key.as_bytes()))).unwrap();
    let (expected, faulty) = naive(list);
    assert_eq!(keys, expected);
    assert_eq!(faults.count, faulty.len() as u64);
    let named: Vec<u64> = faults.first.iter().map(|(number, _)| *number).collect();
    assert_eq!(named, faulty[..faulty.len().min(5)]);
    assert!(super::is_harmless(&faults.to_string()), "{faults}");

    let naive: BTreeSet<Pubkey> = keys
        .iter()
        .map(|(_, key)| Pubkey::from_bytes(*key))
        .collect();
    let set = KeySet::from_iter(naive.iter().copied());
    assert!(naive.iter().eq(set.as_slice()));
    for (_, key) in keys {
        for bit in [0, 1, 0x80] {
            let mut near = key;
            near[0] ^= bit;
            let near = Pubkey::from_bytes(near);
            assert_eq!(set.contains(&near), naive.contains(&near));
        }
    }
}

type Keys = Vec<(u64, [u8; 32])>;

/// The keys and the numbers of the faulty lines.
fn naive(list: &[u8]) -> (Keys, Vec<u64>) {
    let (mut keys, mut faulty) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(list.split(|&byte| byte == b'\n')) {
        let start = &line[..line.len().min(LINE_CUT)];
        let mark = if number == 1 && line.starts_with(b"\xef\xbb\xbf") {
            3
        } else {
            0
        };
        let too_long = line.len() - mark > LINE_LIMIT;
        let line = &start[mark..];
        let remark = line.iter().position(|&byte| byte == b'#');
        let text = line[..remark.unwrap_or(line.len())].trim_ascii();
        match super::key::naive(text, "npub") {
            Some(key) if remark.is_some() || !too_long => keys.push((number, key)),
            None if text.is_empty() && (remark.is_some() || !too_long) => {}
            _ => faulty.push(number),
        }
    }
    (keys, faulty)
}
