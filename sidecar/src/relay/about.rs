//! [`About`]: what tells whether an event belongs to a window, in little memory.

use constellation_shared::Pubkey;

use crate::relay::message::Head;

/// The first bytes of a pubkey. Nobody can make a key that begins like a given one.
pub(crate) type AuthorPrefix = [u8; 8];

/// The first bytes of a pubkey.
pub(crate) fn author_prefix(author: &Pubkey) -> AuthorPrefix {
    let mut prefix = AuthorPrefix::default();
    let bytes = author.as_bytes();
    prefix
        .iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = *from);
    prefix
}

/// Whether one of these pubkeys, which are in ascending order, begins so.
pub(crate) fn has_author(authors: &[Pubkey], author: &AuthorPrefix) -> bool {
    let found = authors.binary_search_by(|key| author_prefix(key).cmp(author));
    found.is_ok()
}

/// What tells whether an event belongs to a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct About {
    /// Unix time in seconds.
    pub created_at: u64,
    /// The kind.
    pub kind: u16,
    /// The first bytes of the author's pubkey.
    pub author: AuthorPrefix,
}

impl From<&Head> for About {
    fn from(head: &Head) -> Self {
        Self {
            created_at: head.created_at,
            kind: head.kind,
            author: author_prefix(&head.author),
        }
    }
}
