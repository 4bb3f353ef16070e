//! `doctor` about this machine's clock, compared with the peers' clocks. With a wrong clock, events
//! are refused because they seem to be from the future, here or elsewhere.

use std::process::Stdio;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use tokio::process::Command;
use tokio::time::timeout;

use crate::commands::doctor::finding::{Finding, Remedy};
use crate::support::sanitize::for_terminal;

/// How much of a foreign text is shown, in characters.
const LONGEST: usize = 200;

/// How far off the clock may be without a warning, in seconds: more than an answer takes.
const TOLERATED: u64 = 60;

/// How far off it may be before events are refused that are not, in seconds; relays take
/// what is dated up to 15 minutes ahead (strfry's `rejectEventsNewerThanSeconds`).
const BEARABLE: u64 = 600;

/// How many seconds a `Date` header (RFC 9110, 5.6.7) that has just come is ahead of our
/// clock.
pub(crate) fn ahead(date: &str) -> Option<i64> {
    ahead_of(date, Timestamp::try_from(SystemTime::now()).ok()?)
}

fn ahead_of(date: &str, now: Timestamp) -> Option<i64> {
    let date = rfc2822::parse(date).ok()?.timestamp();
    Some(date.as_second() - now.as_second())
}

/// How long `timedatectl` may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// Whether NTP keeps this machine's clock in time, as the kernel knows it.
///
/// # Errors
/// Why that is not known, in words.
pub(crate) async fn is_synchronised() -> Result<bool, String> {
    let mut command = Command::new("timedatectl");
    command
        .args(["show", "--property=NTPSynchronized"])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await;
    let output =
        output.map_err(|_| format!("timedatectl says nothing for {} s", PATIENCE.as_secs()))?;
    let output = output.map_err(|error| format!("timedatectl cannot be started: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.trim() {
        "NTPSynchronized=yes" => Ok(true),
        "NTPSynchronized=no" => Ok(false),
        _ => {
            let words = String::from_utf8_lossy(&output.stderr);
            let words = words.lines().next().unwrap_or("it does not know");
            Err(format!(
                "timedatectl does not say: {}",
                for_terminal(words, LONGEST)
            ))
        }
    }
}

/// What is wrong with what keeps the clock in time.
pub(crate) fn judge_synchronised(is_synchronised: &Result<bool, String>) -> Finding {
    match is_synchronised {
        Ok(true) => Finding::ok("clock_synchronised", "NTP keeps the clock in time"),
        Ok(false) => Finding::warn(
            "clock_not_synchronised",
            "nothing keeps this machine's clock in time (NTP)",
            "sudo timedatectl set-ntp true",
        ),
        Err(why) => Finding::unknown(
            "clock_sync_unknown",
            format!("whether anything keeps the clock in time (NTP) could not be asked: {why}"),
            Remedy::explain(
                "in a container, the machine around it keeps the time: ask there, with timedatectl",
            ),
        ),
    }
}

/// What is wrong with our clock, by how far those of others are ahead of it.
pub(crate) fn judge(mut ahead: Vec<i64>) -> Finding {
    ahead.sort_unstable();
    let Some(&median) = ahead.get(ahead.len() / 2) else {
        return Finding::unknown(
            "clock_unknown",
            "no peer tells its time, so the clock was not compared with others",
            "timedatectl",
        );
    };
    let off = median.unsigned_abs();
    let direction = if median > 0 { "slow" } else { "fast" };
    let text = format!(
        "our clock is {off} s {direction} compared with {}",
        match ahead.len() {
            1 => "one relay that tells its time".to_owned(),
            more => format!("{more} relays that tell their time"),
        }
    );
    let remedy = "sudo timedatectl set-ntp true";
    match off {
        0..=TOLERATED => Finding::ok("clock", text),
        // A single relay may be the one that is wrong.
        _ if off <= BEARABLE || ahead.len() == 1 => Finding::warn("clock_wrong", text, remedy),
        _ => Finding::fail("clock_wrong", text, remedy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;

    #[test]
    fn the_middle_of_all_peers_counts() {
        for (ahead, level) in [
            (vec![], Level::Unknown),
            (vec![0], Level::Ok),
            (vec![60], Level::Ok),
            (vec![-61], Level::Warn),
            (vec![100_000], Level::Warn),
            (vec![601, 601], Level::Fail),
            (vec![-3600, -3601, -3599], Level::Fail),
            (vec![0, 1, 100_000], Level::Ok),
            (vec![600, 600, 0], Level::Warn),
        ] {
            assert_eq!(judge(ahead.clone()).level, level, "{ahead:?}");
        }
        assert!(judge(vec![90]).text.contains("90 s slow"));
    }

    #[test]
    fn a_clock_that_nothing_keeps_in_time_is_named() {
        let judge = |is_synchronised| {
            let finding = judge_synchronised(&is_synchronised);
            (finding.code, finding.level)
        };
        assert_eq!(judge(Ok(true)), ("clock_synchronised", Level::Ok));
        assert_eq!(judge(Ok(false)), ("clock_not_synchronised", Level::Warn));
        let unknown = judge(Err("timedatectl cannot be started".to_owned()));
        assert_eq!(unknown, ("clock_sync_unknown", Level::Unknown));
    }

    #[test]
    fn a_date_as_http_writes_it() {
        let now = Timestamp::from_second(784_111_777).unwrap();
        let ahead = |text| ahead_of(text, now);
        assert_eq!(ahead("Sun, 06 Nov 1994 08:49:37 GMT"), Some(0));
        assert_eq!(ahead("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(ahead("yesterday"), None);
    }
}
