//! What a file may say that is not understood.

use memchr::memmem;

/// Which settings a file may hold that nobody understands: one whose name stands in a line that is no
/// comment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mentioned {
    /// It may name another blacklist.
    pub blacklist: bool,
    /// It may have a rule for strangers.
    pub strangers: bool,
    /// It may name a folder of filters.
    pub filters: bool,
    /// It may forbid that lines are removed from the blacklist.
    pub no_remove: bool,
}

impl Mentioned {
    /// What a file may say of which nothing is known.
    pub const ANYTHING: Self = Self {
        blacklist: true,
        strangers: true,
        filters: true,
        no_remove: true,
    };

    /// What a text may say.
    pub(super) fn in_text(text: &[u8]) -> Self {
        let lines = || {
            let lines = text.split(|byte| matches!(byte, b'\n' | b'\r'));
            lines.filter(|line| !line.trim_ascii_start().starts_with(b"#"))
        };
        let named = |name: &str| lines().any(|line| memmem::find(line, name.as_bytes()).is_some());
        Self {
            blacklist: named("blacklist"),
            strangers: named("strangers"),
            filters: lines().any(names_filters),
            no_remove: named("no-remove"),
        }
    }
}

/// Whether a line holds the word otherwise than as the value of `strangers = "filters"`.
fn names_filters(line: &[u8]) -> bool {
    memmem::find_iter(line, b"filters").any(|at| {
        let before = line.get(..at).unwrap_or_default();
        let is_between = |byte: &u8| matches!(byte, b' ' | b'\t' | b'=' | b'"' | b'\'');
        let end = before.iter().rposition(|byte| !is_between(byte));
        let before = end.map_or(&[][..], |end| before.get(..=end).unwrap_or_default());
        !before.ends_with(b"strangers")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_the_value_of_another_key_name_nothing() {
        let said = |text: &str| Mentioned::in_text(text.as_bytes());
        assert_eq!(
            said("# strangers = 1\r\n  # filters\n#blacklist"),
            Mentioned::default()
        );
        let rule = said("x =\r[policy]\n strangers = \"filters\"");
        assert!(rule.strangers && !rule.filters && !rule.blacklist && !rule.no_remove);
        assert!(said("\u{feff}filters=\"/x").filters);
        assert!(said("policy.\"filters\" = [").filters);
        assert!(said("policy = { strangers = 'filters', filters = 1 }").filters);
        assert!(said("policy = { strangers = 'accept', filters = 1 }").filters);
        assert!(said("blacklist no-remove").no_remove && said("blacklist").blacklist);
    }
}
