//! What a station does for its members once a backfill has ended: profiles.

pub mod options;

use std::collections::BTreeSet;
use std::io::Write;

use constellation_shared::Pubkey;
use jiff::Timestamp;
use tracing::{error, info, warn};

use crate::error::SyncError;
use crate::follow;
use crate::members::options::ProfilesCommand;
use crate::peer;
use crate::profile::render::{self, Format};
use crate::profile::{self, Profiles};
use crate::report::ProfileCounts;
use crate::run::{Run, unix_time};
use crate::session::chain;

/// The target of the lines that go to `hex-to-profile.log` too.
pub const PROFILE_LOG: &str = "constellation_profiles";

/// Says a line about profiles, in both logs.
macro_rules! say {
    ($($words:tt)*) => { info!(target: PROFILE_LOG, $($words)*) };
}

/// `constellation-sync profiles`: prints what the local strfry holds.
///
/// # Errors
/// [`SyncError`].
pub async fn print_profiles(
    run: &Run,
    command: &ProfilesCommand,
    output: &mut impl Write,
) -> Result<(), SyncError> {
    let keys = match command.pubkeys.as_slice() {
        [] => follow::followed(&run.station, &peer::descriptions(&run.station))?.keys,
        given => {
            let mut seen = BTreeSet::new();
            let given = given.iter().filter(|key| seen.insert(**key));
            given.copied().collect()
        }
    };
    let profiles = profile::extract(&run.strfry(), &keys).await?;
    let now = utc(unix_time());
    match command.format {
        Format::Table => render::write_table(output, &keys, &profiles)?,
        Format::Json => output.write_all(render::json(&profiles, &now).as_bytes())?,
        Format::Csv => output.write_all(render::csv(&profiles, &now).as_bytes())?,
    }
    Ok(())
}

/// After a backfill: profiles.
#[derive(Debug)]
pub struct Members<'a> {
    /// The run that has ended.
    pub run: &'a Run,
    /// The pubkeys that it followed.
    pub keys: &'a [Pubkey],
}

impl Members<'_> {
    /// Says who has a profile and writes the profiles for others to read. `None` where
    /// strfry could not be asked.
    pub async fn profiles(&self) -> Option<ProfileCounts> {
        say!("🔍 Extracting profiles from constellation...");
        let profiles = self.extract(self.keys).await?;
        let mut missing = Vec::new();
        for key in self.keys {
            match profiles.get(key) {
                Some(profile) => {
                    for line in render::log_lines(key, profile) {
                        say!("{line}");
                    }
                }
                None => missing.push(*key),
            }
        }
        say!("Found {} HEX pubkeys with profiles", profiles.len());
        say!("Found {} HEX pubkeys WITHOUT profiles", missing.len());
        self.write(&profiles);
        let counts = ProfileCounts {
            found: profiles.len(),
            missing: self.keys.len() - profiles.len(),
        };
        say!("{}", counts.line());
        Some(counts)
    }

    async fn extract(&self, keys: &[Pubkey]) -> Option<Profiles> {
        let extracted = profile::extract(&self.run.strfry(), keys).await;
        extracted
            .inspect_err(|error| error!("profiles could not be read: {}", chain(error)))
            .ok()
    }

    fn write(&self, profiles: &Profiles) {
        let folder = self.run.station.profiles_dir();
        if let Err(error) = render::write_files(&folder, profiles, &utc(unix_time())) {
            warn!("{} could not be written: {error}", folder.display());
        }
    }
}

/// `2025-10-30T12:35:02Z`
fn utc(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map_or_else(|_| String::new(), |time| time.to_string())
}
