//! The command `explain`: shows which lists and lines a key is in, and the verdict.

use std::io::{self, Write};

use constellation_shared::Pubkey;
use constellation_shared::explain::Explanation;
use constellation_shared::list_file::ListFile;
use constellation_shared::sanitize::one_line;
use constellation_shared::verdict::Verdict;

use crate::lists::Sources;

/// Writes each key's verdict and every line that it is in, and returns the worst verdict:
/// [`Verdict::Block`] if one of the keys is blocked. Changes nothing.
///
/// # Errors
/// Fails if writing fails. A list that cannot be read is named in the output instead.
pub fn explain(sources: &Sources, keys: &[Pubkey], output: &mut impl Write) -> io::Result<Verdict> {
    let blacklist = ListFile::blacklist(&sources.blacklist);
    let members_dir = sources.station.members_dir();
    let own = sources.own_pardoning();
    let swarm = sources.swarm_pardoning();
    let pardoning = [own.files, swarm.files].concat();
    let mut worst = Verdict::Allow;
    for key in keys {
        let explanation = Explanation::of(key, &blacklist, &pardoning, &members_dir);
        if explanation.verdict != Verdict::Allow && worst != Verdict::Block {
            worst = explanation.verdict;
        }
        writeln!(output, "{key} {}", explanation.words())?;
        if explanation.places.is_empty() {
            writeln!(output, "  in no list")?;
        }
        for place in explanation.places {
            writeln!(output, "  {}", place.words())?;
        }
    }
    for (folder, error) in own.unreadable.into_iter().chain(swarm.unreadable) {
        let words = format!("{} cannot be read: {error}", folder.display());
        writeln!(output, "{}", one_line(&words))?;
    }
    if !swarm.left_out.is_empty() {
        writeln!(
            output,
            "some friends lists of other stations are not read: {}",
            swarm.left_out
        )?;
    }
    Ok(worst)
}

#[cfg(test)]
mod tests {
    use super::*;
    use constellation_shared::Station;

    #[test]
    fn the_worst_of_all_verdicts_counts() {
        let dir = tempfile::tempdir().unwrap();
        let station = Station::new(dir.path());
        let [allowed, pardoned, blocked] = [1, 2, 3].map(|byte| Pubkey::from_bytes([byte; 32]));
        std::fs::create_dir_all(station.strfry_dir()).unwrap();
        std::fs::write(station.blacklist(), format!("{pardoned}\n{blocked}\n")).unwrap();
        std::fs::write(station.friends(), format!("{pardoned}\n")).unwrap();
        let sources = Sources {
            blacklist: station.blacklist(),
            friends: vec![station.friends()],
            swarm: true,
            station,
        };
        let worst = |keys: &[Pubkey]| explain(&sources, keys, &mut io::sink()).unwrap();
        assert_eq!(worst(&[allowed]), Verdict::Allow);
        assert_eq!(worst(&[pardoned, allowed]), Verdict::Pardon);
        assert_eq!(worst(&[allowed, pardoned]), Verdict::Pardon);
        assert_eq!(
            worst(&[pardoned, blocked, allowed, pardoned]),
            Verdict::Block
        );
    }
}
