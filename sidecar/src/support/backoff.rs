//! The number of attempts to reach a peer, and the delays between them.

use std::time::Duration;

/// How many attempts are made to reach a peer.
pub(crate) const MOST_ATTEMPTS: u32 = 3;

/// The delay after the first failed attempt.
const FIRST: Duration = Duration::from_secs(1);

/// The delay after this many failed attempts: 1 s, 2 s, 4 s and so on, of which up to half is cut
/// at random (`chance` is between 0 and 1). Stations that failed together thus do not retry
/// together.
pub(crate) fn wait_after(attempts: u32, chance: f64) -> Duration {
    let whole = FIRST * 2_u32.saturating_pow(attempts.saturating_sub(1).min(10));
    whole.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0))
}

/// How often in a row a relay that asks for patience gets it although that brought nothing.
pub(crate) const MOST_FRUITLESS_WAITS: u32 = 5;

/// How long a relay that asks for patience is left alone if it names no time: a sixth of the
/// `patience` with a silent peer, so 5 s as a rule, and twice as long each time that this brings
/// nothing.
pub(crate) fn wait_for_patience(fruitless: u32, patience: Duration) -> Duration {
    patience / 6 * 2_u32.saturating_pow(fruitless.saturating_sub(1).min(10))
}

/// The longest time that all attempts take together if a peer is silent for `patience` in each.
pub(crate) fn longest_silence(patience: Duration) -> Duration {
    let waits: Duration = (1..MOST_ATTEMPTS)
        .map(|attempts| wait_after(attempts, 1.0))
        .sum();
    patience * MOST_ATTEMPTS + waits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_silent_attempts_and_the_waits_between_them() {
        let patience = Duration::from_secs(30);
        assert_eq!(longest_silence(patience), Duration::from_secs(93));
    }

    #[test]
    fn a_relay_that_asks_for_patience_gets_5_s_and_then_twice_as_long_each_time() {
        let waits = (1..=MOST_FRUITLESS_WAITS)
            .map(|fruitless| wait_for_patience(fruitless, Duration::from_secs(30)).as_secs());
        assert_eq!(waits.collect::<Vec<_>>(), [5, 10, 20, 40, 80]);
    }

    #[test]
    fn waits_double_and_differ() {
        let ms = Duration::from_millis;
        assert_eq!(wait_after(1, 0.0), ms(500));
        assert_eq!(wait_after(1, 1.0), ms(1000));
        assert_eq!(wait_after(2, 0.5), ms(1500));
        assert_eq!(wait_after(3, 1.0), ms(4000));
        assert_eq!(wait_after(u32::MAX, 1.0), ms(1_024_000));
    }
}
