//! Parses the lines that `strfry import` prints on stderr.

use constellation_shared::EventId;

/// The numbers of events that strfry has handled, by outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Written {
    /// Events that were added.
    pub added: u64,
    /// Events that were in the database already.
    pub dups: u64,
    /// Events that were older than one that replaces them (NIP-01).
    pub replaced: u64,
    /// Events that their authors had deleted (NIP-09).
    pub deleted: u64,
}

impl Written {
    /// Adds other numbers to these.
    pub(crate) const fn add(&mut self, others: Self) {
        // The numbers come from another program, so they may overflow.
        self.added = self.added.saturating_add(others.added);
        self.dups = self.dups.saturating_add(others.dups);
        self.replaced = self.replaced.saturating_add(others.replaced);
        self.deleted = self.deleted.saturating_add(others.deleted);
    }

    /// The sum of all numbers.
    pub(crate) const fn total(self) -> u64 {
        self.added
            .saturating_add(self.dups)
            .saturating_add(self.replaced)
            .saturating_add(self.deleted)
    }
}

/// A line with a meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// strfry has committed this many of the oldest events that it was given (`Writer: added: …`).
    Written(Written),
    /// strfry rejected this event for this reason (`Rejected event …`, with `--show-rejected`).
    Rejected(EventId, String),
    /// strfry could not parse a line of its input, and counts it nowhere else (`Unable to parse JSON
    /// on line …`).
    Unparsable,
    /// The line with this number, from 1, is longer than `events.maxEventSize`, and the import ended.
    TooLong(u64),
    /// The import is complete (`Done. Processed …`).
    Done {
        /// How many lines of JSON it read.
        processed: u64,
        /// How many events were added.
        added: u64,
        /// How many events were rejected.
        rejected: u64,
        /// How many events were in the database already.
        dups: u64,
    },
}

/// The text before the number of a line that is too long (strfry's `cmd_import.cpp`).
const TOO_LONG: &str = "strfry error: Line larger than configured maxEventSize on line ";

/// Parses a line of stderr; `None` if it has no meaning here.
pub(crate) fn parse(line: &str) -> Option<Said> {
    // Behind `date time (uptime) [thread]level| `.
    let text = line.split_once("| ").map_or(line, |(_, text)| text);
    if let Some(counts) = text.strip_prefix("Writer: ") {
        return Some(Said::Written(Written {
            added: number_behind(counts, "added:")?,
            dups: number_behind(counts, "dups:")?,
            replaced: number_behind(counts, "replaced:")?,
            deleted: number_behind(counts, "deleted:")?,
        }));
    }
    if let Some(event) = text.strip_prefix("Rejected event ") {
        let (id, reason) = event.split_once(": ")?;
        return Some(Said::Rejected(id.parse().ok()?, reason.to_owned()));
    }
    if text.starts_with("Unable to parse JSON on line ") {
        return Some(Said::Unparsable);
    }
    if let Some(number) = text.strip_prefix(TOO_LONG) {
        return Some(Said::TooLong(number.trim().parse().ok()?));
    }
    let counts = text.strip_prefix("Done. Processed ")?;
    Some(Said::Done {
        processed: counts.split(' ').next()?.parse().ok()?,
        added: number_before(counts, "added")?,
        rejected: number_before(counts, "rejected")?,
        dups: number_before(counts, "dups")?,
    })
}

fn number_behind(text: &str, name: &str) -> Option<u64> {
    let mut words = text.split_whitespace();
    words.find(|&word| word == name)?;
    words.next()?.parse().ok()
}

fn number_before(text: &str, name: &str) -> Option<u64> {
    let words: Vec<&str> = text
        .split([' ', ','])
        .filter(|word| !word.is_empty())
        .collect();
    let place = words.iter().position(|&word| word == name)?;
    words.get(place.checked_sub(1)?)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_as_strfry_writes_them() {
        let front = "2026-11-22 10:09:33.991 (   0.030s) [Writer          ]INFO| ";
        assert_eq!(
            parse(&format!(
                "{front}Writer: added: 5 dups: 1 replaced: 2 deleted: 3"
            )),
            Some(Said::Written(Written {
                added: 5,
                dups: 1,
                replaced: 2,
                deleted: 3
            }))
        );
        assert_eq!(
            parse(&format!(
                "{front}Done. Processed 7 lines. 2 added, 4 rejected, 1 dups"
            )),
            Some(Said::Done {
                processed: 7,
                added: 2,
                rejected: 4,
                dups: 1
            })
        );
        let id = "b271b5e2542245a8802a527c9215e26287957eb964b389c69823a0c8c0541c5d";
        assert_eq!(
            parse(&format!(
                "{front}Rejected event {id}: tag val too large: 2000"
            )),
            Some(Said::Rejected(
                id.parse().unwrap(),
                "tag val too large: 2000".to_owned()
            ))
        );
        assert_eq!(
            parse("(0.030s) [main thread     ]WARN| Unable to parse JSON on line 12"),
            Some(Said::Unparsable)
        );
        assert_eq!(
            parse("strfry error: Line larger than configured maxEventSize on line 3"),
            Some(Said::TooLong(3))
        );
        for nothing in [
            "",
            "Done. 2 added, 4 rejected, 1 dups",
            "WARNING: Running as root is not recommended",
            &format!("{front}Committed 5. Processed 5 lines. 5 added, 0 rejected, 0 dups"),
            &format!("{front}Writer: added: x"),
            &format!("{front}Rejected event unknown: event is not an object"),
            "Done. Processed",
        ] {
            assert_eq!(parse(nothing), None, "{nothing}");
        }
    }
}
