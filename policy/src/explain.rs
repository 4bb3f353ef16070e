//! `explain`: which lists and lines a key stands in, and what follows.

use std::io::{self, Write};

use constellation_shared::Pubkey;
use constellation_shared::explain::Explanation;
use constellation_shared::list_file::ListFile;
use constellation_shared::verdict::Verdict;

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
        let explanation = Explanation::of(key, &blacklist, &pardoning, &members_dir);
        let verdict = explanation.verdict;
        writeln!(output, "{key} {}", explanation.words())?;
        if explanation.places.is_empty() {
            writeln!(output, "  in no list")?;
        }
        for place in explanation.places {
            writeln!(output, "  {}", place.words())?;
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
