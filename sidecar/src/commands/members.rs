//! `constellation-sync profiles` and `constellation-sync friends`.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;
use constellation_shared::{Pubkey, Station, counted};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::commands::error::SyncError;
use crate::context::Context;
use crate::members::friends::{self, Circle, Friend, FriendsError, Scope};
use crate::members::profiles::render::{self, Format, utc};
use crate::members::profiles::{self, Profiles};
use crate::options::members::MemberOptions;
use crate::support::atomic_file;
use crate::support::clock::unix_time;
use crate::support::log::Log;
use crate::support::sanitize::for_terminal;
use crate::swarm::{followed, peer};

/// The longest script of the station that is looked into, in bytes.
const LONGEST_SCRIPT: u64 = 1024 * 1024;

/// Show the members' friends that amisOfAmis.txt lacks, or add them
#[derive(Debug, Clone, Copy, Args)]
#[command(after_help = "\
Examples:
  constellation-sync friends                   show who would be added
  constellation-sync friends --write           add them
  constellation-sync friends --keep-blocked    leave out who is on blacklist.txt")]
pub struct FriendsCommand {
    /// Add the missing friends to the list
    #[arg(long, env = "CONSTELLATION_WRITE", value_parser = BoolishValueParser::new())]
    pub write: bool,
}

/// Print the profiles that the local strfry holds
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  constellation-sync profiles
  constellation-sync profiles npub1… --format json
  constellation-sync profiles --format csv > profiles.csv")]
pub struct ProfilesCommand {
    /// 64 hex digits or npub1… [default: all followed pubkeys]
    #[arg(value_name = "PUBKEY")]
    pub pubkeys: Vec<Pubkey>,
    /// How the profiles are printed
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "table",
        env = "CONSTELLATION_FORMAT"
    )]
    pub format: Format,
}

/// At most this many friends are shown with their names.
const MOST_NAMES: usize = 20_000;

/// Writes what `--dry-run` shows of what follows a backfill.
///
/// # Errors
/// If writing fails.
pub(crate) fn write_plan(
    output: &mut impl Write,
    station: &Station,
    options: &MemberOptions,
) -> io::Result<()> {
    if !options.no_profiles {
        writeln!(
            output,
            "Would look up their profiles, and sync those without one fully, {} at a time",
            options.full_sync_parallel
        )?;
        for relay in options.fallback() {
            writeln!(
                output,
                "Would ask {relay} for the profiles that no peer has"
            )?;
        }
    }
    if options.friends {
        writeln!(
            output,
            "Would add the friends of the members to {}",
            station.friends().display()
        )?;
    }
    Ok(())
}

/// `constellation-sync profiles`
///
/// # Errors
/// [`SyncError`].
pub(crate) async fn print_profiles(
    context: &Context,
    command: &ProfilesCommand,
    output: &mut impl Write,
) -> Result<u8, SyncError> {
    log_to_terminal(context);
    let keys = match command.pubkeys.as_slice() {
        [] => {
            let mut descriptions = peer::descriptions(&context.station);
            let kept = context.recall(&mut descriptions, unix_time()).kept;
            followed::followed(&context.station, &descriptions, &kept.keys)?.keys
        }
        given => {
            let mut seen = BTreeSet::new();
            let given = given.iter().filter(|key| seen.insert(**key));
            given.copied().collect()
        }
    };
    let profiles = profiles::extract(&context.strfry(), &keys).await?;
    let now = utc(unix_time());
    match command.format {
        Format::Table => render::write_table(output, &keys, &profiles)?,
        Format::Json => output.write_all(render::json(&profiles, &now).as_bytes())?,
        Format::Csv => output.write_all(render::csv(&profiles, &now).as_bytes())?,
    }
    Ok(0)
}

/// `constellation-sync friends`
///
/// # Errors
/// [`SyncError`].
pub(crate) async fn print_friends(
    context: &Context,
    command: FriendsCommand,
    output: &mut impl Write,
) -> Result<u8, SyncError> {
    log_to_terminal(context);
    let scope = Scope::from(context.options.members.scope);
    let strfry = context.strfry();
    let descriptions = peer::descriptions(&context.station);
    let circle = friends::gather(&context.station, &strfry, &descriptions, scope).await?;
    let followed = circle.new.iter().filter(|(_, friend)| friend.followers > 0);
    let followed: Vec<Pubkey> = followed.map(|(key, _)| *key).take(MOST_NAMES).collect();
    let names = profiles::extract(&strfry, &followed).await?;
    write_circle(output, &circle, &names)?;
    let path = context.station.friends();
    let unblocked = match circle.unblocked().count() {
        0 => String::new(),
        count => format!(", {count} of them unblocked by it"),
    };
    if command.write && !context.options.dry_run {
        let keys = circle.new.into_keys().collect();
        let added = friends::list::add(&path, &keys).await;
        let added = added.map_err(|error| FriendsError::List(path.clone(), error))?;
        writeln!(
            output,
            "Added {} to {}{unblocked}",
            counted(added, "pubkey"),
            path.display()
        )?;
        if let Some(script) = deleting_script(&context.station) {
            writeln!(
                output,
                "! {} deletes this list each day, and what was added with it; so that every run adds it again: CONSTELLATION_FRIENDS=1, or --friends",
                script.display()
            )?;
        }
    } else {
        let count = circle.new.len();
        writeln!(
            output,
            "Would add {} to {}{unblocked}; --write does that",
            counted(count, "pubkey"),
            path.display()
        )?;
    }
    Ok(0)
}

/// The station's script that deletes the list of friends each day, if it has one.
fn deleting_script(station: &Station) -> Option<PathBuf> {
    let script = station.root().join("Astroport.ONE/20h12.process.sh");
    let text = atomic_file::read(&script, LONGEST_SCRIPT)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let deletes = |line: &str| line.starts_with("rm ") && line.contains("amisOfAmis.txt");
    text.lines().map(str::trim).any(deletes).then_some(script)
}

fn log_to_terminal(context: &Context) {
    let log = Log::to_terminal(context.options.verbose, context.bars.clone());
    tracing_subscriber::registry().with(log).init();
}

fn write_circle(output: &mut impl Write, circle: &Circle, names: &Profiles) -> io::Result<()> {
    let Circle {
        people,
        contact_lists,
        named,
        kept_blocked,
        new,
    } = circle;
    writeln!(
        output,
        "👥 {contact_lists} of {} with a contact list; {}, {} of them new",
        counted(*people, "member"),
        counted(*named, "friend"),
        new.len()
    )?;
    if *kept_blocked > 0 {
        writeln!(
            output,
            "   left out because of blacklist.txt: {kept_blocked}"
        )?;
    }
    for (key, friend) in new {
        let fields = names.get(key).map(|profile| &profile.fields);
        let name = fields
            .map(|fields| for_terminal(&fields.name, 32))
            .unwrap_or_default();
        writeln!(output, "  + {key}  {name:<33}  {}", reason(*friend))?;
    }
    Ok(())
}

fn reason(friend: Friend) -> String {
    let Friend {
        followers,
        stations,
        blocked,
    } = friend;
    let mut reasons = Vec::new();
    if followers > 0 {
        reasons.push(format!("followed by {followers}"));
    }
    if stations > 0 {
        reasons.push(format!("listed by {}", counted(stations, "other station")));
    }
    if blocked {
        reasons.push("⚠ ON blacklist.txt: being listed unblocks it".to_owned());
    }
    reasons.join(", ")
}
