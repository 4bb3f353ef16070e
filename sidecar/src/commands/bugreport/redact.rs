//! Taking out of a text what is nobody else's business: secrets whole; keys, e-mail
//! addresses and members' folders but for a few characters. Rather too much than too
//! little: what only looks like one of these goes too.

/// A run of letters and digits so long is a key, an id, a signature or a secret in some
/// spelling: hex has 64, bech32 and base58 of 32 bytes 43 to 63.
const LONG: usize = 40;

/// The same for hex digits alone.
const LONG_HEX: usize = 32;

/// How many characters of a key are left, enough to tell keys apart.
const KEPT: usize = 8;

/// What begins a secret key (NIP-19, NIP-49).
const SECRETS: [&str; 2] = ["nsec1", "ncryptsec1"];

/// What begins what is shortened at any length (NIP-19).
const NAMES: [&str; 5] = ["npub1", "note1", "nprofile1", "nevent1", "naddr1"];

/// What a secret's name ends with, in any case, before a `=` or `:`.
const SECRET_NAMES: [&str; 9] = [
    "password", "passwd", "pass", "token", "secret", "apikey", "api_key", "mnemonic", "privkey",
];

/// The folder with a folder for each member, named by his e-mail address.
const MEMBERS: &str = "game/nostr/";

/// What stands for what was taken out.
const SECRET: &str = "[secret]";

/// Redacts a text line by line; `home` is the captain's, of which `~` is left.
pub fn redact(text: &str, home: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let line = match home.len() > 1 {
            true => line.replace(home, "~"),
            false => line.to_owned(),
        };
        let line = without_segments(&line, MEMBERS);
        let line = without_segments(&line, "/home/");
        let line = without_user_information(&line);
        let line = without_named_secrets(&line);
        redacted.push_str(&shortened(&line));
    }
    redacted
}

/// Each part of a path that follows these words, to the next slash or quote.
fn without_segments(line: &str, before: &str) -> String {
    let mut parts = line.split(before);
    let mut redacted = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        redacted.push_str(before);
        let end = part.find(['/', '"', '\'', '\n', ':']).unwrap_or(part.len());
        let (segment, rest) = part.split_at_checked(end).unwrap_or(("", part));
        // A glob names nobody.
        redacted.push_str(if segment.is_empty() || segment == "*" {
            segment
        } else {
            "…"
        });
        redacted.push_str(rest);
    }
    redacted
}

/// `wss://name:password@host` without what stands before the `@`.
fn without_user_information(line: &str) -> String {
    let mut parts = line.split("://");
    let mut redacted = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        redacted.push_str("://");
        let is_end = |c: char| c.is_whitespace() || "/\"'?#".contains(c);
        let end = part.find(is_end).unwrap_or(part.len());
        let (authority, _) = part.split_at_checked(end).unwrap_or((part, ""));
        match authority
            .rfind('@')
            .and_then(|at| part.split_at_checked(at))
        {
            Some((_, behind)) => {
                redacted.push_str(SECRET);
                redacted.push_str(" at ");
                redacted.push_str(behind.trim_start_matches('@'));
            }
            None => redacted.push_str(part),
        }
    }
    redacted
}

/// `password=…`, `"token": "…"` and the like without their values.
fn without_named_secrets(line: &str) -> String {
    let mut redacted = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(['=', ':']) {
        let (before, behind) = rest.split_at_checked(at).unwrap_or(("", rest));
        let name = before
            .trim_end_matches(['"', '\'', ' '])
            .to_ascii_lowercase();
        let (sign, behind) = behind.split_at_checked(1).unwrap_or((behind, ""));
        redacted.push_str(before);
        redacted.push_str(sign);
        rest = behind;
        if SECRET_NAMES.iter().any(|secret| name.ends_with(secret)) {
            let quoted = behind.trim_start_matches(' ');
            let value = quoted.trim_start_matches(['"', '\'']);
            // In quotes a value may be of several words.
            let end = match quoted.chars().next() {
                Some(quote @ ('"' | '\'')) => value.find([quote, '\n']),
                _ if name.ends_with("mnemonic") => value.find('\n'),
                _ => value.find(['"', '\'', ' ', ',', '\n', '}']),
            };
            let end = end.unwrap_or(value.len());
            if end > 0 {
                redacted.push_str(SECRET);
            }
            rest = value.split_at_checked(end).map_or("", |(_, rest)| rest);
        }
    }
    redacted.push_str(rest);
    redacted
}

/// The line with its addresses and long runs shortened.
fn shortened(line: &str) -> String {
    let of_address = |c: char| c.is_alphanumeric() || "._%+-@…".contains(c);
    let mut redacted = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let is_word = of_address(c);
        let end = rest
            .find(|c: char| of_address(c) != is_word)
            .unwrap_or(rest.len());
        let (piece, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
        rest = behind;
        match piece {
            address if is_address(address) => {
                redacted.extend(address.chars().find(|c| c.is_alphanumeric()));
                redacted.push_str("…@…");
            }
            words => redacted.push_str(&shortened_runs(words)),
        }
    }
    redacted
}

