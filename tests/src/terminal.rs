//! [`Terminal`]: a pseudo-terminal on which a program under test writes its stderr, as it does in
//! front of a person.

use std::fs::File;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Both ends of a pseudo-terminal of 40 lines and 100 columns.
pub(crate) struct Terminal {
    /// What is written on the terminal can be read here.
    pub screen: File,
    /// The program's end.
    pub program: OwnedFd,
}

impl Terminal {
    /// A new one.
    ///
    /// # Panics
    /// Where this machine gives none.
    pub(crate) fn open() -> Self {
        let screen =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&screen).unwrap();
        unlockpt(&screen).unwrap();
        let size = Winsize {
            ws_row: 40,
            ws_col: 100,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&screen, size).unwrap();
        let name = ptsname(&screen, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        Self {
            program: rustix::fs::open(name, flags, Mode::empty()).unwrap(),
            screen: screen.into(),
        }
    }
}

/// What stood on a terminal line by line, one after the other, without the sequences that move the
/// cursor or set colours.
pub fn plain(written: &str) -> String {
    let mut text = String::new();
    let mut characters = written.chars();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => {
                // `ESC [ … letter`.
                let _ = characters.by_ref().skip(1).find(char::is_ascii_alphabetic);
            }
            '\r' => text.push('\n'),
            character => text.push(character),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn sequences_for_the_terminal_are_left_out() {
        assert_eq!(plain("a\u{1b}[2K\rb\u{1b}[1;31mc\n"), "a\nbc\n");
    }
}
