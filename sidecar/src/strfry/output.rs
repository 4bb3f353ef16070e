//! What `strfry import` says on stderr, as far as it counts.

use constellation_shared::EventId;

/// What became of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Written {
    /// New in the database.
    pub added: u64,
    /// There already.
    pub dups: u64,
    /// Older than one that replaces it (NIP-01).
    pub replaced: u64,
    /// Deleted by its author (NIP-09).
    pub deleted: u64,
}

impl Written {
    /// Adds others to these.
    pub(crate) const fn add(&mut self, others: Self) {
        // Another program's numbers: they may be anything.
        self.added = self.added.saturating_add(others.added);
        self.dups = self.dups.saturating_add(others.dups);
        self.replaced = self.replaced.saturating_add(others.replaced);
        self.deleted = self.deleted.saturating_add(others.deleted);
    }

    /// How many events these are.
    pub(crate) const fn total(self) -> u64 {
        self.added
            .saturating_add(self.dups)
            .saturating_add(self.replaced)
            .saturating_add(self.deleted)
    }
}

/// A line that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// These were written and committed (`Writer: added: …`), the oldest that it holds.
    Written(Written),
    /// This one was refused (`Rejected event …`, with `--show-rejected`).
    Rejected(EventId, String),
    /// A line of our input was no JSON to strfry, which counts it nowhere else (`Unable to
    /// parse JSON on line …`).
    Unparsable,
    /// This line, from 1, is longer than `events.maxEventSize`: the import ends here.
    TooLong(u64),
    /// The end of an import (`Done. Processed …`).
    Done {
        /// How many lines it read that were JSON.
        processed: u64,
        /// New in the database.
        added: u64,
        /// Refused.
        rejected: u64,
        /// There already.
        dups: u64,
    },
}

/// What stands before the number of a line that is too long (strfry's `cmd_import.cpp`).
const TOO_LONG: &str = "strfry error: Line larger than configured maxEventSize on line ";

/// Reads a line of stderr; `None` for one that says nothing that counts.
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
