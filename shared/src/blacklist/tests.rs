//! Keys are found whatever surrounds them, and leave without anything else.

use std::io::BufReader;

use proptest::prelude::*;

use super::*;

fn key(byte: u8) -> Pubkey {
    Pubkey::from_bytes([byte; 32])
}

/// The keys with their lines, read in pieces of this many bytes.
fn read_in(piece: usize, text: &[u8]) -> (Vec<(u64, Pubkey)>, Faults) {
    let mut keys = Vec::new();
    let reader = BufReader::with_capacity(piece, text);
    let faults = read(reader, |line, key| keys.push((line, key))).unwrap();
    (keys, faults)
}

fn keys(text: &[u8]) -> Vec<Pubkey> {
    let (found, _) = read_in(7, text);
    found.into_iter().map(|(_, key)| key).collect()
}

/// The list without these keys.
fn without(text: &[u8], keys: &[Pubkey]) -> Vec<u8> {
    let keys = keys.iter().copied().collect();
    let cuts = Cuts::of(BufReader::with_capacity(7, text), &keys).unwrap();
    let mut left = Vec::new();
    let mut from = 0;
    for cut in cuts.cuts {
        let place = cut.place.start as usize..cut.place.end as usize;
        assert!(from <= place.start && place.start < place.end && place.end <= text.len());
        left.extend_from_slice(&text[from..place.start]);
        left.extend_from_slice(if cut.leaves_blank { b" " } else { b"" });
        from = place.end;
    }
    left.extend_from_slice(&text[from..]);
    left
}

fn wide(text: &str, little: bool) -> Vec<u8> {
    let units = text.encode_utf16();
    units
        .flat_map(|unit| {
            if little {
                unit.to_le_bytes()
            } else {
                unit.to_be_bytes()
            }
        })
        .collect()
}

