//! `constellation-sync config`: shows each setting of both programs and where it comes from, or opens
//! the settings file in an editor.

mod edit;
mod listing;
pub(crate) mod options;
pub(crate) mod template;

use std::io::Write;
use std::path::Path;

use constellation_shared::settings::Settings;

use crate::commands::error::SyncError;
use crate::commands::layers::Call;
use crate::context::Context;
use listing::Listing;
use options::ConfigOptions;

/// Runs the command; the exit code.
///
/// # Errors
/// [`SyncError::Editor`] if the file cannot be written or no editor be started, and those of writing.
pub(crate) fn run(
    context: &Context,
    call: &Call,
    options: ConfigOptions,
    out: &mut impl Write,
) -> Result<u8, SyncError> {
    if options.edit {
        let path = context.station.settings_file();
        edit::open(&path).map_err(|error| SyncError::Editor(path.clone(), error))?;
        return check(&path, call, out);
    }
    let listing = Listing::of(context, call);
    if context.options.json {
        listing.write_json(out)?;
    } else {
        listing.write(out)?;
    }
    Ok(u8::from(listing.is_faulty()))
}

/// Says what is wrong in the file as it is now; the exit code.
fn check(path: &Path, call: &Call, out: &mut impl Write) -> Result<u8, SyncError> {
    let file = Settings::load(path);
    let mut complaints = call.with_file(&file).complaints;
    complaints.extend(file.complaints.iter().cloned());
    complaints.sort_by_key(|complaint| complaint.line);
    if let Some(why) = &file.fault {
        writeln!(out, "! {} is not understood, {why}", path.display())?;
        let words = "! until it is mended, the policy goes on by what it said before, and friends of other stations do not count for the backfill";
        writeln!(out, "{words}")?;
    }
    for complaint in &complaints {
        writeln!(out, "! {} {complaint}", path.display())?;
    }
    let is_faulty = file.fault.is_some() || !complaints.is_empty();
    if is_faulty {
        writeln!(out, "Mend it with: constellation-sync config --edit")?;
    } else {
        writeln!(
            out,
            "{} is understood ({}): the policy takes its part up within a second, and the next run the rest",
            path.display(),
            constellation_shared::counted(file.entries.len() as u64, "setting")
        )?;
    }
    Ok(u8::from(is_faulty))
}
