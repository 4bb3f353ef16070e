//! [`Case`]: an import, and what comes of it.

use constellation_shared::{Event, EventId};
use constellation_tests::command::Output;
use constellation_tests::{Author, station};

pub(crate) const NOW: u64 = 1_795_000_000;

/// An import, and what comes of it.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Imported beforehand, one by one, without verification.
    pub(crate) before: Vec<Event>,
    pub(crate) args: &'static [&'static str],
    pub(crate) input: Vec<u8>,
    pub(crate) code: i32,
    /// Of the `Done` line; none where there is no such line.
    pub(crate) done: Option<&'static str>,
    /// The sum of the `Writer` lines.
    pub(crate) writer: [u64; 4],
    pub(crate) said: Vec<String>,
    /// What is stored in the end, newest first.
    pub(crate) left: Vec<EventId>,
}

impl Case {
    /// `import` of these events into an empty database, all of which are added.
    pub(crate) fn new(name: &'static str, events: &[&Event]) -> Self {
        Self {
            name,
            before: Vec::new(),
            args: &[],
            input: lines(events),
            code: 0,
            done: None,
            writer: [events.len() as u64, 0, 0, 0],
            said: Vec::new(),
            left: events.iter().map(|event| event.id).collect(),
        }
    }

    pub(crate) fn check(&self) {
        let station = station!();
        for event in &self.before {
            station.import(std::slice::from_ref(event));
        }
        let command = station.strfry_command().arg("import").args(self.args);
        let output = command.stdin(self.input.clone()).output();
        let name = self.name;
        output.expect_code(self.code);
        assert_eq!(output.stdout, "", "{name}\n{output}");
        let mut last = output
            .stderr
            .lines()
            .filter(|line| !line.ends_with("atexit"));
        let done = last
            .next_back()
            .and_then(|line| line.split_once("Done. Processed "));
        assert_eq!(done.map(|(_, rest)| rest), self.done, "{name}\n{output}");
        assert_eq!(writer(&output), self.writer, "{name}\n{output}");
        for words in &self.said {
            output.expect_stderr(words);
        }
        let left: Vec<EventId> = station.stored().iter().map(|event| event.id).collect();
        assert_eq!(left, self.left, "{name}\n{output}");
    }
}

pub(crate) fn lines(events: &[&Event]) -> Vec<u8> {
    let lines = events.iter().map(|event| event.to_json() + "\n");
    lines.collect::<String>().into_bytes()
}

/// Added, dups, replaced, deleted.
pub(crate) fn writer(output: &Output) -> [u64; 4] {
    let mut sums = [0; 4];
    let words = output
        .stderr
        .lines()
        .filter_map(|line| line.split_once("Writer: added: "));
    for (_, words) in words {
        let numbers = words.split(' ').filter_map(|word| word.parse::<u64>().ok());
        sums.iter_mut()
            .zip(numbers)
            .for_each(|(sum, number)| *sum += number);
    }
    sums
}

/// A note whose JSON is so long.
pub(crate) fn note_of_length(author: &Author, bytes: usize) -> Event {
    let rest = author.note(NOW, "").to_json().len();
    let note = author.note(NOW, &"x".repeat(bytes - rest));
    assert_eq!(note.to_json().len(), bytes);
    note
}
