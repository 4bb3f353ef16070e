//! [`Objection`]: what a relay means by the words with which it refuses a question.
//!
//! NIP-01 gives such words a prefix, which says little, and many relays use none. So the words
//! themselves are looked at. `tests/tests/peers/wordings.rs` holds those of many relays, with their
//! sources. No clock, no network: words go in, a class comes out.

/// What a question asks for too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// Authors.
    Authors,
    /// Kinds.
    Kinds,
    /// Ids.
    Ids,
    /// Values in a list, whichever it is.
    Items,
    /// Filters.
    Filters,
    /// The time between `since` and `until`.
    Span,
    /// The number of events that it wants, `limit`.
    Limit,
    /// The relay does not say.
    Any,
}

/// What a relay means by its refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Objection {
    /// The question asks for too much at once; a smaller one may be answered.
    TooMuch(Dimension),
    /// Too many questions are open at once.
    TooManyOpen,
    /// It would answer later.
    RateLimited,
    /// It answers only clients who authenticate (NIP-42), or who are on some list.
    WantsAuth,
    /// It does not answer such questions at all.
    Never,
    /// No rule knows these words.
    Unknown,
}

/// Words by which a relay asks for patience.
const PATIENCE: [&str; 9] = [
    "rate-limit",
    "rate limit",
    "ratelimit",
    "slow down",
    "too many requests",
    "so many requests",
    "try again later",
    "temporarily blocked",
    "throttl",
];

/// Words by which a relay wants to know who asks.
const AUTHENTICATION: [&str; 4] = [
    "auth required",
    "auth-required",
    "authentication required",
    "authentication is required",
];

/// Words that say that something is too much.
const EXCESS: [&str; 20] = [
    "too many",
    "too much",
    "too large",
    "too big",
    "too broad",
    "too long",
    "too high",
    "too wide",
    "too complex",
    "exceed",
    "more than",
    "at most",
    "maximum",
    "max ",
    "less than or equal",
    "less then or equal",
    "size limit",
    "exactly one author",
    "number of filters",
    "timeout",
];

/// Words that say that no smaller question would help.
const NEVER: [&str; 24] = [
    "disabled",
    "not supported",
    "unsupported",
    "not allowed",
    "not permitted",
    "not accept",
    "payment",
    "paid",
    "whitelist",
    "web of trust",
    "banned",
    "forbidden",
    "unauthorized",
    "denied",
    "unknown cmd",
    "unknown command",
    "unrecognized",
    "unrecognised",
    "could not parse command",
    "must be specified",
    "underspecified",
    "empty filters",
    "subscription id",
    "identifier",
];

/// What these words of a relay mean.
pub fn classify(words: &str) -> Objection {
    let text = words.to_ascii_lowercase();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let prefix = text.split_once(':').map_or("", |(prefix, _)| prefix);
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if matches!(prefix, "auth-required" | "restricted") || has(&AUTHENTICATION) {
        Objection::WantsAuth
    } else if says_too_many_open(text) {
        Objection::TooManyOpen
    } else if has(&PATIENCE) {
        Objection::RateLimited
    } else if has(&["subscription id", "identifier"]) {
        Objection::Never
    } else if prefix == "closed" {
        // A conversation of NIP-77 that has ended, whatever it was about.
        Objection::Unknown
    } else if has(&EXCESS) {
        Objection::TooMuch(dimension(text))
    } else if has(&NEVER) || matches!(prefix, "blocked" | "unsupported" | "mute" | "pow") {
        Objection::Never
    } else {
        Objection::Unknown
    }
}

fn says_too_many_open(text: &str) -> bool {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    // What follows names its real cause.
    let text_behind = text
        .split_once("subscription rejected:")
        .or_else(|| text.split_once("subscription error:"))
        .map_or(text, |(_, behind)| behind);
    let about_subscriptions = [
        "subscription",
        " subs",
        " reqs",
        "concurrent req",
        "neg req",
    ]
    .iter()
    .any(|word| text_behind.contains(word));
    let many = has(&[
        "too many",
        "maximum",
        "exceed",
        "no more than",
        "limit reached",
    ]);
    let about_one = has(&[
        "subscription id",
        "identifier",
        "per subscription",
        "per susbscription",
        "filters",
    ]);
    about_subscriptions && many && !about_one
}

fn dimension(text: &str) -> Dimension {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["kind"]) {
        Dimension::Kinds
    } else if has(&["author", "pubkey"]) {
        Dimension::Authors
    } else if has(&["filter item", "values", "elements"]) {
        Dimension::Items
    } else if has(&[" ids", " id ", "event id"]) || text.ends_with(" id") {
        Dimension::Ids
    } else if has(&["filters", "arr too big"]) {
        Dimension::Filters
    } else if has(&["filter limit", "limit too", "limit must", "limit is"]) {
        Dimension::Limit
    } else if has(&[
        "time range",
        "timespan",
        "time span",
        "span",
        "since",
        "until",
        " days",
        "time window",
        "period",
    ]) {
        Dimension::Span
    } else {
        Dimension::Any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_count_less_than_words() {
        for (words, class) in [
            (
                "error: too many authors",
                Objection::TooMuch(Dimension::Authors),
            ),
            (
                "blocked: filter too broad",
                Objection::TooMuch(Dimension::Any),
            ),
            ("blocked: not for you", Objection::Never),
            (
                "rate-limited: too many subscriptions.",
                Objection::TooManyOpen,
            ),
            ("rate-limited: too many filters", Objection::RateLimited),
            ("restricted: too many authors", Objection::WantsAuth),
            (
                "ERROR: bad req: total filter items too large",
                Objection::TooMuch(Dimension::Items),
            ),
            ("", Objection::Unknown),
            ("what is that", Objection::Unknown),
        ] {
            assert_eq!(classify(words), class, "{words}");
        }
    }
}
