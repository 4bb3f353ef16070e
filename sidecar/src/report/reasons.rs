//! What the reasons mean by which an event is left out, in words for people.

/// A reason in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reason {
    /// The stable word for it, as the report has it.
    pub code: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What follows a number of such events: `3 forged`.
    pub short: &'static str,
}

const fn reason(code: &'static str, meaning: &'static str, short: &'static str) -> Reason {
    Reason {
        code,
        meaning,
        short,
    }
}

/// All reasons.
const REASONS: [Reason; 12] = [
    reason(
        "malformed",
        "not an event as NIP-01 spells it",
        "that are no proper events",
    ),
    reason(
        "unasked",
        "another author, kind or time than asked for",
        "that nobody asked for",
    ),
    reason("forged", "id or signature not true", "forged"),
    reason(
        "blocked",
        "its author is blacklisted",
        "of blacklisted authors",
    ),
    reason(
        "visitor",
        "a greeting of a visitor",
        "greetings of visitors",
    ),
    reason("expired", "its expiration has passed", "expired"),
    reason(
        "ephemeral",
        "of a kind that is not stored",
        "of kinds that are not stored",
    ),
    reason(
        "future",
        "dated more than 15 minutes ahead",
        "dated in the future",
    ),
    reason(
        "too_long",
        "longer than this strfry takes",
        "too long for this strfry",
    ),
    reason(
        "too_many_tags",
        "with more tags than this strfry takes",
        "with too many tags for this strfry",
    ),
    reason(
        "tag_too_long",
        "with a longer tag than this strfry takes",
        "with too long a tag for this strfry",
    ),
    reason(
        "deleted",
        "its own author deleted it",
        "deleted by their authors",
    ),
];

/// The reason for which this is the stable word, if there is one.
pub(crate) fn find(code: &str) -> Option<&'static Reason> {
    REASONS.iter().find(|reason| reason.code == code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::rules::Refusal;

    #[test]
    fn every_reason_has_its_meaning() {
        for refusal in Refusal::ALL {
            let code = refusal.code();
            assert!(find(code).is_some(), "{code}");
        }
    }
}
