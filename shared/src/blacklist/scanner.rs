//! Finds keys in bytes that arrive in pieces.
//!
//! NULs do not count as characters. A single NUL between two characters belongs to UTF-16. So the
//! *gap*, the number of NULs before a character, tells whether the character continues a key: in
//! ASCII and UTF-8 it is always 0, in UTF-16 always 1.

use crate::blacklist::mention::Mention;
use crate::key::Pubkey;

/// The number of hex digits of a key.
const DIGITS: u64 = 64;

/// The beginning of a key in bech32 (NIP-19).
const PREFIX: &[u8; 5] = b"npub1";

/// The number of characters of a key in bech32.
const NPUB: usize = 63;

/// The gap from which on two characters do not belong together.
const APART: u8 = 2;

/// A character and what came before it.
#[derive(Debug, Clone, Copy)]
struct Char {
    byte: u8,
    at: u64,
    gap: u8,
    /// Whether the byte before it is a letter or a digit.
    is_glued: bool,
}

/// The state of reading a text.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    in_remark: bool,
    /// The last byte that is not NUL.
    last: u8,
    /// How many NULs followed it, at most [`APART`].
    gap: u8,
    digits: Digits,
    npub: Npub,
    /// The `0x` that was just read.
    zero_x: Option<ZeroX>,
}

/// A `0x`, which may belong to the key after it.
#[derive(Debug, Clone, Copy)]
struct ZeroX {
    at: u64,
    gap: u8,
    is_glued: bool,
}

impl Scanner {
    /// Reads the next bytes, which begin at `offset` in the file.
    pub(super) fn scan(&mut self, offset: u64, bytes: &[u8], found: &mut Vec<Mention>) {
        for (at, &byte) in (offset..).zip(bytes) {
            if byte == 0 {
                self.gap = (self.gap + 1).min(APART);
                if self.gap == APART {
                    self.in_remark = false;
                    self.separate(self.gap, found);
                }
                continue;
            }
            // A comment ends wherever some editor would end the line.
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
                self.separate(character.gap, found);
                self.in_remark = true;
            } else {
                self.take(character, found);
            }
        }
    }

    /// Ends the text.
    pub(super) fn finish(&mut self, found: &mut Vec<Mention>) {
        self.separate(self.gap, found);
    }

    /// Ends all keys that were begun; `gap` NULs follow.
    fn separate(&mut self, gap: u8, found: &mut Vec<Mention>) {
        self.digits.end(None, gap, found);
        self.npub = Npub::default();
        self.zero_x = None;
    }

    fn take(&mut self, character: Char, found: &mut Vec<Mention>) {
        if let Some(mention) = self.npub.take(character) {
            found.push(mention);
            // Its last characters are not the digits of another key.
            self.digits.forget();
            self.zero_x = None;
            return;
        }
        if character.byte.is_ascii_hexdigit() {
            if !self.digits.continues(character) && !self.digits.leaves_utf16(character, found) {
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
    /// Where the first digit is.
    start: u64,
    /// Where the last digit is, and the digit.
    last: (u64, u8),
    count: u64,
    /// The gap between the digits, once there are two.
    gap: u8,
    /// Whether there is a NUL before the first digit.
    follows_nul: bool,
    is_glued: bool,
    /// The `0x` before the run.
    zero_x: Option<ZeroX>,
    /// The keys read so far. They count if the run ends after a whole key.
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

    /// Adds the digit if it belongs to this run, and returns whether it does.
    fn continues(&mut self, character: Char) -> bool {
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

    /// Starts a run that is not in UTF-16 with this digit and the last one, if the last one only
    /// seemed to be in UTF-16 like those before it. Returns whether it did.
    fn leaves_utf16(&mut self, character: Char, found: &mut Vec<Mention>) -> bool {
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

    /// The `0x` of which this character is the x, if it is one.
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

    /// Ends the run before the character `before`, and adds the keys that it spells to `found`.
    fn end(&mut self, before: Option<Char>, gap_behind: u8, found: &mut Vec<Mention>) {
        if self.count == 0 {
            return;
        }
        let zero_x = before.and_then(|before| self.zero_x(before));
        let is_whole = self.count.is_multiple_of(DIGITS)
            // The zero belongs to the key after the run.
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
            // In UTF-16 the NULs are removed too: those before the digits if there is one before
            // the first digit, otherwise those after them. The rest is the same either way.
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
    /// How many characters of a prefix were read.
    prefix: usize,
    first: Option<Char>,
    /// The gap between the characters, once there are two.
    gap: u8,
    /// The prefix as it is written. It is read even while an earlier key is still being read.
    spelled: Vec<u8>,
    /// The key whose prefix is complete.
    begun: Option<Begun>,
}

/// A key in bech32 whose prefix is complete.
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
