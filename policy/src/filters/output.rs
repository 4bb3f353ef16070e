//! Logs what filters print: one log line for each line, shortened, and without anything that a
//! terminal would obey.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use constellation_shared::wot::quoted_bytes;
use tracing::info;

/// The longest line that is logged whole, in bytes.
const LONGEST_LINE: usize = 1000;

/// How much of one run's output is logged, in bytes of the log.
const MOST_OF_A_RUN: usize = 16 * 1024;

/// How many bytes of a log line are not the filter's output.
const FRAME: usize = 64;

/// The output of the filter of one kind. All its runs share one pipe, so that processes which
/// they leave running cost us nothing and are not mistaken for those of other filters.
#[derive(Debug)]
pub(super) struct FilterOutput {
    writer: PipeWriter,
    /// How many runs were started.
    runs: Arc<AtomicU64>,
    /// Told when no process is left that could print more.
    finished: Receiver<()>,
}

impl FilterOutput {
    /// Starts a thread that logs the output.
    ///
    /// # Errors
    /// Fails if the pipe cannot be made or the thread cannot be started.
    pub(super) fn start(kind: u64) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let runs: Arc<AtomicU64> = Arc::default();
        let current = Arc::clone(&runs);
        let (end, finished) = mpsc::channel();
        thread::Builder::new()
            .name(format!("filter {kind}"))
            .spawn(move || {
                read(reader, kind, &current);
                let _ = end.send(());
            })?;
        Ok(Self {
            writer,
            runs,
            finished,
        })
    }

    /// Returns the writing end of the pipe for the next run.
    ///
    /// # Errors
    /// Fails if the descriptor cannot be duplicated.
    pub(super) fn begin_run(&self) -> io::Result<PipeWriter> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        self.writer.try_clone()
    }

    /// Ends the output, as no more runs will be started. The receiver is told once no process is
    /// left that could print more, and everything is logged.
    pub(super) fn close(self) -> Receiver<()> {
        self.finished
    }
}

fn read(mut pipe: PipeReader, kind: u64, runs: &AtomicU64) {
    let mut piece = [0; 4096];
    let mut log = RunLog::new(kind);
    loop {
        let length = match pipe.read(&mut piece) {
            Ok(0) => return log.end_line(),
            Ok(length) => length,
            // Whatever the error, the processes that print must not be stopped by it.
            Err(_) => continue,
        };
        log.set_run(runs.load(Ordering::Relaxed));
        let piece = piece.get(..length).unwrap_or_default();
        for part in piece.split_inclusive(|&byte| byte == b'\n') {
            log.add(part);
        }
    }
}

/// Logs the lines of the current run.
#[derive(Debug)]
struct RunLog {
    kind: u64,
    run: u64,
    /// How much of the run was logged, in bytes.
    bytes: usize,
    line: Vec<u8>,
}

impl RunLog {
    const fn new(kind: u64) -> Self {
        Self {
            kind,
            run: 0,
            bytes: 0,
            line: Vec::new(),
        }
    }

    /// Notes which run prints now.
    fn set_run(&mut self, run: u64) {
        if self.run != run {
            self.end_line();
            self.run = run;
            self.bytes = 0;
        }
    }

    /// Adds a part of a line; a newline ends it.
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
                info!("filter {kind}.sh: the rest of its output is left out");
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

    /// Returns what is logged if two runs print these texts.
    fn log_of(runs: [&str; 2]) -> String {
        logged(|| {
            let mut log = RunLog::new(1);
            for (number, text) in (1..).zip(runs) {
                log.set_run(number);
                for part in text.as_bytes().chunks(300) {
                    for part in part.split_inclusive(|&byte| byte == b'\n') {
                        log.add(part);
                    }
                }
            }
            log.end_line();
        })
    }

    #[test]
    fn only_a_line_above_the_limit_is_shortened() {
        let [whole, longer] = [LONGEST_LINE, LONGEST_LINE + 1].map(|length| "x".repeat(length));
        let log = log_of([&format!("{whole}\n\n{longer}"), "next"]);
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
    fn each_run_has_its_own_limit() {
        let much = "a line\n".repeat(1000);
        let log = log_of([&much, &much]);
        let most = MOST_OF_A_RUN.div_ceil(FRAME + "\"a line\"".len());
        assert_eq!(log.matches(": \"a line\"\n").count(), 2 * most);
        assert_eq!(log.matches("the rest of its output is left out").count(), 2);
        let (first, _) = log.split_once("left out").unwrap();
        assert_eq!(first.matches(": \"a line\"\n").count(), most);
    }

    #[test]
    fn a_run_that_reaches_the_limit_exactly_is_cut_there() {
        let line = format!("{}\n", "x".repeat(FRAME - "\"\"".len()));
        let most = MOST_OF_A_RUN / (2 * FRAME);
        let log = log_of([&line.repeat(most + 2), ""]);
        assert_eq!(log.matches(line.trim_end()).count(), most);
        assert_eq!(log.matches("left out").count(), 1);
    }

    #[test]
    fn each_line_is_logged_separately_even_an_unfinished_last_one() {
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
