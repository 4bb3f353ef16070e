//! [`PeerId`]: the id of an IPFS node. Other stations choose it, and it becomes an argument of a
//! command, so it is checked strictly.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// The longest text that is accepted, in bytes; the longest ids in use have 65.
const LONGEST: usize = 80;

/// The prefix of an Ed25519 key that is its own id: the multihash code `identity`, the length, and
/// the beginning of libp2p's `PublicKey` message.
const ED25519: &[u8] = &[0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
/// The prefix of a secp256k1 key that is its own id, of the same form as [`ED25519`].
const SECP256K1: &[u8] = &[0x00, 0x25, 0x08, 0x02, 0x12, 0x21];

/// The prefix of the SHA-256 hash of a longer key (multihash).
const SHA_256: &[u8] = &[0x12, 0x20];

/// The prefix of a version 1 CID of a libp2p key.
const CID: &[u8] = &[0x01, 0x72];

/// An IPFS peer id in any form that libp2p specifies: base58 (`12D3Koo…`, `16Uiu2…`, `Qm…`), or a
/// CID in base36 (`k51…`) or base32 (`bafz…`). Two forms of the same id are equal.
///
/// It consists of letters and digits only, so it never begins with a dash.
#[derive(Debug, Clone)]
pub struct PeerId {
    text: String,
    multihash: Vec<u8>,
}

/// A text is not a peer id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an IPFS peer id")]
pub struct NoPeerId;

impl FromStr for PeerId {
    type Err = NoPeerId;

    fn from_str(text: &str) -> Result<Self, NoPeerId> {
        if text.len() > LONGEST {
            return Err(NoPeerId);
        }
        let multihash = match text.as_bytes() {
            [b'k', digits @ ..] => key_of_cid(&base36(digits).ok_or(NoPeerId)?)?,
            [b'b', digits @ ..] => key_of_cid(&base32(digits).ok_or(NoPeerId)?)?,
            _ => bs58::decode(text).into_vec().map_err(|_| NoPeerId)?,
        };
        if !is_key(&multihash) {
            return Err(NoPeerId);
        }
        Ok(Self {
            text: text.to_owned(),
            multihash,
        })
    }
}

impl PeerId {
    /// The one spelling that all forms of the same id share: base58.
    pub fn in_base58(&self) -> String {
        bs58::encode(&self.multihash).into_string()
    }
}

fn key_of_cid(cid: &[u8]) -> Result<Vec<u8>, NoPeerId> {
    let multihash = cid.strip_prefix(CID).ok_or(NoPeerId)?;
    Ok(multihash.to_vec())
}

fn is_key(multihash: &[u8]) -> bool {
    [(ED25519, 32), (SECP256K1, 33), (SHA_256, 32)]
        .into_iter()
        .any(|(prefix, length)| {
            multihash
                .strip_prefix(prefix)
                .is_some_and(|key| key.len() == length)
        })
}

/// Decodes base36 as one large number, without leading zero bytes.
fn base36(digits: &[u8]) -> Option<Vec<u8>> {
    // The least significant byte comes first.
    let mut number: Vec<u8> = Vec::new();
    for digit in digits {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'z' => digit - b'a' + 10,
            _ => return None,
        };
        let mut carry = u32::from(value);
        for byte in &mut number {
            carry += u32::from(*byte) * 36;
            *byte = u8::try_from(carry & 0xff).ok()?;
            carry >>= 8;
        }
        if carry > 0 {
            number.push(u8::try_from(carry).ok()?);
        }
    }
    number.reverse();
    Some(number)
}

/// Decodes base32 (RFC 4648) in lower case, without padding.
fn base32(digits: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0_u32);
    for digit in digits {
        let value = match digit {
            b'a'..=b'z' => digit - b'a',
            b'2'..=b'7' => digit - b'2' + 26,
            _ => return None,
        };
        bits = bits << 5 | u32::from(value);
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count).ok()?);
            bits &= (1 << count) - 1;
        }
    }
    (bits == 0).then_some(bytes)
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for PeerId {
    fn eq(&self, other: &Self) -> bool {
        self.multihash == other.multihash
    }
}

impl Eq for PeerId {}

impl PartialOrd for PeerId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PeerId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.multihash.cmp(&other.multihash)
    }
}

impl Hash for PeerId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.multihash.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same key in its three spellings, from libp2p's specification of peer ids.
    const ED25519_KEY: [&str; 3] = [
        "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA",
        "k51qzi5uqu5dhdmyb9bd18pypu2wp5lpv2xnskfmrqa4lb5knqryrotb05e7or",
        "bafzaajaiaejcal72gwuz2or47oyxxn6b3rkwdmmkrxgkjxzy3rqt5kczyn7lcm3l",
    ];

    fn parse(text: &str) -> Result<PeerId, NoPeerId> {
        text.parse()
    }

    #[test]
    fn every_spelling_of_a_key_passes_as_it_was_given() {
        for text in [
            "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA",
            "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
            "16Uiu2HAmUaSHarwwYMmAjo8hCbK3uXSAVgTKCqEZqqyeXvUYiXXg",
            "bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe",
        ] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            parse("bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe"),
            parse("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N")
        );
        let [first, ..] = ED25519_KEY;
        for other in ED25519_KEY {
            assert_eq!(parse(other), parse(first));
            assert_eq!(parse(other).unwrap().in_base58(), first);
        }
    }

    #[test]
    fn nothing_else_passes() {
        let long = "1".repeat(10_000_000);
        for text in [
            "",
            "-h",
            "--all",
            "../../x",
            "$(reboot)",
            "`reboot`",
            "self",
            "1",
            "b",
            "k",
            "12D3KooA",
            "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5S",
            "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SAA",
            " 12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA",
            "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA\n",
            "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA/../x",
            "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx50",
            // A CID of a file, not of a key.
            "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi",
            "BAFZBEIE5745RPV2M6TJYUUGYWY4D5EWRQGQQHFNF445HE3OMZPJBX5XQXE",
            long.as_str(),
        ] {
            let shown: String = text.chars().take(80).collect();
            assert_eq!(parse(text), Err(NoPeerId), "{shown:?}");
        }
    }
}
