//! `explain`: which lists and lines a key stands in, and what follows.

use std::io::{self, Write};

use constellation_shared::Pubkey;
use constellation_shared::list_file::ListFile;
use constellation_shared::verdict::{Standing, Verdict};

use crate::lists::Sources;

/// Writes, for each key, its verdict and every line that it stands in. The worst verdict
/// of all is returned: [`Verdict::Block`] if one is blocked. Nothing is changed.
///
/// # Errors
/// Those of writing; a list that cannot be read is named in the output instead.
pub fn explain(sources: &Sources, keys: &[Pubkey], output: &mut impl Write) -> io::Result<Verdict> {
    let blacklist = ListFile::own(&sources.blacklist);
    let members_dir = sources.station.members_dir();
    let (pardoning, unreadable) = sources.pardoning();
    let mut worst = Verdict::Allow;
    for key in keys {
        let mut standing = Standing::default();
        let mut findings = Vec::new();
        let (found, blacklist_unreadable) = find(&blacklist, key, "blocked");
        standing.blocked = found.iter().any(|finding| finding.stands);
        findings.extend(found);
        for list in &pardoning {
            let is_member = list.path().starts_with(&members_dir);
            let role = if is_member { "member" } else { "friend" };
            let (found, _) = find(list, key, role);
            let stands = found.iter().any(|finding| finding.stands);
            match is_member {
                true => standing.member |= stands,
                false => standing.friend |= stands,
            }
            findings.extend(found);
        }
        let verdict = match blacklist_unreadable {
            true => Verdict::Block,
            false => standing.verdict(),
        };
        let words = match verdict {
            Verdict::Block if blacklist_unreadable => {
                "block (the blacklist cannot be read: every event is rejected)"
            }
            Verdict::Allow => "allow",
            Verdict::Pardon => {
                "allow (in the blacklist, but a friend or member: its lines there are removed with its next event)"
            }
            Verdict::Block => "block",
        };
        writeln!(output, "{key} {words}")?;
        if findings.is_empty() {
            writeln!(output, "  in no list")?;
        }
        for finding in findings {
            writeln!(output, "  {}", finding.text)?;
        }
        if verdict == Verdict::Block || worst == Verdict::Allow {
            worst = verdict;
        }
    }
    for (folder, error) in unreadable {
        writeln!(output, "{} cannot be read: {error}", folder.display())?;
    }
    Ok(worst)
}

struct Finding {
    /// The key stands in this line; otherwise the finding is about the file.
    stands: bool,
    text: String,
}

/// The lines of a list in which the key stands, and whether it cannot be read.
fn find(list: &ListFile, key: &Pubkey, role: &str) -> (Vec<Finding>, bool) {
    let mut findings = Vec::new();
    let path = list.path().display();
    let read = list.open().and_then(|open| {
        let Some(open) = open else { return Ok(()) };
        open.read(|number, found| {
            if found == *key {
                findings.push(Finding {
                    stands: true,
                    text: format!("{role}: {path} line {number}"),
                });
            }
        })?;
        Ok(())
    });
    if let Err(error) = &read {
        findings.push(Finding {
            stands: false,
            text: format!("{role}? {path} cannot be read: {error}"),
        });
    }
    (findings, read.is_err())
}
