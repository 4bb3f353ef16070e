//! Who may write: everyone except the keys on the blacklist, unless they are friends or members.
//!
//! "Whitelist by default, blacklist exceptions, amisOfAmis override." Both programs ask
//! this one function.

use std::fmt;
use std::str::FromStr;

/// What becomes of an author's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The author is not on the blacklist and may write.
    Allow,
    /// The author is on the blacklist, but is a friend of a friend or a local member, and may
    /// write. The key's lines are removed from the blacklist.
    Pardon,
    /// The author is on the blacklist and may not write.
    Block,
}

/// What an author may write who is neither blocked nor known: no member, no friend, and no node
/// or captain of a station.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Strangers {
    /// Strangers may write like everyone else.
    #[default]
    Accept,
    /// Strangers may write only events for whose kind the station has a filter that accepts them.
    Filters,
}

impl Strangers {
    /// The rule as options and settings name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Filters => "filters",
        }
    }
}

impl fmt::Display for Strangers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Strangers {
    type Err = UnknownRule;

    fn from_str(text: &str) -> Result<Self, UnknownRule> {
        match text {
            "accept" => Ok(Self::Accept),
            "filters" => Ok(Self::Filters),
            _ => Err(UnknownRule),
        }
    }
}

/// A text that names no rule for strangers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither accept nor filters")]
pub struct UnknownRule;

/// Which lists a key is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Standing {
    /// Whether it is in `blacklist.txt`.
    pub blocked: bool,
    /// Whether it is in this station's `amisOfAmis.txt`, or in another station's.
    pub friend: bool,
    /// Whether it is in the `HEX` file of a local member.
    pub member: bool,
}

impl Standing {
    /// The verdict on a key that is in these lists.
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
    fn a_rule_is_read_as_it_is_written() {
        for rule in [Strangers::Accept, Strangers::Filters] {
            assert_eq!(rule.to_string().parse(), Ok(rule));
        }
        assert_eq!(Strangers::default(), Strangers::Accept);
        assert_eq!("reject".parse::<Strangers>(), Err(UnknownRule));
    }

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
