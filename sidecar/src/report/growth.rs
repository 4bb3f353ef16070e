//! How large strfry's database is and how fast it grows, by what is remembered of the last days.

use crate::report::document::Document;
use crate::support::humanize::{bytes, duration};

/// The length of a day in seconds.
const DAY: u64 = 86_400;

/// By how much the database grew in how much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Growth {
    /// The bytes that it grew by; less than none if it shrank, as when another one took its place.
    pub bytes: i64,
    /// The seconds between the two measurements.
    pub seconds: u64,
}

impl Growth {
    /// By how much it grew since the first measurement of the last `most_days` days; nothing if there
    /// is none that is a day old.
    pub(crate) fn over(document: &Document, most_days: u64) -> Option<Self> {
        let now = document.finished_at;
        let size = i64::try_from(document.database_bytes?).ok()?;
        let oldest = now.saturating_sub(most_days.saturating_mul(DAY));
        let mut days = document.last_days.iter().rev();
        let (ended_at, before) = days.find_map(|day| {
            let bytes = i64::try_from(day.database_bytes?).ok()?;
            (day.ended_at >= oldest).then_some((day.ended_at, bytes))
        })?;
        let seconds = now.checked_sub(ended_at)?;
        (seconds >= DAY).then_some(Self {
            bytes: size.saturating_sub(before),
            seconds,
        })
    }

    /// By how much it grew in a day, on average.
    pub(crate) fn per_day(self) -> i64 {
        let per_day = i128::from(self.bytes) * i128::from(DAY) / i128::from(self.seconds.max(1));
        i64::try_from(per_day).unwrap_or_default()
    }

    /// `12.3 MB more than 14 days ago, 0.9 MB a day`.
    pub(crate) fn in_words(self) -> String {
        let ago = duration(self.seconds);
        let size = bytes(self.bytes.unsigned_abs());
        match self.bytes {
            0 => format!("as much as {ago} ago"),
            1.. => format!(
                "{size} more than {ago} ago, {} a day",
                bytes(self.per_day().unsigned_abs())
            ),
            _ => format!("{size} less than {ago} ago"),
        }
    }
}

/// How large the database is, and by how much it grew in the last days; nothing if that is unknown.
pub(crate) fn in_words(document: &Document, most_days: u64) -> Option<String> {
    let size = bytes(document.database_bytes?);
    Some(Growth::over(document, most_days).map_or_else(
        || size.clone(),
        |growth| format!("{size}, {}", growth.in_words()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::tests::document;
    use crate::report::run_summary::Day;

    const MB: u64 = 1_000_000;

    fn with(size: u64, days: &[(u64, u64)]) -> Document {
        let mut document = document();
        document.database_bytes = Some(size);
        document.last_days = days
            .iter()
            .map(|(ago, size)| Day {
                ended_at: document.finished_at - ago * DAY,
                database_bytes: Some(*size),
                ..Day::default()
            })
            .collect();
        document
    }

    #[test]
    fn growth_is_measured_over_days() {
        let plain = |document: &Document, days| {
            in_words(document, days).map(|words| words.replace('\u{202f}', " "))
        };
        let grown = with(90 * MB, &[(0, 90 * MB), (7, 80 * MB), (20, 50 * MB)]);
        for (days, words) in [
            (92, "90.0 MB, 40.0 MB more than 20 days ago, 2.0 MB a day"),
            (7, "90.0 MB, 10.0 MB more than 7 days ago, 1.4 MB a day"),
            (6, "90.0 MB"),
        ] {
            assert_eq!(plain(&grown, days).as_deref(), Some(words));
        }
        let shrunk = with(10 * MB, &[(0, 10 * MB), (3, 80 * MB)]);
        let words = "10.0 MB, 70.0 MB less than 3 days ago";
        assert_eq!(plain(&shrunk, 92).as_deref(), Some(words));
        let same = with(10 * MB, &[(3, 10 * MB)]);
        assert_eq!(
            plain(&same, 92).as_deref(),
            Some("10.0 MB, as much as 3 days ago")
        );
        assert_eq!(plain(&document(), 92), None, "nobody knows how large it is");
    }
}
