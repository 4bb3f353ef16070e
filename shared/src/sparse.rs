//! [`SparseReader`]: reads a file without its holes.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// How many bytes of each hole are read. This is more than any line that is looked at, so the
/// lines around a hole read the same as with all of it.
const READ_OF_A_HOLE: u64 = 8192;

/// Reads a file from its start. A hole reads as zeros without taking any room on the disk. Only
/// the beginning of each hole is read, so that gigabytes of holes cost nothing.
#[derive(Debug)]
pub(crate) struct SparseReader {
    file: File,
    position: u64,
    /// Where the data at `position` ends.
    data_end: u64,
    /// How many bytes of the current hole are still to be read.
    zeros: u64,
}

impl SparseReader {
    pub(crate) const fn new(file: File) -> Self {
        Self {
            file,
            position: 0,
            data_end: 0,
            zeros: 0,
        }
    }

    /// Moves behind the hole at `position`, if there is one. A file system without holes reports
    /// that everything is data.
    fn look_ahead(&mut self) -> io::Result<()> {
        let start = match seek(&self.file, SeekFrom::Data(self.position)) {
            Ok(start) => start,
            // Only a hole is left, or nothing at all.
            Err(Errno::NXIO) => self.file.metadata()?.len().max(self.position),
            Err(_) => {
                self.data_end = u64::MAX;
                return Ok(());
            }
        };
        self.zeros = start.saturating_sub(self.position).min(READ_OF_A_HOLE);
        self.position = start;
        self.data_end = seek(&self.file, SeekFrom::Hole(start)).unwrap_or(u64::MAX);
        Ok(())
    }
}

impl Read for SparseReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.zeros == 0 && self.position >= self.data_end {
            self.look_ahead()?;
        }
        let of_hole = self.zeros > 0;
        let most = if of_hole {
            self.zeros
        } else {
            self.data_end.saturating_sub(self.position)
        };
        let most = usize::try_from(most)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let buffer = buffer.get_mut(..most).unwrap_or_default();
        if of_hole {
            buffer.fill(0);
            self.zeros -= most as u64;
            return Ok(most);
        }
        let length = self.file.read_at(buffer, self.position)?;
        self.position += length as u64;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &File) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut reader = SparseReader::new(file.try_clone().unwrap());
        reader.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_file_without_holes_is_read_as_it_is() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(read(&file), b"");
        let bytes: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
        file.write_all_at(&bytes, 0).unwrap();
        assert_eq!(read(&file), bytes);
    }

    #[test]
    fn all_data_is_read_and_the_beginning_of_each_hole() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 40).unwrap();
        assert!(read(&file).iter().all(|&byte| byte == 0));
        file.write_all_at(b"one", 1 << 30).unwrap();
        file.write_all_at(b"two", (1 << 40) - 3).unwrap();
        let bytes = read(&file);
        assert!(bytes.len() < 100_000, "{}", bytes.len());
        let data: Vec<u8> = bytes.into_iter().filter(|&byte| byte != 0).collect();
        assert_eq!(data, b"onetwo");
    }
}
