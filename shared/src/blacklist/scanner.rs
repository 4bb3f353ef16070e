//! Finds keys in bytes that come in pieces.
//!
//! NULs are not characters here: a single one between two characters of a key belongs to
//! UTF-16, so the *gap*, the number of NULs before a character, tells whether it follows the
//! one before: always 0 in a text in ASCII or UTF-8, always 1 in UTF-16.

use crate::blacklist::mention::Mention;
use crate::key::Pubkey;

/// How many hex digits spell a key.
const DIGITS: u64 = 64;

/// What a key in bech32 begins with (NIP-19).
const PREFIX: &[u8; 5] = b"npub1";

/// How many characters such a key has.
const NPUB: usize = 63;

/// From this gap on, what follows has nothing to do with what was before.
const APART: u8 = 2;

/// A character, and what was before it.
#[derive(Debug, Clone, Copy)]
struct Char {
    byte: u8,
    at: u64,
    gap: u8,
    /// Whether the byte before it is a letter or a digit.
    is_glued: bool,
}

/// What was read so far of a text.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    in_remark: bool,
    /// The last byte that is no NUL.
    last: u8,
    /// How many NULs came since, at most [`APART`].
    gap: u8,
    digits: Digits,
    npub: Npub,
    /// A `0x` that ends here: where it stands, its gap, and whether it is glued to what is
    /// before it.
    zero_x: Option<ZeroX>,
}

#[derive(Debug, Clone, Copy)]
struct ZeroX {
    at: u64,
    gap: u8,
    is_glued: bool,
}

impl Scanner {
    /// Reads on, from this offset in the file.
    pub(super) fn scan(&mut self, offset: u64, bytes: &[u8], found: &mut Vec<Mention>) {
        for (at, &byte) in (offset..).zip(bytes) {
            if byte == 0 {
                self.gap = (self.gap + 1).min(APART);
                if self.gap == APART {
                    self.in_remark = false;
                    self.part(self.gap, found);
                }
                continue;
            }
            // A remark ends where its line does, in some editor's eyes.
            if self.last == b'\r' || byte == b'\n' {
                self.in_remark = false;
            }
            let character = Char {
                byte,
                at,
                gap: self.gap,
                is_glued: self.gap < APART && self.last.is_ascii_alphanumeric(),
            };
            self.gap = 0;
            self.last = byte;
            if self.in_remark {
                continue;
            }
            if byte == b'#' {
                self.part(character.gap, found);
                self.in_remark = true;
            } else {
                self.take(character, found);
            }
        }
    }

    /// The text ends here.
    pub(super) fn finish(&mut self, found: &mut Vec<Mention>) {
        self.part(self.gap, found);
    }

    /// What was begun ends here, before so many NULs.
    fn part(&mut self, gap: u8, found: &mut Vec<Mention>) {
        self.digits.end(None, gap, found);
        self.npub = Npub::default();
        self.zero_x = None;
    }

    fn take(&mut self, character: Char, found: &mut Vec<Mention>) {
        if let Some(mention) = self.npub.take(character) {
            found.push(mention);
            // Its last characters are no digits of another key.
            self.digits.forget();
            self.zero_x = None;
            return;
        }
        if character.byte.is_ascii_hexdigit() {
            if !self.digits.goes_on(character) && !self.digits.turns_narrow(character, found) {
                self.digits.end(None, character.gap, found);
                let zero_x = self.zero_x.filter(|zero_x| zero_x.gap == character.gap);
                self.digits.begin(character, zero_x);
            }
            self.zero_x = None;
            return;
        }
        self.zero_x = self.digits.zero_x(character);
        self.digits.end(Some(character), character.gap, found);
    }
}

/// A run of hex digits.
#[derive(Debug, Default)]
struct Digits {
    /// Where the first one is.
    start: u64,
    /// Where the last one is, and its character.
    last: (u64, u8),
    count: u64,
    /// The gap between them; counts from the second on.
    gap: u8,
    /// Whether a NUL is before the first one.
    follows_nul: bool,
    is_glued: bool,
    /// The `0x` before it.
    zero_x: Option<ZeroX>,
    /// The keys that are complete, if the run is.
    keys: Vec<Pubkey>,
    key: [u8; 32],
}

impl Digits {
    fn begin(&mut self, character: Char, zero_x: Option<ZeroX>) {
        self.forget();
        self.start = character.at;
        self.gap = 0;
        self.follows_nul = character.gap > 0;
        self.is_glued = character.is_glued;
        self.zero_x = zero_x;
        self.add(character);
    }

    fn add(&mut self, character: Char) {
        let value = char::from(character.byte).to_digit(16).unwrap_or(0);
        let nibble = u8::try_from(value).unwrap_or(0);
        let place = self.count % DIGITS;
        if let Some(byte) = usize::try_from(place / 2)
            .ok()
            .and_then(|place| self.key.get_mut(place))
        {
            *byte = *byte << 4 | nibble;
        }
        self.count += 1;
        self.last = (character.at, character.byte);
        if place + 1 == DIGITS {
            self.keys.push(Pubkey::from_bytes(self.key));
        }
    }

    /// Takes the digit if it belongs to this run.
    fn goes_on(&mut self, character: Char) -> bool {
        let follows = match self.count {
            0 => false,
            1 if character.gap < APART => {
                self.gap = character.gap;
                true
            }
            _ => character.gap == self.gap,
        };
        if follows {
            self.add(character);
        }
        follows
    }

