//! One row of the catalogue: a hostile peer beside a good one, and what must come of it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use constellation_shared::Event;
use constellation_tests::author::notes;
use constellation_tests::{Author, Behaviour, RawRelay, ScriptedRelay, StationDir, station};

use constellation_tests::sync_program::left_behind::ended_well;
use constellation_tests::sync_program::{
    PLAIN_KINDS, command, expect_logged, expect_stored, follow, recent, refused, report,
};

/// What all runs of the catalogue may take together: three tries of a silent peer, with one
/// second of patience for each step, on a machine that has other work.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

/// How much memory of its own a run may have, in bytes, whatever a peer sends.
const MEMORY: u64 = 96 << 20;

/// How many rows are run at a time: most of them wait.
const AT_ONCE: usize = 12;

/// Whose events the good peer has.
pub(crate) static AUTHORS: LazyLock<Vec<Author>> = LazyLock::new(|| Author::many(5));

/// What it has.
pub(crate) static GOOD: LazyLock<Vec<Event>> =
    LazyLock::new(|| notes(&AUTHORS, &PLAIN_KINDS, 120, recent(), 3000));

/// What is changed at a station before the run.
type Prepare = Box<dyn FnOnce(&StationDir) + Send>;

/// A peer, or several, and what must come of a run with them and a good one.
pub(crate) struct Fault {
    peers: Vec<String>,
    _alive: Vec<Box<dyn Any + Send>>,
    code: i32,
    says: Vec<String>,
    refused: Vec<(&'static str, u64)>,
    brings: Vec<Event>,
    args: Vec<String>,
    patience: &'static str,
    env: Vec<(&'static str, String)>,
    stands_in: bool,
    memory: u64,
    files: Option<u64>,
    prepare: Option<Prepare>,
}

impl Fault {
    /// A peer at this URL that does no harm.
    pub(crate) fn at(url: impl Into<String>) -> Self {
        Self {
            peers: vec![url.into()],
            _alive: Vec::new(),
            code: 0,
            says: Vec::new(),
            refused: Vec::new(),
            brings: Vec::new(),
            args: Vec::new(),
            patience: "1",
            env: Vec::new(),
            stands_in: false,
            memory: MEMORY,
            files: None,
            prepare: None,
        }
    }

    /// Peers that are all right, and a fault that lies elsewhere.
    pub(crate) fn elsewhere(prepare: impl FnOnce(&StationDir) + Send + 'static) -> Self {
        Self {
            peers: Vec::new(),
            ..Self::at("")
        }
        .prepared(prepare)
    }

    /// This peer.
    pub(crate) fn of(relay: RawRelay) -> Self {
        Self::at(relay.url()).with(relay)
    }

    /// This peer.
    pub(crate) fn scripted(relay: ScriptedRelay) -> Self {
        Self::at(relay.url()).with(relay)
    }

    /// Keeps something alive for as long as the run lasts.
    pub(crate) fn with(mut self, alive: impl Any + Send) -> Self {
        self._alive.push(Box::new(alive));
        self
    }

    /// The peer fails, and the log says this of it.
    pub(crate) fn fails(mut self, why: impl Into<String>) -> Self {
        self.code = 1;
        self.says(why)
    }

    /// The log says this.
    pub(crate) fn says(mut self, words: impl Into<String>) -> Self {
        self.says.push(words.into());
        self
    }

    /// At least so many of its events are refused for this reason.
    pub(crate) fn refuses(mut self, reason: &'static str, count: u64) -> Self {
        self.refused.push((reason, count));
        self
    }

    /// Genuine events of the hostile peer that come in all the same.
    pub(crate) fn brings(mut self, events: &[Event]) -> Self {
        self.brings.extend_from_slice(events);
        self
    }

    /// More of the command line.
    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(ToString::to_string));
        self
    }

    /// The peer does not fall silent, but makes work: debug builds need time for that.
    pub(crate) fn patiently(mut self) -> Self {
        self.patience = "15";
        self
    }

