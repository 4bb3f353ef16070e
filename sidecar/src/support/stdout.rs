//! Output to stdout whose reader may leave early, as in `constellation-sync status | head`.

use std::io::{self, ErrorKind, Write};

/// A writer that ignores a closed pipe, so that what a command does, and its exit code, do not
/// depend on how much of its output is read.
#[derive(Debug)]
pub(crate) struct Output<W>(W);

impl<W: Write> Output<W> {
    /// Writes to `writer`.
    pub(crate) const fn to(writer: W) -> Self {
        Self(writer)
    }
}

/// The standard output of this program.
pub(crate) fn stdout() -> Output<io::Stdout> {
    Output::to(io::stdout())
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(bytes.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn a_reader_who_left_is_no_error_and_a_full_disk_is() {
        let mut left = Output::to(Failing(ErrorKind::BrokenPipe));
        assert!(left.write_all(b"line\n").is_ok() && left.flush().is_ok());
        let mut full = Output::to(Failing(ErrorKind::StorageFull));
        assert!(full.write_all(b"line\n").is_err() && full.flush().is_err());
    }
}
