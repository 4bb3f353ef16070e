//! What relays say that want to be asked less often: how long to wait.

use std::time::Duration;

use crate::relay::message::Reason;

/// The longest wait that a relay can ask for.
const LONGEST: Duration = Duration::from_secs(600);

/// How long a relay asks us to wait, if it names a time such as `30 s` or `2 minutes`.
pub(crate) fn named_wait(reason: &Reason) -> Option<Duration> {
    let text = reason.as_str().to_ascii_lowercase();
    let begin = text.find(|character: char| character.is_ascii_digit())?;
    let (_, text) = text.split_at_checked(begin)?;
    let end = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(end)?;
    let unit = unit.trim_start();
    let unit = unit.split(|character: char| !character.is_ascii_alphabetic());
    let seconds = match unit.into_iter().next()? {
        "s" | "sec" | "secs" | "second" | "seconds" => 1,
        "m" | "min" | "mins" | "minute" | "minutes" => 60,
        _ => return None,
    };
    let number: u64 = number.parse().unwrap_or(u64::MAX);
    Some(Duration::from_secs(number.saturating_mul(seconds)).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::message::{FromRelay, parse};
    use crate::relay::objection::Objection;

    fn reason(text: &str) -> Reason {
        let message = serde_json::json!(["NOTICE", text]).to_string();
        let Some(FromRelay::Notice(reason)) = parse(&message) else {
            panic!("{text}");
        };
        reason
    }

    #[test]
    fn a_relay_says_how_long_to_wait_or_does_not() {
        for (text, seconds) in [
            ("rate-limited: slow down", None),
            ("rate-limited: try again in 30s", Some(30)),
            ("rate-limited: wait 1 second.", Some(1)),
            (
                "ERROR: rate limit exceeded, retry after 2 minutes",
                Some(120),
            ),
            ("rate-limited: 500 requests are too many", None),
            ("rate-limited: 99999999999999999999999 s", Some(600)),
            ("rate-limited: 30", None),
        ] {
            let reason = reason(text);
            assert_eq!(reason.objection(), Objection::RateLimited, "{text}");
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(named_wait(&reason), expected, "{text}");
        }
    }
}
