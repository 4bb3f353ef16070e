use super::*;
use std::collections::BTreeSet;
use std::io::BufReader;

fn key(byte: u8) -> Pubkey {
    Pubkey::from_bytes([byte; 32])
}

fn read(text: &[u8]) -> (Vec<(u64, Pubkey)>, Faults) {
    let mut keys = Vec::new();
    // Pieces of 7 bytes, so that every line is broken somewhere.
    let reader = BufReader::with_capacity(7, text);
    let faults = read_list(reader, |number, key| keys.push((number, key))).unwrap();
    (keys, faults)
}

#[test]
fn blacklists_as_found_on_stations_are_understood() {
    let upper = key(0xab).to_hex().to_uppercase();
    let text = format!(
        "\u{feff}{}\r\n\r\n  {upper}\t\n# a remark\n{}  # spammer\n\
         [2025-10-30 12:00:00] [INFO] Connected to relay\n{}\n0x{}\n{}",
        key(1),
        key(2),
        key(3).to_bech32(),
        key(4),
        &key(5).to_hex()[..30],
    );
    let (keys, faults) = read(text.as_bytes());
    assert_eq!(
        keys,
        [
            (1, key(1)),
            (3, key(0xab)),
            (5, key(2)),
            (7, key(3)),
            (8, key(4))
        ]
    );
    assert_eq!(faults.count, 2);
    assert_eq!(
        faults.to_string(),
        "2 lines skipped: line 6 \"[2025-10-30 12:00:00] [INFO] Connected t…\", \
         line 9 \"050505050505050505050505050505\""
    );
}

#[test]
fn a_last_line_without_newline_counts() {
    assert_eq!(read(key(9).to_hex().as_bytes()).0, [(1, key(9))]);
}

#[test]
fn a_line_without_end_costs_no_memory_and_hides_no_other() {
    let mut text = vec![b'a'; 1_000_000];
    text.extend_from_slice(format!("\n{}\n#", key(1)).as_bytes());
    text.extend_from_slice(&vec![b'x'; 1_000_000]);
    text.extend_from_slice(format!("\n{}", key(2)).as_bytes());
    let (keys, faults) = read(&text);
    assert_eq!(keys, [(2, key(1)), (4, key(2))]);
    assert_eq!(faults.count, 1);
}

#[test]
fn a_key_at_the_front_of_a_line_that_is_cut_is_no_key() {
    let text = format!(
        "{}{}",
        " ".repeat(LINE_LIMIT + 1 - 64),
        key(1).to_hex() + "ff"
    );
    assert_eq!(read(text.as_bytes()).0, []);
}

#[test]
fn a_line_as_long_as_the_limit_is_whole_and_a_longer_one_is_cut() {
    let line = |length: usize| " ".repeat(length - 64) + &key(1).to_hex();
    assert_eq!(read(line(LINE_LIMIT).as_bytes()).0, [(1, key(1))]);
    for behind in 1..8 {
        // However the cut falls, what lies behind the key is not forgotten.
        let text = line(LINE_LIMIT) + &"f".repeat(behind);
        assert_eq!(read(text.as_bytes()).0, [], "{behind}");
        let text = format!("\u{feff}{text}\n{}", key(2));
        assert_eq!(read(text.as_bytes()).0, [(2, key(2))], "{behind}");
        assert_eq!(read_list(text.as_bytes(), |_, _| ()).unwrap().count, 1);
        let text = line(LINE_LIMIT + behind);
        assert_eq!(read(text.as_bytes()).0, [], "{behind}");
    }
}

/// Says something else before it gives its text.
struct Unsteady(Vec<io::Error>, &'static [u8]);

impl io::Read for Unsteady {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        self.0.pop().map_or_else(|| self.1.read(piece), Err)
    }
}

#[test]
fn an_interruption_is_no_end_and_an_error_is() {
    let read = |error: io::ErrorKind| {
        let errors = vec![error.into(), error.into()];
        let reader = BufReader::new(Unsteady(errors, b"x\n"));
        read_list(reader, |_, _| ()).map(|faults| faults.count)
    };
    assert_eq!(read(io::ErrorKind::Interrupted).unwrap(), 1);
    let error = read(io::ErrorKind::StaleNetworkFileHandle).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StaleNetworkFileHandle);
}

