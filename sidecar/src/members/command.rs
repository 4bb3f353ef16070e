//! What can be asked for besides a backfill.

use std::collections::BTreeSet;
use std::io::Write;

use crate::error::SyncError;
use crate::follow;
use crate::members::options::{Command, ProfilesCommand};
use crate::peer;
use crate::profile;
use crate::profile::render::{self, Format, utc};
use crate::run::{Run, unix_time};

/// Does what a subcommand asks for.
///
/// # Errors
/// [`SyncError`].
pub async fn obey(run: &Run, command: &Command, output: &mut impl Write) -> Result<(), SyncError> {
    match command {
        Command::Profiles(command) => print_profiles(run, command, output).await,
    }
}

async fn print_profiles(
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
