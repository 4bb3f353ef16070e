//! [`Stderr`]: writes each log message as one line, whatever is in it.

use std::io::{self, Write};

use constellation_shared::sanitize::one_line;

/// Writes to stderr, which ends up in strfry's log. `tracing-subscriber` hands over one message
/// per write. A message may quote the name of another station's folder, which can contain
/// anything, so it is turned into one line without hidden characters.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(line(message).as_bytes())?;
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

fn line(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    one_line(text) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_stays_one_line_whatever_it_quotes() {
        assert_eq!(
            line("WARN swarm/a\n INFO forged\u{202e}\u{1b}[2J\u{9b}\n".as_bytes()),
            "WARN swarm/a  INFO forged [2J \n"
        );
    }
}
