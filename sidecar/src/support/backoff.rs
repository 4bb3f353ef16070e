//! How long to wait before another try.

use std::time::Duration;

/// How often a peer is tried.
pub(crate) const MOST_ATTEMPTS: u32 = 3;

/// The first wait.
const FIRST: Duration = Duration::from_secs(1);

/// The wait after the given number of failed attempts: 1 s, 2 s, 4 s …, half of it at
/// random (`chance` from 0 to 1), so that stations that failed together do not come back
/// together.
pub(crate) fn wait_after(attempts: u32, chance: f64) -> Duration {
    let whole = FIRST * 2_u32.saturating_pow(attempts.saturating_sub(1).min(10));
    whole.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

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