#[test]
fn keys_are_found_by_their_leading_bits() {
    assert!(KeySet::default().is_empty());
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&[0xab, 0xcd]);
    let number = |bits| KeySet::number(Pubkey::from_bytes(bytes), bits);
    assert_eq!(
        [number(0), number(4), number(9), number(16)],
        [0, 0xa, 0x157, 0xabcd]
    );
}

#[test]
fn a_faulty_line_is_shown_by_characters_not_by_bytes() {
    let (_, faults) = read("🦀".repeat(50).as_bytes());
    let shown = "🦀".repeat(SHOWN_CHARS);
    assert_eq!(
        faults.to_string(),
        format!("1 line skipped: line 1 \"{shown}…\"")
    );
}

#[test]
fn only_the_first_faults_are_named_and_none_can_write_to_a_terminal() {
    let (_, faults) = read("\x1b[2J\u{202e}\"x\nb\nc\nd\ne\nf\ng\n".as_bytes());
    assert_eq!(
        faults.to_string(),
        "7 lines skipped: line 1 \"\\u{1b}[2J\\u{202e}'x\", line 2 \"b\", line 3 \"c\", \
         line 4 \"d\", line 5 \"e\", …"
    );
    let (_, faults) = read(b"x");
    assert_eq!(faults.to_string(), "1 line skipped: line 1 \"x\"");
}

#[test]
fn junk_is_read_up_to_the_allowance_and_keys_are_read_to_the_end() {
    let allowance = Allowance {
        base: 1000,
        per_key: 256,
    };
    let read = |text: &str| {
        let mut keys = 0;
        let reader = BufReader::with_capacity(100, text.as_bytes());
        let faults = read_list_within(allowance, reader, |_, _| keys += 1).unwrap();
        (keys, faults)
    };
    let (line, junk) = (format!("{}\n", key(1)), "\n".repeat(5000));
    let (keys, faults) = read(&line.repeat(1000));
    assert_eq!((keys, faults.is_empty()), (1000, true));
    let (keys, faults) = read(&format!("{}{junk}{line}", line.repeat(3)));
    assert_eq!(keys, 3);
    let last = faults.cut_after.unwrap();
    assert!((1500..1800).contains(&last), "{last}");
    let text = format!("too few keys for its length: nothing after line {last} counts");
    assert_eq!(faults.to_string(), text);
    // Remarks and one line without an end cost no more than line breaks.
    for junk in ["# remark\n".repeat(1000), "x".repeat(5000)] {
        let (keys, faults) = read(&format!("{junk}\n{line}"));
        assert_eq!(keys, 0);
        assert!(faults.cut_after.is_some(), "{faults}");
    }
    // What a station's list holds besides keys in the wild: a log line for each.
    let wild = format!("[2025-10-30 12:00:00] [INFO] Connected to a relay\r\n\r\n{line}");
    assert_eq!(read(&wild.repeat(1000)).0, 1000);
}

proptest::proptest! {
    #[test]
    fn a_set_holds_what_was_put_in(
        raw in proptest::collection::vec((0_u8..4, 0_u8..4, proptest::prelude::any::<u8>()), 0..300)
    ) {
        let make = |(a, b, c): (u8, u8, u8)| {
            let mut bytes = [c; 32];
            bytes[0] = a * 85;
            bytes[1] = b;
            Pubkey::from_bytes(bytes)
        };
        let naive: BTreeSet<Pubkey> = raw.iter().copied().map(make).collect();
        let set: KeySet = raw.into_iter().map(make).collect();
        proptest::prop_assert!(naive.iter().eq(set.as_slice()));
        proptest::prop_assert_eq!(set.len(), naive.len());
        proptest::prop_assert_eq!(set.is_empty(), naive.is_empty());
        for a in 0..4 { for b in 0..4 { for c in 0..=255 {
            let key = make((a, b, c));
            proptest::prop_assert_eq!(set.contains(&key), naive.contains(&key));
        }}}
    }

    #[test]
    fn no_text_stops_the_reading(text: Vec<u8>) {
        let lines = text.split(|&b| b == b'\n').count() as u64;
        let (keys, faults) = read(&text);
        proptest::prop_assert!(keys.len() as u64 + faults.count <= lines);
    }
}