    /// The stand-in strfry fails so.
    pub(crate) fn strfry(mut self, hook: &'static str, value: impl Into<String>) -> Self {
        self.stands_in = true;
        self.env.push((hook, value.into()));
        self
    }

    /// The run has so much memory of its own, in bytes.
    pub(crate) fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// The run may have so many files open.
    pub(crate) fn files(mut self, count: u64) -> Self {
        self.files = Some(count);
        self
    }

    /// Changes the station before the run.
    pub(crate) fn prepared(mut self, change: impl FnOnce(&StationDir) + Send + 'static) -> Self {
        self.prepare = Some(Box::new(change));
        self
    }

    fn run(self) {
        let good = ScriptedRelay::start(&GOOD, Behaviour::default());
        let station = match self.stands_in {
            true => StationDir::builder(env!("CARGO_BIN_EXE_demo"))
                .stand_in()
                .build(),
            false => station!(),
        };
        let good_url = good.url();
        let peers: Vec<&str> = self.peers.iter().map(String::as_str).collect();
        follow(&station, &AUTHORS, &[&peers[..], &[&good_url]].concat());
        if let Some(prepare) = self.prepare {
            prepare(&station);
        }
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let started = Instant::now();
        let mut program = command(&station, &["--patience", self.patience]).args(&args);
        for (name, value) in &self.env {
            program = program.env(name, value);
        }
        let running = program.spawn();
        running.limit_memory(self.memory);
        if let Some(files) = self.files {
            running.limit_files(files);
        }
        let output = running.wait();
        let took = started.elapsed();
        output.expect_code(self.code);
        let bound = if self.patience == "1" {
            BOUND
        } else {
            2 * BOUND
        };
        assert!(took < bound, "it took {took:?}\n{output}");
        for words in &self.says {
            expect_logged(&station, words);
        }
        let report = report(&output);
        for (reason, count) in &self.refused {
            assert!(refused(&report, reason) >= *count, "{reason}\n{report}");
        }
        expect_stored(&station, &[&GOOD[..], &self.brings].concat());
        let of_good = report["peers"].as_array().unwrap().iter();
        let of_good: Vec<_> = of_good.filter(|peer| peer["url"] == good_url).collect();
        assert_eq!(of_good.len(), 1, "{report}");
        assert_eq!(of_good[0]["complete"], true, "{report}");
        ended_well(&station, &output);
    }
}

/// The first followed author's newest note so far, signed.
pub(crate) fn genuine(text: &str) -> Event {
    AUTHORS[0].note(recent() - 5, text)
}

/// An event of so little use that it is not stored.
pub(crate) fn greeting(number: u64) -> String {
    let content = format!("Hello NOSTR visitor {number}");
    AUTHORS[2].note(recent() - number, &content).to_json()
}

/// A row's name and how it is made.
pub(crate) type Row = (&'static str, fn() -> Fault);

/// Rows by the names of the functions that make them, which the catalogue names.
#[macro_export]
macro_rules! rows {
    ($($row:ident),* $(,)?) => { &[$((stringify!($row), $row as fn() -> $crate::row::Fault)),*] };
}

/// Runs all rows, and panics with the names of those that do not hold. With the variable
/// `FAULT` set, only the row of that name is run.
pub(crate) fn all_hold(rows: &[Row]) {
    let only = std::env::var("FAULT").ok();
    let next = AtomicUsize::new(0);
    let broken: Vec<&str> = thread::scope(|scope| {
        let worker = || {
            let mut broken = Vec::new();
            while let Some((name, make)) = rows.get(next.fetch_add(1, Ordering::SeqCst)) {
                if only.as_ref().is_some_and(|only| only != name) {
                    continue;
                }
                let run = AssertUnwindSafe(|| make().run());
                if catch_unwind(run).is_err() {
                    eprintln!("^ row {name}");
                    broken.push(*name);
                }
            }
            broken
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
        let broken = workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap());
        broken.collect()
    });
    assert!(broken.is_empty(), "rows that do not hold: {broken:?}");
}