#[test]
fn a_key_counts_whatever_surrounds_it() {
    let [one, two] = [key(0x1f), key(0x2e)];
    let nbsp = '\u{a0}';
    for (text, expected) in [
        (format!("{one} spam"), vec![one]),
        (format!("{one} {two}"), vec![one, two]),
        (format!("{one}{two}"), vec![one, two]),
        (
            format!("{one}{two}{one}{two}{one}"),
            vec![one, two, one, two, one],
        ),
        (format!("\0\0\0{one}"), vec![one]),
        (format!("spamme\0{one}\0"), vec![one]),
        (format!("a\0{one}"), vec![one]),
        (format!("{}\0\0\0{two}", &one.to_hex()[..30]), vec![two]),
        (format!("{one}\r{two}\r"), vec![one, two]),
        (format!("# remark\r{one}"), vec![one]),
        (format!("# lost in a crash\0\0\0\0{one}"), vec![one]),
        (format!("{nbsp}{one}{nbsp}"), vec![one]),
        (format!("\"{one}\",'{two}';"), vec![one, two]),
        (format!("\u{feff}{one}\n\u{feff}{two}"), vec![one, two]),
        (format!("{{\"pubkey\":\"{one}\"}}"), vec![one]),
        (
            format!("[2025-10-30] [INFO] blocked {one}\u{2026}"),
            vec![one],
        ),
        (format!("0x{one} 0X{two}"), vec![one, two]),
        (format!("{one}0x{two}"), vec![one, two]),
        (format!("{one}0x{two}0X{one}"), vec![one, two, one]),
        (format!("{one}x{two}"), vec![one, two]),
        (format!("\0{one}\0{two}\0"), vec![one, two]),
        (one.to_hex().to_uppercase() + &two.to_hex(), vec![one, two]),
        (format!("nostr:{}", one.to_bech32()), vec![one]),
        (
            format!("{}{}", one.to_bech32(), two.to_bech32()),
            vec![one, two],
        ),
        (
            format!("{}{two}{one}", one.to_bech32()),
            vec![one, two, one],
        ),
        (format!("{one}{}", two.to_bech32()), vec![one, two]),
        (
            format!("npub1npu{}spam", one.to_bech32().to_uppercase()),
            vec![one],
        ),
        (format!("{one}#{two}"), vec![one]),
        (format!("#{one}\n#{two} {one}\r\n"), vec![]),
        (format!("{one}f"), vec![]),
        (format!("f{one}{two}"), vec![]),
        (one.to_hex()[1..].to_owned(), vec![]),
        (one.to_bech32().replace("npub1", "nsec1"), vec![]),
        (format!("{:.62}", one.to_bech32()), vec![]),
    ] {
        assert_eq!(keys(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn a_list_in_utf_16_is_read_and_a_key_leaves_it_whole() {
    let (one, two, three) = (key(0xf1), key(0x2e), key(0x3d));
    let text = format!(
        "\u{feff}{one}\r\n{} \u{e9}\r\n{three}{one}\r\n",
        two.to_bech32()
    );
    let left = format!("\u{feff}\r\n{} \u{e9}\r\n{three}\r\n", two.to_bech32());
    for little in [true, false] {
        let spelled = wide(&text, little);
        assert_eq!(keys(&spelled), [one, two, three, one]);
        assert_eq!(without(&spelled, &[one]), wide(&left, little), "{little}");
        let mut mixed = spelled.clone();
        mixed.extend_from_slice(format!("{two}\n").as_bytes());
        assert_eq!(keys(&mixed), [one, two, three, one, two]);
    }
    // Without a line break at its end, and something in ASCII behind it.
    let mut text = wide(&one.to_hex(), true);
    text.extend_from_slice(two.to_hex().as_bytes());
    assert_eq!(keys(&text), [one, two]);
}

/// `nprofile1…` for this key with the relay `wss://a`.
fn profile(key: Pubkey) -> String {
    let mut data = vec![1, 7];
    data.extend(b"wss://a");
    data.extend([0, 32]);
    data.extend(key.as_bytes());
    let prefix = bech32::Hrp::parse("nprofile").unwrap();
    bech32::encode::<bech32::Bech32>(prefix, &data).unwrap()
}

#[test]
fn a_profile_counts_wherever_it_stands_and_leaves_with_its_line() {
    let [one, two] = [key(0x1f), key(0x2e)];
    let (profiled, other) = (profile(one), profile(two));
    for text in [
        profiled.clone(),
        format!("nostr:{profiled}, spam\r\n"),
        format!("{}\n", profiled.to_uppercase()),
        format!("spam{profiled} # spam\n"),
    ] {
        assert_eq!(keys(text.as_bytes()), [one], "{text}");
        assert_eq!(without(text.as_bytes(), &[one]), b"", "{text}");
    }
    for text in [
        format!("# {profiled}\n"),
        profiled.replace("nprofile1", "nprofile"),
        profiled.replace('q', "p"),
    ] {
        assert_eq!(keys(text.as_bytes()), [], "{text}");
    }
    let both = format!("{profiled} {other}\n");
    assert_eq!(keys(both.as_bytes()), [one, two]);
    // Where exactly it stands is not known: it leaves no line to another key, nor takes it along.
    assert_eq!(without(both.as_bytes(), &[one]), both.as_bytes());
    assert_eq!(without(both.as_bytes(), &[one, two]), b"");
    let mixed = format!("{two} {profiled}\n");
    assert_eq!(keys(mixed.as_bytes()), [two, one]);
    let left = without(mixed.as_bytes(), &[two]);
    assert_eq!(keys(&left), [one]);
}

#[test]
fn a_key_counts_with_characters_inside_that_nobody_sees() {
    let one = key(0x1f);
    let (first, second) = (&one.to_hex()[..20], &one.to_hex()[20..]);
    let npub = one.to_bech32();
    for invisible in [
        "\u{200b}", "\u{200c}", "\u{200d}", "\u{2060}", "\u{feff}", "\u{ad}",
    ] {
        for text in [
            format!("{first}{invisible}{second}\n"),
            format!("spam {first}{invisible}{invisible}{second}, spam\r\n"),
            format!(" {invisible}{one}{invisible}\n"),
            format!("{}{invisible}{}", &npub[..30], &npub[30..]),
        ] {
            assert_eq!(keys(text.as_bytes()), [one], "{text:?}");
            assert_eq!(without(text.as_bytes(), &[one]), b"", "{text:?}");
        }
        // With its end, it is no longer a key; without it, it is one.
        let text = format!("{one}{invisible}abc\n");
        assert_eq!(keys(text.as_bytes()), [one], "{text:?}");
    }
    // These are seen.
    for shown in ["\u{a0}", "\u{2010}", "é"] {
        let text = format!("{first}{shown}{second}\n");
        assert_eq!(keys(text.as_bytes()), [], "{text:?}");
    }
}

#[test]
fn what_is_unusual_is_named_with_what_was_understood() {
    let text = format!(
        "{}\n{}\nspam {}\n# remark\n\nspam\n{}{}{}{}\n",
        key(1),
        key(2).to_bech32(),
        key(3),
        key(4),
        key(5),
        key(6),
        key(7)
    );
    let (_, faults) = read_in(7, text.as_bytes());
    assert!(!faults.is_empty());
    assert_eq!(
        faults.to_string(),
        "2 lines are unusual, but the keys count: line 3 (1 key 03030303...03030303), \
         line 7 (4 keys 04040404...04040404 05050505...05050505 06060606...06060606 …); \
         1 line skipped: line 6 \"spam\""
    );
    let many = format!("spam {}\n", key(1)).repeat(7);
    let said = read_in(7, many.as_bytes()).1.to_string();
    assert!(
        said.ends_with("line 5 (1 key 01010101...01010101), …"),
        "{said}"
    );
    let usual = format!("\u{feff}0x{}\r\n {} # spam", key(1), key(2).to_bech32());
    assert!(read_in(7, usual.as_bytes()).1.is_empty());
}

#[test]
fn a_pardoned_key_leaves_with_its_line_unless_others_stand_in_it() {
    let [one, two] = [key(0x1f), key(0x2e)];
    for (text, left) in [
        (format!("a\n{one} # spam\nb"), "a\nb".to_owned()),
        (format!("\u{feff}\"{one}\",\r\nb"), "\u{feff}b".to_owned()),
        (format!("{one} {two}\n"), format!(" {two}\n")),
        (
            format!("{two},{one} # both\r\n"),
            format!("{two}, # both\r\n"),
        ),
        (format!("{one}{two}"), two.to_string()),
        (format!("{two}{one}{two}"), format!("{two}{two}")),
        (format!("{two}\r{one}\r\n"), format!("{two}\r\r\n")),
        (format!("{two} 0x{one}\n"), format!("{two} \n")),
        (format!("{two}0x{one}\n"), format!("{two} \n")),
        (format!("{one}0x{two}\n"), format!("0x{two}\n")),
        // Without the blank it would be no key any more.
        (
            format!("ab{}{two}\n", one.to_bech32()),
            format!("ab {two}\n"),
        ),
        (format!("{one} # {two}\n"), String::new()),
    ] {
        let spelled = without(text.as_bytes(), &[one]);
        assert_eq!(String::from_utf8_lossy(&spelled), left, "{text}");
        assert!(without(text.as_bytes(), &[key(9)]) == text.as_bytes());
    }
    let text = format!("{one} {two}\n{one}{one}\n{two}\n");
    assert!(without(text.as_bytes(), &[one, two]).is_empty());
}

/// A line of every length near every limit, with the key at its start and at its end.
#[test]
fn a_line_of_any_length_is_read_and_leaves() {
    let one = key(1);
    let near = [(66, 140), (4096, 140), (65_536, 6)].into_iter();
    for length in near.flat_map(|(limit, more)| limit - 2..limit + more) {
        for line in [
            format!("{one}{}", " ".repeat(length - 64)),
            format!("{}{one}", " ".repeat(length - 64)),
            format!("{one}{}", "#".repeat(length - 64)),
            format!("{one}{}", ",".repeat(length - 64)),
        ] {
            for (text, left) in [
                (
                    format!("{}\n{line}\n{}\n", key(2), key(3)),
                    format!("{}\n{}\n", key(2), key(3)),
                ),
                (line, String::new()),
            ] {
                let reader = BufReader::with_capacity(4096, text.as_bytes());
                let cuts = Cuts::of(reader, &BTreeSet::from([one])).unwrap();
                assert_eq!((cuts.cuts.len(), cuts.lines), (1, 1), "{length}");
                assert_eq!(
                    without(text.as_bytes(), &[one]),
                    left.as_bytes(),
                    "{length}"
                );
            }
        }
    }
}

#[test]
fn memory_does_not_grow_with_a_line_without_keys() {
    let mut lines = Lines::default();
    for _ in 0..1000 {
        lines.add(&[0; 4096], &mut |_| ());
        lines.add(&[b'x'; 4096], &mut |_| ());
    }
    assert!(lines.start.capacity() < 3 * LINE_CUT);
}

/// A piece of a list: a key in some spelling, or something else, which neither begins nor
/// ends like a key.
#[derive(Debug, Clone)]
enum Piece {
    Key(u8, u8),
    Other(&'static [u8]),
}

const OTHERS: [&[u8]; 14] = [
    b" ",
    b"\n",
    b"\r\n",
    b"\r",
    b"\0\0\0",
    b",",
    b"\"",
    b" spam ",
    b"\xc2\xa0",
    b"\xef\xbb\xbf",
    b"\t;",
    b" # remark\n",
    b"\n# \xff\xfe remark\r\n",
    b"[INFO] ",
];

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let piece = prop_oneof![
        (0_u8..6, 0_u8..5).prop_map(|(number, spelling)| Piece::Key(number, spelling)),
        (0..OTHERS.len()).prop_map(|number| Piece::Other(OTHERS[number])),
    ];
    proptest::collection::vec(piece, 0..20)
}

fn spell(pieces: &[Piece]) -> (Vec<u8>, Vec<Pubkey>) {
    let (mut text, mut keys) = (Vec::new(), Vec::new());
    for piece in pieces {
        match piece {
            Piece::Other(bytes) => text.extend_from_slice(bytes),
            Piece::Key(number, spelling) => {
                let key = Pubkey::from_bytes([number.wrapping_mul(77) + 1; 32]);
                keys.push(key);
                let spelled = match spelling {
                    0 | 1 => key.to_hex(),
                    2 => key.to_hex().to_uppercase(),
                    3 => format!("0x{key}"),
                    _ => key.to_bech32(),
                };
                text.extend_from_slice(spelled.as_bytes());
            }
        }
    }
    (text, keys)
}

/// Bytes that are shown as text.
#[derive(Clone)]
struct Raw(Vec<u8>);

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// Keys, and what looks like keys.
fn raw() -> impl Strategy<Value = Raw> {
    let part = prop_oneof![
        Just(key(0).to_hex().into_bytes()),
        Just(key(0xbe).to_hex().into_bytes()),
        Just(key(0).to_bech32().into_bytes()),
        Just(key(0xbe).to_bech32().to_uppercase().into_bytes()),
        // Both spellings on one line are not told apart in every case.
        Just(wide(&format!("\n{}\n", key(0xbe)), true)),
        Just(wide(&format!("\n{}\n", key(0).to_bech32()), false)),
        Just(b"npub1".to_vec()),
        proptest::sample::select(&b"0xXab9nu1#\0\0\0\r\n\n "[..]).prop_map(|byte| vec![byte]),
        proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(part, 0..16).prop_map(|parts| Raw(parts.concat()))
}

proptest! {
    #[test]
    fn no_key_is_missed_and_the_pieces_in_which_it_is_read_do_not_matter(
        pieces in pieces(), size in 1_usize..300
    ) {
        let (text, expected) = spell(&pieces);
        let (found, _) = read_in(size, &text);
        let found: Vec<_> = found.into_iter().map(|(_, key)| key).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn what_leaves_takes_nothing_with_it(pieces in pieces(), leaving in 0_u8..6) {
        let (text, all) = spell(&pieces);
        let gone = Pubkey::from_bytes([leaving.wrapping_mul(77) + 1; 32]);
        let left = without(&text, &[gone]);
        let stays: Vec<_> = all.into_iter().filter(|key| *key != gone).collect();
        prop_assert_eq!(keys(&left), stays);
        // Lines without the key are there, in order, byte for byte.
        let mut rest = &left[..];
        let mut lines = Vec::new();
        read_lines(&text[..], |line| {
            let holds = line.mentions.iter().any(|mention| mention.key == gone);
            if !holds {
                lines.push(line.place.start as usize..line.place.end as usize);
            }
        }).unwrap();
        for line in lines {
            let place = memchr::memmem::find(rest, &text[line.clone()]);
            prop_assert!(place.is_some());
            rest = &rest[place.unwrap() + line.len()..];
        }
    }

    #[test]
    fn whatever_is_read_the_pieces_do_not_matter_and_what_leaves_unblocks_nobody_else(
        Raw(text) in raw(), size in 1_usize..300
    ) {
        let (found, faults) = read_in(text.len().max(1), &text);
        prop_assert_eq!(&read_in(size, &text), &(found.clone(), faults));
        for gone in [key(0), key(0xbe)] {
            let left = keys(&without(&text, &[gone]));
            prop_assert!(!left.contains(&gone));
            let mut stays: Vec<_> = found.iter().map(|(_, key)| *key).collect();
            stays.retain(|key| *key != gone);
            for key in stays {
                prop_assert!(left.contains(&key), "gone {gone}, missing {key}, of {found:?}, left {}", without(&text, &[gone]).escape_ascii());
            }
        }
    }
}
