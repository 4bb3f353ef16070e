//! The spellings of a key, read naively.

/// The letters of bech32, by their values (BIP-173).
const LETTERS: &[u8] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// Hex of either case, the same behind `0x`, or bech32 (BIP-173) of this prefix.
pub fn naive(text: &[u8], prefix: &str) -> Option<[u8; 32]> {
    hex(text)
        .or_else(|| hex(text.strip_prefix(b"0x").or(text.strip_prefix(b"0X"))?))
        .or_else(|| bech32(text, prefix))
}

fn hex(text: &[u8]) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text
        .iter()
        .map(|&digit| u8::try_from(char::from(digit).to_digit(16)?).ok())
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| pair[0] * 16 + pair[pair.len() - 1])
        .collect();
    (digits.len() == 64).then(|| bytes.try_into().unwrap())
}

fn bech32(text: &[u8], prefix: &str) -> Option<[u8; 32]> {
    let lower = text.to_ascii_lowercase();
    if text != lower && text != text.to_ascii_uppercase() {
        return None;
    }
    let letters = lower.strip_prefix(prefix.as_bytes())?.strip_prefix(b"1")?;
    let values: Vec<u8> = letters
        .iter()
        .map(|letter| {
            let value = LETTERS.iter().position(|known| known == letter)?;
            u8::try_from(value).ok()
        })
        .collect::<Option<_>>()?;
    // 256 bits in groups of 5, and a checksum of 6.
    if values.len() != 52 + 6 {
        return None;
    }
    let mut check: Vec<u8> = prefix.bytes().map(|byte| byte >> 5).collect();
    check.push(0);
    check.extend(prefix.bytes().map(|byte| byte & 31));
    check.extend(&values);
    if polymod(&check) != 1 {
        return None;
    }
    let bits: Vec<u8> = values[..52]
        .iter()
        .flat_map(|value| (0..5).rev().map(move |bit| value >> bit & 1))
        .collect();
    let (bytes, padding) = bits.split_at(256);
    if padding.contains(&1) {
        return None;
    }
    let bytes = bytes
        .chunks(8)
        .map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | bit));
    bytes.collect::<Vec<u8>>().try_into().ok()
}

fn polymod(values: &[u8]) -> u32 {
    const GENERATOR: [u32; 5] = [
        0x3b6a_57b2,
        0x2650_8e6d,
        0x1ea1_19fa,
        0x3d42_33dd,
        0x2a14_62b3,
    ];
    values.iter().fold(1, |sum, &value| {
        let top = sum >> 25;
        let sum = (sum & 0x1ff_ffff) << 5 ^ u32::from(value);
        (0..5).fold(sum, |sum, bit| {
            sum ^ if top >> bit & 1 == 1 {
                GENERATOR[bit]
            } else {
                0
            }
        })
    })
}
