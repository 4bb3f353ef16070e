//! Numbers, sizes and durations as people read them.

use std::time::Duration;

use constellation_shared::counted;

/// A number with its digits in groups of three, separated by narrow no-break spaces: `12 345`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number of bytes in a unit that is a power of ten: `830 B`, `12.3 kB`, `4.5 MB`.
pub(crate) fn bytes(number: u64) -> String {
    let mut scaled = u128::from(number) * 10;
    for unit in ["B", "kB", "MB", "GB"] {
        if scaled < 10_000 || unit == "GB" {
            let (whole, tenth) = (scaled / 10, scaled % 10);
            return match (unit, whole) {
                ("B", _) | (_, 100..) => format!("{whole}\u{202f}{unit}"),
                _ => format!("{whole}.{tenth}\u{202f}{unit}"),
            };
        }
        scaled /= 1000;
    }
    String::new()
}

/// How long something took, with a tenth of a second below ten seconds: `3.2 s`, otherwise as
/// [`duration`].
pub(crate) fn measured(seconds: f64) -> String {
    match seconds {
        0.0..10.0 => format!("{seconds:.1} s"),
        _ => duration(Duration::try_from_secs_f64(seconds).map_or(0, |took| took.as_secs())),
    }
}

/// A number of seconds in the unit that suits it: `45 s`, `4 min`, `26 h`, `3 days`.
pub(crate) fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A number with its noun: `1 peer`, `2 peers`.
pub(crate) fn number_of(number: u64, one: &str) -> String {
    counted(number, one).replacen(&number.to_string(), &count(number), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_read_them() {
        let plain = |text: String| text.replace('\u{202f}', "_");
        for (number, words) in [
            (0, "0"),
            (999, "999"),
            (1000, "1_000"),
            (1234567, "1_234_567"),
        ] {
            assert_eq!(plain(count(number)), words);
        }
        for (number, words) in [
            (0, "0_B"),
            (999, "999_B"),
            (1000, "1.0_kB"),
            (99_949, "99.9_kB"),
            (100_000, "100_kB"),
            (4_560_000, "4.5_MB"),
            (u64::MAX, "18446744073_GB"),
        ] {
            assert_eq!(plain(bytes(number)), words);
        }
        for (seconds, text) in [
            (0.04, "0.0 s"),
            (9.94, "9.9 s"),
            (59.9, "59 s"),
            (61.0, "61 s"),
            (9000.0, "2 h"),
            (f64::NAN, "0 s"),
            (-1.0, "0 s"),
        ] {
            assert_eq!(measured(seconds), text);
        }
        for (seconds, text) in [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7199, "119 min"),
            (7200, "2 h"),
            (172_799, "47 h"),
            (172_800, "2 days"),
        ] {
            assert_eq!(duration(seconds), text);
        }
        assert_eq!(
            (number_of(1, "peer"), number_of(2, "peer")),
            ("1 peer".to_owned(), "2 peers".to_owned())
        );
    }
}
