//! What filters print, in our log: a line each, cut, and without anything that a terminal
//! would obey.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use constellation_shared::wot::quoted_bytes;
use tracing::info;

/// The longest line that is shown whole, in bytes.
const LONGEST_LINE: usize = 1000;

/// How much is shown of one run, in bytes of the log.
const MOST_OF_A_RUN: usize = 16 * 1024;

/// What a line of the log holds besides, in bytes.
const FRAME: usize = 64;

/// What the filter of a kind prints: one pipe for all its runs, so that what they leave
/// running costs us nothing and is told from that of other filters.
#[derive(Debug)]
pub(super) struct Said {
    writer: PipeWriter,
    /// How many runs were begun.
    runs: Arc<AtomicU64>,
    reading: Receiver<()>,
}

impl Said {
    /// # Errors
    /// Those of making a pipe and starting a thread.
    pub(super) fn start(kind: u64) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let runs: Arc<AtomicU64> = Arc::default();
        let current = Arc::clone(&runs);
        let (end, reading) = mpsc::channel();
        thread::Builder::new()
            .name(format!("filter {kind}"))
            .spawn(move || {
                read(reader, kind, &current);
                let _ = end.send(());
            })?;
        Ok(Self {
            writer,
            runs,
            reading,
        })
    }

    /// An end of the pipe for the next run.
    ///
    /// # Errors
    /// That of duplicating a descriptor.
    pub(super) fn begin(&self) -> io::Result<PipeWriter> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        self.writer.try_clone()
    }

    /// Nothing is begun any more: what was said last is shown as soon as nobody is left who
    /// could say more, which is what the receiver is told.
    pub(super) fn close(self) -> Receiver<()> {
        self.reading
    }
}

fn read(mut pipe: PipeReader, kind: u64, runs: &AtomicU64) {
    let mut piece = [0; 4096];
    let mut shown = Shown::new(kind);
    loop {
        let length = match pipe.read(&mut piece) {
            Ok(0) => return shown.end_line(),
            Ok(length) => length,
            // Whoever writes must not be stopped, whatever this is.
            Err(_) => continue,
        };
        shown.go_on(runs.load(Ordering::Relaxed));
        let piece = piece.get(..length).unwrap_or_default();
        for part in piece.split_inclusive(|&byte| byte == b'\n') {
            shown.add(part);
        }
    }
}

/// What is shown of a run.
#[derive(Debug)]
struct Shown {
    kind: u64,
    run: u64,
    /// How much was, in bytes.
    bytes: usize,
    line: Vec<u8>,
}

impl Shown {
    const fn new(kind: u64) -> Self {
        Self {
            kind,
            run: 0,
            bytes: 0,
            line: Vec::new(),
        }
    }

    fn go_on(&mut self, run: u64) {
        if self.run != run {
            self.end_line();
            self.run = run;
            self.bytes = 0;
        }
    }

    /// Part of a line, or its end.
    fn add(&mut self, part: &[u8]) {
        let room = (LONGEST_LINE + 1).saturating_sub(self.line.len());
        self.line
            .extend_from_slice(part.get(..room).unwrap_or(part));
        if part.ends_with(b"\n") {
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        let kind = self.kind;
        if !self.line.trim_ascii().is_empty() && self.bytes < MOST_OF_A_RUN {
            let line = quoted_bytes(&self.line, LONGEST_LINE);
            info!("filter {kind}.sh: {line}");
            self.bytes += FRAME + line.len();
            if self.bytes >= MOST_OF_A_RUN {
                info!("filter {kind}.sh: the rest of what it says is left out");
            }
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::logged::logged;

    /// What is logged of what two runs print.
    fn shown(runs: [&str; 2]) -> String {
        logged(|| {
            let mut shown = Shown::new(1);
            for (number, text) in (1..).zip(runs) {
                shown.go_on(number);
                for part in text.as_bytes().chunks(300) {
                    for part in part.split_inclusive(|&byte| byte == b'\n') {
                        shown.add(part);
                    }
                }
            }
            shown.end_line();
        })
    }

    #[test]
    fn a_line_is_cut_where_it_is_longer_than_the_longest() {
        let [whole, longer] = [LONGEST_LINE, LONGEST_LINE + 1].map(|length| "x".repeat(length));
        let log = shown([&format!("{whole}\n\n{longer}"), "next"]);
        let lines: Vec<&str> = log
            .lines()
            .map(|line| line.split_once(": ").unwrap().1)
            .collect();
        let named = |text: &str| format!("filter 1.sh: \"{text}\"");
        let expected = [named(&whole), named(&format!("{whole}…")), named("next")];
        assert_eq!(lines.len(), expected.len(), "{log}");
        for (line, expected) in lines.iter().zip(&expected) {
            assert!(line.ends_with(&expected[..]), "{line}");
        }
    }

    #[test]
    fn what_is_left_out_of_one_run_does_not_count_for_the_next() {
        let much = "a line\n".repeat(1000);
        let log = shown([&much, &much]);
        let most = MOST_OF_A_RUN.div_ceil(FRAME + "\"a line\"".len());
        assert_eq!(log.matches(": \"a line\"\n").count(), 2 * most);
        assert_eq!(
            log.matches("the rest of what it says is left out").count(),
            2
        );
        let (first, _) = log.split_once("left out").unwrap();
        assert_eq!(first.matches(": \"a line\"\n").count(), most);
    }

    #[test]
    fn what_fills_a_run_to_the_byte_is_all_that_is_shown_of_it() {
        let line = format!("{}\n", "x".repeat(FRAME - "\"\"".len()));
        let most = MOST_OF_A_RUN / (2 * FRAME);
        let log = shown([&line.repeat(most + 2), ""]);
        assert_eq!(log.matches(line.trim_end()).count(), most);
        assert_eq!(log.matches("left out").count(), 1);
    }

    #[test]
    fn each_line_is_shown_by_itself_and_the_last_without_its_end() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"one\ntwo\nthree").unwrap();
        drop(writer);
        let log = logged(|| read(reader, 7, &AtomicU64::new(1)));
        let words = log
            .lines()
            .map(|line| line.split_once("filter 7.sh: ").unwrap().1);
        assert_eq!(
            words.collect::<Vec<_>>(),
            ["\"one\"", "\"two\"", "\"three\""],
            "{log}"
        );
    }
}
