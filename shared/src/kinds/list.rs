//! [`KindList`]: a list of kinds as `--kinds` and `constellation.toml` write it.

use std::fmt;
use std::str::FromStr;

use crate::kinds::Set;
use crate::sanitize::for_terminal;

/// A list of kinds: names of sets and numbers, which are the kinds, and changes to them. A list of
/// nothing but changes changes what a weaker source says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KindList {
    /// The kinds that are named, in ascending order; `None` if only changes are.
    named: Option<Vec<u16>>,
    added: Vec<u16>,
    removed: Vec<u16>,
    /// What it was read from, separated by commas.
    text: String,
}

/// Why a text is no list of kinds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoKindList {
    /// A word of it is neither a number nor a set.
    #[error(
        "{0} is no kind; write numbers from 0 to 65535, the sets seed or uplanet, or changes such as +30850 and -4, separated by commas"
    )]
    Word(String),
    /// It takes away all kinds that it names.
    #[error("no kind is left; write at least one, such as 0, or a set: seed or uplanet")]
    Nothing,
}

impl KindList {
    /// The kinds, in ascending order, where a weaker source says `weaker`.
    pub fn over(&self, weaker: &[u16]) -> Vec<u16> {
        let mut kinds = self.named.clone().unwrap_or_else(|| weaker.to_vec());
        kinds.extend(&self.added);
        kinds.retain(|kind| !self.removed.contains(kind));
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// The text of this list with one more kind.
    pub fn text_with(&self, kind: u16) -> String {
        let without = format!("-{kind}");
        let words = self.text.split(',').filter(|word| *word != without);
        let mut words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        let with = format!("+{kind}");
        words.push(&with);
        words.join(",")
    }
}

impl FromStr for KindList {
    type Err = NoKindList;

    fn from_str(text: &str) -> Result<Self, NoKindList> {
        let mut list = Self::default();
        let is_between = |c: char| c == ',' || c.is_whitespace();
        let mut words = text
            .split(is_between)
            .filter(|word| !word.is_empty())
            .peekable();
        if words.peek().is_none() {
            return Err(NoKindList::Nothing);
        }
        for word in words {
            if !list.text.is_empty() {
                list.text.push(',');
            }
            list.text.push_str(word);
            if let Some(number) = word.strip_prefix('+') {
                list.added.push(number_of(number, word)?);
            } else if let Some(number) = word.strip_prefix('-') {
                list.removed.push(number_of(number, word)?);
            } else {
                let kinds = match Set::ALL.into_iter().find(|set| set.name() == word) {
                    Some(set) => set.numbers(),
                    None => vec![number_of(word, word)?],
                };
                list.named.get_or_insert_default().extend(kinds);
            }
        }
        if list.named.is_some() {
            let kinds = list.over(&[]);
            if kinds.is_empty() {
                return Err(NoKindList::Nothing);
            }
            list = Self {
                named: Some(kinds),
                text: list.text,
                ..Self::default()
            };
        }
        Ok(list)
    }
}

fn number_of(digits: &str, word: &str) -> Result<u16, NoKindList> {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse().ok().filter(|_| is_number);
    number.ok_or_else(|| NoKindList::Word(for_terminal(word, 40)))
}

impl fmt::Display for KindList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str, weaker: &[u16]) -> Vec<u16> {
        text.parse::<KindList>().unwrap().over(weaker)
    }

    #[test]
    fn numbers_and_sets_are_the_kinds() {
        assert_eq!(kinds("4,0", &[9]), [0, 4]);
        assert_eq!(kinds("1 1, 7\n", &[]), [1, 7]);
        let sorted = |set: Set, added: &[u16]| {
            let mut numbers = set.numbers();
            numbers.extend(added);
            numbers.sort_unstable();
            numbers
        };
        assert_eq!(kinds("seed", &[]), sorted(Set::Seed, &[]));
        assert_eq!(kinds("seed,+30850", &[]), sorted(Set::Seed, &[30_850]));
        assert_eq!(kinds("seed,30850", &[]), sorted(Set::Seed, &[30_850]));
        let uplanet = kinds("uplanet,-4", &[]);
        assert_eq!(uplanet.len(), 56);
        assert!(!uplanet.contains(&4));
        assert_eq!(
            kinds("-4,uplanet", &[]),
            uplanet,
            "the order does not count"
        );
    }

    #[test]
    fn changes_alone_change_what_a_weaker_source_says() {
        assert_eq!(kinds("+30850,-4", &[0, 1, 4]), [0, 1, 30_850]);
        assert_eq!(kinds("+1", &[1]), [1]);
        assert_eq!(kinds("-4", &[4]), [0; 0]);
    }

    #[test]
    fn what_is_no_kind_is_named_with_a_remedy() {
        for word in ["seeds", "65536", "+x", "-", "+", "++4", "4-5", "-1x", "é"] {
            let error = word.parse::<KindList>().unwrap_err().to_string();
            assert!(
                error.starts_with(word) && error.contains("seed or uplanet"),
                "{error}"
            );
        }
        for nothing in ["", " ,", "4,-4"] {
            assert_eq!(nothing.parse::<KindList>(), Err(NoKindList::Nothing));
        }
    }

    #[test]
    fn a_list_is_shown_as_it_may_be_written() {
        for text in ["0,4", "+30850,-4", "-4", "uplanet,-4"] {
            assert_eq!(text.parse::<KindList>().unwrap().to_string(), text);
        }
        let with = |text: &str, kind| text.parse::<KindList>().unwrap().text_with(kind);
        assert_eq!(with("seed, -4", 30_850), "seed,-4,+30850");
        assert_eq!(with("uplanet -4", 4), "uplanet,+4");
        assert_eq!(with("-4", 4), "+4");
    }
}
