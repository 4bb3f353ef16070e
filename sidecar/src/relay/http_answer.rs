//! What web servers in front of relays answer: that the relay is elsewhere, or busy. And what we call
//! ourselves in requests to them.

use std::time::Duration;

use hyper::header::{DATE, LOCATION, RETRY_AFTER};
use hyper::http::HeaderName;
use hyper::{HeaderMap, StatusCode};
use jiff::fmt::rfc2822;

/// How many redirects are followed in a row.
pub(crate) const MOST_REDIRECTS: usize = 3;

/// What we call ourselves in requests. Some web application firewalls refuse those without a name.
pub(crate) const USER_AGENT: &str = concat!("constellation-sync/", env!("CARGO_PKG_VERSION"));

/// Where a web server leads with such an answer, if anywhere (RFC 9110, 15.4).
pub(crate) fn elsewhere(status: StatusCode, headers: &HeaderMap) -> Option<String> {
    let is_redirect = matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let location = headers.get(LOCATION).filter(|_| is_redirect)?;
    location.to_str().ok().map(ToOwned::to_owned)
}

/// Whether a status says that the relay would answer later (RFC 6585, RFC 9110).
pub(crate) fn is_busy(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    )
}

/// How long a relay wants to be left alone, if it says so (RFC 9110, 10.2.3): in seconds, or up to a
/// date, which is compared with its own clock.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok();
    let value = text(RETRY_AFTER)?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let time = |text: &str| Some(rfc2822::parse(text).ok()?.timestamp().as_second());
    let seconds = time(value)?.checked_sub(time(text(DATE)?)?)?;
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_relay_wants_to_be_left_alone() {
        for (after, date, seconds) in [
            ("120", None, Some(120)),
            (" 0 ", None, Some(0)),
            ("soon", None, None),
            ("-1", None, None),
            ("Wed, 21 Oct 2015 07:28:00 GMT", None, None),
            (
                "Wed, 21 Oct 2015 07:28:00 GMT",
                Some("Wed, 21 Oct 2015 07:26:30 GMT"),
                Some(90),
            ),
            (
                "Wed, 21 Oct 2015 07:28:00 GMT",
                Some("Wed, 21 Oct 2015 08:00:00 GMT"),
                None,
            ),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, after.parse().unwrap());
            if let Some(date) = date {
                headers.insert(DATE, date.parse().unwrap());
            }
            let wait = seconds.map(Duration::from_secs);
            assert_eq!(retry_after(&headers), wait, "{after}");
        }
    }
}
