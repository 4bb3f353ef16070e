//! `--stats`, `--show-hex` and `--dry-run`: what is there, and what would be done.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use constellation_shared::counted;
use constellation_shared::{Pubkey, kinds};

use crate::backfill::session::MOST_EVENTS_OF_ANY_AUTHOR;
use crate::commands::error::SyncError;
use crate::commands::members;
use crate::context::Context;
use crate::plan::peer_memory::PeerMemory;
use crate::relay::tunnel::ipfs::{self, IpfsProgram};
use crate::report::Outcome;
use crate::strfry::conf;
use crate::support::clock::unix_time;
use crate::support::humanize::duration;
use crate::support::state_file;
use crate::swarm::followed::{self, Followed};
use crate::swarm::peer::{self, Peer};

/// Writes what `--stats` shows.
///
/// # Errors
/// If writing fails.
pub(crate) fn write_stats(
    output: &mut impl Write,
    events: u64,
    database: &Path,
    followed: &Followed,
) -> io::Result<()> {
    writeln!(output, "📊 Constellation Database Statistics:")?;
    writeln!(output, "====================================")?;
    writeln!(output, "Current events in database: {events}")?;
    let size = fs::metadata(database).map_or(0, |metadata| metadata.blocks().saturating_mul(512));
    writeln!(output, "Database size: {}", human_size(size))?;
    writeln!(output, "HEX files found: {}", followed.hex_files)?;
    writeln!(
        output,
        "Total HEX pubkeys monitored: {}",
        followed.keys.len()
    )
}

/// Writes what `--show-hex` shows.
///
/// # Errors
/// If writing fails.
pub(crate) fn write_hex(output: &mut impl Write, keys: &[Pubkey]) -> io::Result<()> {
    writeln!(output, "🔍 Constellation HEX Pubkeys:")?;
    writeln!(output, "==============================")?;
    writeln!(output, "Found {} HEX pubkeys:", keys.len())?;
    for key in keys {
        writeln!(output, "  - {}", key.abbreviated())?;
    }
    Ok(())
}

/// These kinds with their names.
fn named(numbers: &[u16]) -> String {
    let names = numbers.iter().map(|&number| match kinds::find(number) {
        Some(kind) => format!("{number} {}", kind.name),
        None => number.to_string(),
    });
    names.collect::<Vec<_>>().join(", ")
}

/// What a run would do.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    /// Who would be asked, and how far back in seconds.
    pub peers: &'a [(&'a Peer, u64)],
    /// Whose events would be asked for.
    pub followed: &'a Followed,
    /// The kinds that would be asked for.
    pub kinds: &'a [u16],
    /// The kinds that would be asked for whoever wrote them.
    pub any_author_kinds: &'a [u16],
    /// Days back, 0 for all.
    pub days: u64,
    /// Whether everything that is missing is asked for, however old it is.
    pub sweeps: bool,
    /// The strfry that would be fed.
    pub strfry: &'a Path,
    /// The program that would open tunnels.
    pub ipfs: &'a IpfsProgram,
}

impl Plan<'_> {
    /// Writes what `--dry-run` shows.
    ///
    /// # Errors
    /// If writing fails.
    pub(crate) fn write(&self, output: &mut impl Write) -> io::Result<()> {
        writeln!(
            output,
            "DRY RUN MODE: nothing is fetched, written or tunnelled"
        )?;
        if self.peers.is_empty() {
            writeln!(output, "No constellation peers found")?;
        }
        for (peer, back) in self.peers {
            writeln!(output, "Would ask {}", peer.address)?;
            // An hour more or less is not worth a line.
            if !self.sweeps && self.days > 0 && *back > self.days.saturating_mul(86_400) + 7200 {
                writeln!(output, "  back to its last success: {}", duration(*back))?;
            }
            if let Some(id) = peer.address.tunnel() {
                let command = ipfs::forward_command(self.ipfs, id);
                writeln!(output, "  through a tunnel: {command}")?;
            }
        }
        let span = match self.days {
            _ if self.sweeps => "of all time that are missing here".to_owned(),
            0 => "of all time".to_owned(),
            1 => "of the last day".to_owned(),
            days => format!("of the last {days} days"),
        };
        writeln!(
            output,
            "Would ask for the events {span} of {} (none of the {} blocked ones)",
            counted(self.followed.keys.len(), "pubkey"),
            self.followed.blocked.len()
        )?;
        writeln!(output, "Would ask for the kinds: {}", named(self.kinds))?;
        if !self.any_author_kinds.is_empty() {
            writeln!(
                output,
                "Would ask for at most {MOST_EVENTS_OF_ANY_AUTHOR} events of any author of each peer, of the kinds: {}",
                named(self.any_author_kinds)
            )?;
        }
        writeln!(
            output,
            "Would feed what is genuine to {} import",
            self.strfry.display()
        )
    }
}

