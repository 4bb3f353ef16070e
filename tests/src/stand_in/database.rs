//! [`Database`]: a file of lines in place of LMDB.
//!
//! `+EVENT` adds, `-ID` removes, and a line `=` commits what stands before it. A reader
//! stops behind the last `=`, a writer cuts off what a killed one left there. Writers hold
//! the file's lock for a batch, readers share it.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::Stop;
use super::conf::{Conf, reason};
use super::hooks::Hooks;
use super::index::{Fate, Index};
use super::log::Log;
use crate::record::Record;

pub(super) struct Database {
    file: File,
    /// The length of what is committed and known here.
    committed: u64,
    index: Index,
}

/// What became of a batch.
#[derive(Default)]
pub(super) struct Done {
    pub(super) added: usize,
    pub(super) dups: usize,
    pub(super) replaced: usize,
    pub(super) deleted: usize,
    /// How many were not known as duplicates beforehand.
    pub(super) looked_at: usize,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Error(format!("stand-in's database: {error}"))
    }
}

impl Database {
    /// Opens the database in its folder, which must be there.
    pub(super) fn open(conf: &Conf) -> Result<Self, Stop> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(conf.db.join("data.mdb"))
            .map_err(|error| format!("mdb_env_open: {}", reason(&error)))?;
        Ok(Self {
            file,
            committed: 0,
            index: Index::default(),
        })
    }

    /// Opens it and reads what is committed.
    pub(super) fn read(conf: &Conf) -> Result<Self, Stop> {
        let mut database = Self::open(conf)?;
        database.file.lock_shared()?;
        database.catch_up()?;
        database.file.unlock()?;
        Ok(database)
    }

    pub(super) fn newest_first(&self) -> Vec<&Record> {
        self.index.newest_first()
    }

    /// Writes a batch and commits it, or does neither.
    pub(super) fn write(
        &mut self,
        batch: Vec<Record>,
        hooks: &Hooks,
        log: &Log,
    ) -> Result<Done, Stop> {
        self.file.lock()?;
        self.catch_up()?;
        self.file.set_len(self.committed)?;
        let mut done = Done::default();
        let mut new = batch;
        let read = new.len();
        new.retain(|record| !self.index.holds(&record.id));
        done.dups = read - new.len();
        done.looked_at = new.len();
        new.sort_by_key(|record| (record.created_at, record.id));
        let mut lines = String::new();
        for record in new {
            self.write_one(record, &mut done, &mut lines, log);
        }
        if !lines.is_empty() {
            lines.push_str("=\n");
        }
        if hooks
            .disk_full_after
            .is_some_and(|most| self.index.len() > most)
        {
            log.raw(
                "terminate called after throwing an instance of 'lmdb::map_full_error'\n  \
                 what():  mdb_put: MDB_MAP_FULL: Environment mapsize limit reached\n\n\
                 Loguru caught a signal: SIGABRT\n",
            );
            std::process::abort();
        }
        self.file.write_all(lines.as_bytes())?;
        self.committed += lines.len() as u64;
        self.file.unlock()?;
        Ok(done)
    }

    fn write_one(&mut self, record: Record, done: &mut Done, lines: &mut String, log: &Log) {
        let gone = match self.index.fate(&record) {
            Fate::Added(gone) => gone,
            Fate::Duplicate => return done.dups += 1,
            Fate::Replaced => return done.replaced += 1,
            Fate::Deleted => return done.deleted += 1,
        };
        done.added += 1;
        // Nothing can fail in the writing of a text.
        let _ = writeln!(lines, "+{}", record.json);
        self.index.insert(record);
        for (id, words) in gone {
            let hex = const_hex::encode(id);
            log.info("Writer", &format!("{words}. id={hex}"));
            let _ = writeln!(lines, "-{hex}");
            self.index.remove(&id);
        }
    }

    /// Takes over what others committed since.
    fn catch_up(&mut self) -> Result<(), Stop> {
        let mut text = Vec::new();
        self.file.seek(SeekFrom::Start(self.committed))?;
        self.file.read_to_end(&mut text)?;
        let end = text.windows(3).rposition(|end| end == b"\n=\n");
        let text = end.and_then(|end| text.get(..end + 3)).unwrap_or_default();
        for line in text.split(|&byte| byte == b'\n') {
            match line {
                [b'+', json @ ..] => {
                    let value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
                    self.index.insert(Record::parse(&value)?);
                }
                [b'-', hex @ ..] => {
                    let id = const_hex::decode(hex).map_err(|error| error.to_string())?;
                    self.index.remove(&id);
                }
                _ => {}
            }
        }
        self.committed += text.len() as u64;
        Ok(())
    }
}