fn is_address(text: &str) -> bool {
    (text.contains('@') || text.contains("%40")) && text.contains(char::is_alphanumeric)
}

fn shortened_runs(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut run = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            run.push(c);
            continue;
        }
        redacted.push_str(&shortened_run(&run));
        run.clear();
        redacted.push(c);
    }
    redacted.push_str(&shortened_run(&run));
    redacted
}

/// A run of letters and digits, as much of it as may be seen.
fn shortened_run(run: &str) -> String {
    let lower = run.to_ascii_lowercase();
    if let Some(at) = SECRETS.iter().filter_map(|secret| lower.find(secret)).min() {
        let before = run.split_at_checked(at).map_or("", |(before, _)| before);
        return format!("{}{SECRET}", shortened_run(before));
    }
    let is_hex = run.chars().all(|c| c.is_ascii_hexdigit());
    let is_name = NAMES.iter().any(|name| lower.starts_with(name));
    let kept = match is_name {
        true => lower.find('1').map_or(KEPT, |at| at + 1 + KEPT),
        false => KEPT,
    };
    let is_long = run.len() >= LONG || (is_hex && run.len() >= LONG_HEX) || is_name;
    match run.split_at_checked(kept) {
        Some((start, rest)) if is_long && !rest.is_empty() => format!("{start}…"),
        _ => run.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d";
    const NPUB: &str = "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6";
    const NSEC: &str = "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5";

    #[test]
    fn a_secret_of_several_words_leaves_none_of_them() {
        for (text, redacted) in [
            (
                r#"{"mnemonic": "abandon ability able", "days": 1}"#,
                r#"{"mnemonic":[secret]", "days": 1}"#,
            ),
            ("password='two words' x=1", "password=[secret]' x=1"),
            ("mnemonic = abandon ability able", "mnemonic =[secret]"),
        ] {
            assert_eq!(without_named_secrets(text), redacted);
        }
    }

    #[test]
    fn keys_addresses_and_folders_are_shortened() {
        for (text, redacted) in [
            (format!("key {HEX}."), "key 3bf0c63f….".to_owned()),
            (format!("0x{}", HEX.to_uppercase()), "0x3BF0C6…".to_owned()),
            (format!("{HEX}{HEX}"), "3bf0c63f…".to_owned()),
            (format!("nostr:{NPUB}"), "nostr:npub180cvv07t…".to_owned()),
            ("npub1short".to_owned(), "npub1short".to_owned()),
            (
                "<alice.b+c@example.com>, bob@example".to_owned(),
                "<a…@…>, b…@…".to_owned(),
            ),
            ("élodie%40example.fr".to_owned(), "é…@…".to_owned()),
            (
                "/home/jo/.zen/game/nostr/al ice@example.com/HEX line 3".to_owned(),
                "~/.zen/game/nostr/…/HEX line 3".to_owned(),
            ),
            ("/home/other/x".to_owned(), "/home/…/x".to_owned()),
            (
                "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA".to_owned(),
                "12D3KooW…".to_owned(),
            ),
            (
                "ws://127.0.0.1:7777 and 99 events".to_owned(),
                "ws://127.0.0.1:7777 and 99 events".to_owned(),
            ),
            ("game/nostr/*/HEX".to_owned(), "game/nostr/*/HEX".to_owned()),
        ] {
            assert_eq!(redact(&text, "/home/jo"), redacted, "{text}");
        }
    }

    #[test]
    fn secrets_are_taken_out() {
        for (text, redacted) in [
            (NSEC.to_owned(), "[secret]"),
            (NSEC.to_uppercase(), "[secret]"),
            (format!("x{NSEC}"), "x[secret]"),
            ("nsec1abc".to_owned(), "[secret]"),
            (
                "wss://me:pass.w0rd@relay.org/a".to_owned(),
                "wss://[secret] at relay.org/a",
            ),
            ("PASSWORD=hunter2 next".to_owned(), "PASSWORD=[secret] next"),
            (
                r#"{"token": "abc","a":1}"#.to_owned(),
                r#"{"token":[secret]","a":1}"#,
            ),
            ("my_api_key='abc'".to_owned(), "my_api_key=[secret]'"),
            ("key=value count=3".to_owned(), "key=value count=3"),
        ] {
            assert_eq!(redact(&text, ""), redacted, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_secret_passes_whatever_is_around_it(before in "[^a-zA-Z0-9]{0,20}", after in "\\PC{0,20}") {
            for secret in [HEX, NSEC, "carol@example.org"] {
                let text = redact(&format!("{before}{secret}{after}"), "/home/jo");
                proptest::prop_assert!(!text.contains(secret), "{text}");
                proptest::prop_assert!(!text.contains("nsec1v"), "{text}");
            }
        }
    }
}