/// A size as `du -h` writes it: rounded up, one decimal below ten.
fn human_size(bytes: u64) -> String {
    let mut unit = 1_u64;
    let mut names = "KMGTP".chars();
    let mut name = None;
    while bytes.div_ceil(unit) >= 1024 {
        let Some(next) = names.next() else { break };
        unit *= 1024;
        name = Some(next);
    }
    let Some(name) = name else {
        return bytes.to_string();
    };
    let tenths = (u128::from(bytes) * 10).div_ceil(u128::from(unit));
    if tenths < 100 {
        format!("{}.{}{name}", tenths / 10, tenths % 10)
    } else {
        format!("{}{name}", bytes.div_ceil(unit))
    }
}

/// Whether the command line asks for a look rather than a run.
pub(crate) const fn is_wanted(context: &Context) -> bool {
    let options = &context.options;
    options.stats || options.show_hex || options.show_peers || options.dry_run
}

/// Does what `--stats`, `--show-hex`, `--show-peers` or `--dry-run` asks for; of several, all but the
/// last.
///
/// # Errors
/// [`SyncError`] if the lists or strfry cannot be read, or the output cannot be written.
pub(crate) async fn look(context: &Context, output: &mut impl Write) -> Result<Outcome, SyncError> {
    let options = &context.options;
    let mut descriptions = peer::descriptions(&context.station);
    let kept = context.recall(&mut descriptions, unix_time()).kept;
    let followed = followed::followed(&context.station, &descriptions, &kept.keys)?;
    if options.stats {
        let strfry = context.strfry();
        let events = strfry.count().await?;
        let database = conf::database(&strfry.conf(), &context.station.strfry_dir());
        write_stats(output, events, &database, &followed)?;
    }
    if options.show_hex {
        write_hex(output, &followed.keys)?;
    }
    if options.show_peers {
        for peer in context.peers(&descriptions) {
            // What several stations announce is no address to keep.
            if !peer.is_doubtful {
                writeln!(output, "{}", peer.address)?;
            }
        }
    }
    if options.dry_run && !options.stats && !options.show_hex && !options.show_peers {
        let strfry = context.strfry();
        let peers = context.peers(&descriptions);
        let now = unix_time();
        let peer_memory = PeerMemory::load(&context.file(state_file::PEERS.name), now);
        let selection = context.selection(&peers, &peer_memory, now);
        let kinds = options.wanted_kinds();
        let first = selection
            .first()
            .iter()
            .filter_map(|place| peers.get(*place));
        let peers: Vec<(&Peer, u64)> = first
            .map(|peer| {
                (
                    peer,
                    now - peer_memory.since(peer, &kinds, now, options.reach()),
                )
            })
            .collect();
        let plan = Plan {
            peers: &peers,
            followed: &followed,
            kinds: &kinds,
            any_author_kinds: &options.any_author_kinds(),
            days: options.days,
            sweeps: options.sweeps(),
            strfry: strfry.binary(),
            ipfs: &context.ipfs_program(),
        };
        plan.write(output)?;
        members::write_plan(output, &context.station, &options.members)?;
    }
    Ok(Outcome::Complete)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_du_writes_them() {
        for (bytes, text) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0K"),
            (1025, "1.1K"),
            (10 * 1024 - 1, "10K"),
            (45 << 20, "45M"),
            ((45 << 20) + 1, "46M"),
            (1023 << 20, "1023M"),
            (1 << 40, "1.0T"),
        ] {
            assert_eq!(human_size(bytes), text);
        }
    }

    #[test]
    fn keys_are_shown_as_captains_know_them() {
        let mut output = Vec::new();
        let key = format!("7f3b6ad3{}91c0ffee", "0".repeat(48))
            .parse()
            .unwrap();
        write_hex(&mut output, &[key]).unwrap();
        assert_eq!(
            String::from_utf8(output).unwrap(),
            "🔍 Constellation HEX Pubkeys:\n==============================\nFound 1 HEX pubkeys:\n  - 7f3b6ad3...91c0ffee\n"
        );
    }
}
