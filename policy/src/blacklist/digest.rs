//! [`DigestReader`]: a digest of what was read, to notice that a file was rewritten meanwhile.

use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read};

/// A reader that keeps a 64-bit digest of the bytes read through it.
pub(super) struct DigestReader<R> {
    reader: R,
    hasher: DefaultHasher,
}

impl<R: Read> DigestReader<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            hasher: DefaultHasher::new(),
        }
    }

    /// The digest of the bytes read so far.
    pub(super) fn digest(&self) -> u64 {
        self.hasher.finish()
    }
}

impl<R: Read> Read for DigestReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        self.hasher.write(buffer.get(..length).unwrap_or_default());
        Ok(length)
    }
}

/// Reads to the end and returns the digest of all bytes read.
///
/// # Errors
/// Fails if reading fails.
pub(super) fn digest_of(reader: impl Read) -> io::Result<u64> {
    let mut reader = DigestReader::new(reader);
    io::copy(&mut reader, &mut io::sink())?;
    Ok(reader.digest())
}