    /// Takes the digit if it and the last one, which only seemed to be in UTF-16 as those
    /// before it, begin a run that is not.
    fn turns_narrow(&mut self, character: Char, found: &mut Vec<Mention>) -> bool {
        let turns = self.count > 1
            && self.gap == 1
            && character.gap == 0
            && !self.count.is_multiple_of(DIGITS);
        if turns {
            let (at, byte) = self.last;
            self.count -= 1;
            self.end(None, self.gap, found);
            let first = Char {
                byte,
                at,
                gap: 1,
                is_glued: true,
            };
            self.begin(first, None);
            self.add(character);
        }
        turns
    }

    /// Where `0x` begins, if this character is its x.
    fn zero_x(&self, character: Char) -> Option<ZeroX> {
        let (at, byte) = self.last;
        let is_x = matches!(character.byte, b'x' | b'X')
            && byte == b'0'
            && !self.count.is_multiple_of(DIGITS);
        let follows = match self.count {
            1 => character.gap < APART,
            _ => character.gap == self.gap,
        };
        (is_x && follows).then_some(ZeroX {
            at,
            gap: character.gap,
            is_glued: self.count > 1 || self.is_glued,
        })
    }

    fn forget(&mut self) {
        self.count = 0;
        self.keys.clear();
    }

    /// The run ends, before this character; what it spells is found.
    fn end(&mut self, before: Option<Char>, gap_behind: u8, found: &mut Vec<Mention>) {
        if self.count == 0 {
            return;
        }
        let zero_x = before.and_then(|before| self.zero_x(before));
        let is_whole = self.count.is_multiple_of(DIGITS)
            // The zero belongs to what is behind it.
            || (self.count - 1).is_multiple_of(DIGITS) && zero_x.is_some();
        if is_whole {
            self.find(gap_behind, found);
        }
        self.forget();
    }

    fn find(&self, gap_behind: u8, found: &mut Vec<Mention>) {
        let width = 1 + u64::from(self.gap);
        let is_utf16 = self.gap > 0;
        let count = self.keys.len() as u64;
        for (number, key) in (0..).zip(&self.keys) {
            let is_first = number == 0;
            let mut start = self.start + number * DIGITS * width;
            let mut end = start + DIGITS * width;
            // Of UTF-16 the NULs go, too: those before the digits where there is one before
            // the first, else those behind. What is left is the same.
            if is_utf16 && self.follows_nul {
                (start, end) = (start - 1, end - 1);
            } else if is_utf16 && number + 1 == count && gap_behind == 0 {
                end -= 1;
            }
            let zero_x = self.zero_x.filter(|_| is_first);
            found.push(Mention {
                key: *key,
                place: zero_x.map_or(start, |zero_x| zero_x.at)..end,
                joins_neighbours: zero_x.is_some_and(|zero_x| zero_x.is_glued),
                is_utf16,
            });
        }
    }
}

/// A key in bech32.
#[derive(Debug, Default)]
struct Npub {
    /// How many characters of a prefix are there.
    prefix: usize,
    first: Option<Char>,
    /// The gap between the characters; counts from the second on.
    gap: u8,
    /// The prefix as it is spelled, while what is behind another one is read.
    spelled: Vec<u8>,
    /// The characters of one whose prefix is complete.
    begun: Option<Begun>,
}

#[derive(Debug)]
struct Begun {
    first: Char,
    gap: u8,
    text: Vec<u8>,
}

impl Npub {
    fn take(&mut self, character: Char) -> Option<Mention> {
        let mention = self.go_on(character);
        if mention.is_some() {
            *self = Self::default();
        } else {
            self.look_for_prefix(character);
        }
        mention
    }

    fn go_on(&mut self, character: Char) -> Option<Mention> {
        let begun = self.begun.as_mut()?;
        if !character.byte.is_ascii_alphanumeric() || character.gap != begun.gap {
            self.begun = None;
            return None;
        }
        begun.text.push(character.byte);
        if begun.text.len() < NPUB {
            return None;
        }
        let begun = self.begun.take()?;
        let key = Pubkey::parse(&begun.text).ok()?;
        let is_utf16 = begun.gap > 0;
        let nul_before = u64::from(is_utf16 && begun.first.gap > 0);
        Some(Mention {
            key,
            place: begun.first.at - nul_before..character.at + 1,
            joins_neighbours: begun.first.is_glued,
            is_utf16,
        })
    }

    fn look_for_prefix(&mut self, character: Char) {
        let follows = match self.prefix {
            0 => true,
            1 => character.gap < APART,
            _ => character.gap == self.gap,
        };
        let expected = PREFIX.get(self.prefix).copied().unwrap_or_default();
        let lower = character.byte.to_ascii_lowercase();
        if follows && lower == expected {
            match self.prefix {
                0 => {
                    self.first = Some(character);
                    self.spelled.clear();
                }
                1 => self.gap = character.gap,
                _ => {}
            }
            self.prefix += 1;
        } else {
            self.prefix = usize::from(Some(&lower) == PREFIX.first());
            self.first = Some(character);
            self.spelled.clear();
        }
        if self.prefix > 0 {
            self.spelled.push(character.byte);
        }
        if self.prefix == PREFIX.len()
            && let Some(first) = self.first
        {
            self.begun = Some(Begun {
                first,
                gap: self.gap,
                text: std::mem::take(&mut self.spelled),
            });
            self.prefix = 0;
        }
    }
}
