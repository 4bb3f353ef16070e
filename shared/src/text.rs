//! Numbers and bytes as text.

use std::fmt::Display;

/// Spells bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    const_hex::encode(bytes)
}

/// Reads hex in either case; `None` if the text is not hex.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    const_hex::decode(text).ok()
}

/// A number with the noun it counts, which is given in the singular: `1 peer`, `2 peers`.
pub fn counted<N: Copy + Display + From<u8> + PartialEq>(number: N, noun: &str) -> String {
    let plural = if number == N::from(1) { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_written_in_lower_case_and_read_in_either() {
        assert_eq!(hex(&[0x0a, 0xff]), "0aff");
        assert_eq!(unhex("0aFf"), Some(vec![0x0a, 0xff]));
        assert_eq!(unhex(""), Some(Vec::new()));
        assert_eq!((unhex("0af"), unhex("xy")), (None, None));
    }

    #[test]
    fn only_one_is_singular() {
        assert_eq!(counted(1_u64, "peer"), "1 peer");
        assert_eq!(counted(0_usize, "local member"), "0 local members");
        assert_eq!(counted(2_u32, "day"), "2 days");
    }
}
