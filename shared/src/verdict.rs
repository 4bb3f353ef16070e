//! Who may write: everyone, but for the blacklist, but for friends and members.
//!
//! "Whitelist by default, blacklist exceptions, amisOfAmis override." Both programs ask
//! this one function.

/// What becomes of an author's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Not blacklisted: let in.
    Allow,
    /// Blacklisted, yet a friend of a friend or a local member: let in, and the key's
    /// lines leave the blacklist.
    Pardon,
    /// Blacklisted: kept out.
    Block,
}

/// Where a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Standing {
    /// In `blacklist.txt`.
    pub blocked: bool,
    /// In `amisOfAmis.txt`, this station's or any station's of the swarm.
    pub friend: bool,
    /// In the `HEX` file of a local member.
    pub member: bool,
}

impl Standing {
    /// The verdict on a key that stands so.
    pub const fn verdict(self) -> Verdict {
        match self {
            Self { blocked: false, .. } => Verdict::Allow,
            Self { friend: true, .. } | Self { member: true, .. } => Verdict::Pardon,
            Self { .. } => Verdict::Block,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_verdict() {
        use Verdict::{Allow, Block, Pardon};
        for (blocked, friend, member, verdict) in [
            (false, false, false, Allow),
            (false, false, true, Allow),
            (false, true, false, Allow),
            (false, true, true, Allow),
            (true, false, false, Block),
            (true, false, true, Pardon),
            (true, true, false, Pardon),
            (true, true, true, Pardon),
        ] {
            let standing = Standing {
                blocked,
                friend,
                member,
            };
            assert_eq!(standing.verdict(), verdict, "{standing:?}");
        }
    }
}
