//! [`Mention`]: where a key is written in the blacklist.

use std::ops::Range;

use crate::key::Pubkey;

/// A key that is written somewhere in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// The key.
    pub key: Pubkey,
    /// Where its text is in the file, in bytes from the start, including a `0x`. It is
    /// empty if that is not known.
    pub place: Range<u64>,
    /// Whether removing it could join the text before it and the text after it to something
    /// new, such as another key.
    pub(super) joins_neighbours: bool,
    /// Whether it is written in UTF-16.
    pub(super) is_utf16: bool,
}
