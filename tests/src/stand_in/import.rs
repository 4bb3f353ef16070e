//! `strfry import`.

use std::io::{BufRead, stdin};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use constellation_shared::Event;
use constellation_shared::verify::{Forgery, verify};
use serde_json::Value;

use super::Stop;
use super::conf::Conf;
use super::database::Database;
use super::hooks::Hooks;
use super::log::Log;
use crate::record::Record;

const USAGE: &str = "\n    Usage:\n      import [--show-rejected] [--no-verify] [--debounce-millis=<debounce-millis>] [--write-batch=<write-batch>] [--fried]\n\n";

struct Options {
    show_rejected: bool,
    verify: bool,
    debounce: Duration,
    write_batch: usize,
}

fn options(args: &[String]) -> Result<Options, Stop> {
    let mut options = Options {
        show_rejected: false,
        verify: true,
        debounce: Duration::from_secs(1),
        write_batch: 10_000,
    };
    for arg in args {
        let unexpected = || Stop::Usage(USAGE, format!("Unexpected argument: {arg}"));
        let (name, value) = arg.split_once('=').unwrap_or((arg, ""));
        match name {
            "--show-rejected" => options.show_rejected = true,
            "--no-verify" => options.verify = false,
            "--debounce-millis" => {
                let millis = value.parse().map_err(|_| unexpected())?;
                options.debounce = Duration::from_millis(millis);
            }
            "--write-batch" => options.write_batch = value.parse().map_err(|_| unexpected())?,
            _ => return Err(unexpected()),
        }
    }
    Ok(options)
}

/// Sums over all batches, as the `Done` line gives them.
#[derive(Default)]
struct Totals {
    processed: u64,
    added: usize,
    rejected: u64,
    dups: usize,
}

impl Totals {
    fn words(&self) -> String {
        format!(
            "Processed {} lines. {} added, {} rejected, {} dups",
            self.processed, self.added, self.rejected, self.dups
        )
    }
}

struct Import<'a> {
    options: Options,
    hooks: &'a Hooks,
    log: &'a Log,
    database: Database,
    pending: Vec<Record>,
    totals: Totals,
}

pub(super) fn import(args: &[String], conf: &Conf, hooks: &Hooks, log: &Log) -> Result<(), Stop> {
    let mut options = options(args)?;
    if let Some(lines) = hooks.commit_every {
        options.write_batch = lines;
    }
    if !options.verify {
        log.warn("main thread", "not verifying event IDs or signatures!");
    }
    let mut import = Import {
        options,
        hooks,
        log,
        database: Database::open(conf)?,
        pending: Vec::new(),
        totals: Totals::default(),
    };
    let read = import.read(conf.max_event_size);
    // What came before a line that is too long is stored all the same.
    import.commit()?;
    read?;
    log.end_noise();
    let words = import.totals.words();
    log.info("main thread", &format!("Done. {words}"));
    Ok(())
}

impl Import<'_> {
    fn read(&mut self, max_line: usize) -> Result<(), Stop> {
        let (sender, lines) = sync_channel::<Vec<u8>>(1024);
        // Ends with the input, or with the process where the input is given up.
        thread::spawn(move || {
            let mut input = stdin().lock();
            let mut line = Vec::new();
            while input
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                if sender.send(std::mem::take(&mut line)).is_err() {
                    break;
                }
            }
        });
        let mut number = 0;
        let mut oldest: Option<Instant> = None;
        loop {
            let wait = match oldest {
                // A day: there is nothing to commit.
                None => Duration::from_secs(86_400),
                Some(oldest) => self.options.debounce.saturating_sub(oldest.elapsed()),
            };
            let line = match lines.recv_timeout(wait) {
                Ok(line) => line,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {
                    self.commit_pending(&mut oldest)?;
                    continue;
                }
            };
            number += 1;
            if line.len() > max_line {
                let words = "Line larger than configured maxEventSize on line";
                return Err(Stop::Error(format!("{words} {number}")));
            }
            self.take(number, &line);
            self.hooks.after_line(number);
            if self.pending.len() >= self.options.write_batch {
                self.commit_pending(&mut oldest)?;
            } else if oldest.is_none() && !self.pending.is_empty() {
                oldest = Some(Instant::now());
            }
        }
    }

    fn commit_pending(&mut self, oldest: &mut Option<Instant>) -> Result<(), Stop> {
        *oldest = None;
        match self.pending.is_empty() {
            true => Ok(()),
            false => self.commit(),
        }
    }

    fn take(&mut self, number: u64, line: &[u8]) {
        // strfry cuts the last byte off without looking whether it is a newline.
        let line = &line[..line.len() - 1];
        let value = match serde_json::from_slice(line) {
            Ok(Value::Null) => return,
            Ok(value) => value,
            Err(_) => {
                let words = format!("Unable to parse JSON on line {number}");
                return self.log.warn("main thread", &words);
            }
        };
        self.totals.processed += 1;
        match Record::parse(&value) {
            Ok(record) => self.pending.push(record),
            Err(why) => {
                let id = value.get("id").and_then(Value::as_str);
                self.reject(id.unwrap_or("unknown"), &why);
            }
        }
    }

    fn reject(&mut self, id: &str, why: &str) {
        self.totals.rejected += 1;
        if self.options.show_rejected {
            let words = format!("Rejected event {id}: {why}");
            self.log.info("Validator", &words);
        }
    }

    /// What of the batch is genuine.
    fn verified(&mut self, batch: Vec<Record>) -> Vec<Record> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let share = batch.len().div_ceil(threads).max(1);
        let verdicts: Vec<Result<(), String>> = thread::scope(|scope| {
            let verify = |share: &[Record]| share.iter().map(genuine).collect::<Vec<_>>();
            let verifiers: Vec<_> = batch
                .chunks(share)
                .map(|share| scope.spawn(move || verify(share)))
                .collect();
            let joined = verifiers
                .into_iter()
                .map(|verifier| verifier.join().unwrap());
            joined.flatten().collect()
        });
        let mut genuine = Vec::with_capacity(batch.len());
        for (record, verdict) in batch.into_iter().zip(verdicts) {
            match verdict {
                Ok(()) => genuine.push(record),
                Err(why) => self.reject(&const_hex::encode(record.id), &why),
            }
        }
        genuine
    }

    fn commit(&mut self) -> Result<(), Stop> {
        let mut batch = std::mem::take(&mut self.pending);
        if self.options.verify {
            batch = self.verified(batch);
        }
        let done = self.database.write(batch, self.hooks, self.log)?;
        self.totals.added += done.added;
        self.totals.dups += done.dups;
        if done.looked_at > 0 {
            let words = format!("Committed {}. {}", done.added, self.totals.words());
            self.log.info("Writer", &words);
        }
        self.log.info(
            "Writer",
            &format!(
                "Writer: added: {} dups: {} replaced: {} deleted: {}",
                done.added, done.dups, done.replaced, done.deleted
            ),
        );
        Ok(())
    }
}

/// Whether the event is genuine, in strfry's words.
fn genuine(record: &Record) -> Result<(), String> {
    let event =
        Event::parse(record.json.as_bytes()).map_err(|error| format!("stand-in: {error}"))?;
    // What strfry spells otherwise than NIP-01, it hashes otherwise.
    if event.canonical_form().contains('\x7f') {
        return Err("bad event id".to_owned());
    }
    verify(&event).map_err(|forgery| {
        let words = match forgery {
            Forgery::Id => "bad event id",
            Forgery::Pubkey => "verify sig: bad pubkey",
            Forgery::Signature => "bad signature",
        };
        words.to_owned()
    })
}
