//! [`Stderr`]: what the policy says, a line each, whatever is in it.

use std::io::{self, Write};

use constellation_shared::sanitize::one_line;

/// stderr, which ends in strfry's log. Each write is one message, as `tracing-subscriber`
/// makes them; it may quote the name of another station's folder, which may hold anything, and
/// it stays one line in which nothing is hidden.
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
    fn a_message_is_one_line_whatever_it_quotes() {
        assert_eq!(
            line("WARN swarm/a\n INFO forged\u{202e}\u{1b}[2J\u{9b}\n".as_bytes()),
            "WARN swarm/a  INFO forged [2J \n"
        );
    }
}
