//! `constellation-sync why`: whether an event is here ([`event`]), a key is followed ([`key`]), a kind
//! is asked for ([`kind`]) or a station is synced with ([`station`]), why not, and what to do about
//! it. The lists, the local strfry and all peers are asked. [`subject`] reads what somebody typed, and
//! [`word`] finds whom a word names.

pub(crate) mod answer;
pub(crate) mod event;
pub(crate) mod key;
pub(crate) mod kind;
pub(crate) mod station;
pub(crate) mod subject;
pub(crate) mod word;

use std::io::Write;

use clap::Args;
use clap::builder::BoolishValueParser;
use constellation_shared::{EventId, Pubkey, counted};

use crate::commands::error::SyncError;
use crate::commands::probe::Probe;
use crate::commands::why::answer::Answer;
use crate::commands::why::subject::Subject;
use crate::commands::why::word::Target;
use crate::context::Context;
use crate::support::sanitize::escaped_json;

/// The layout of the JSON: fields are added to it, none changes its meaning.
const SCHEMA: u32 = 1;

/// Explain whether an event is here, a key followed, a kind or a station asked, and why not
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Nothing is changed. The answer begins with what was understood. 64 hex digits are
an event or a key, whichever is known. A name that several have lists them.

Examples:
  constellation-sync why note1…              which peers have it, would it be let in?
  constellation-sync why alice@example.org   is she followed, which list names her?
  constellation-sync why saturne             is that station synced with?
  constellation-sync why 30023               is this kind asked for, who has some?

Exit code: 0 if the event is here, the key is followed, the kind is asked for, or the
station answers, else 1; 2 if nobody or several are called so.")]
pub struct WhyOptions {
    /// An event (note1…, nevent1…), a key (npub1…, nprofile1…), 64 hex digits of either, a kind (30023), an e-mail address or name of a member, a station's hostname
    #[arg(value_name = "EVENT_ID|KEY|NAME|KIND")]
    pub subject: Subject,
    /// Ask peers behind IPFS tunnels, too; the tunnels are closed again
    #[arg(long, env = "CONSTELLATION_TUNNELS", value_parser = BoolishValueParser::new())]
    pub tunnels: bool,
}

/// Finds the answer and writes it. Returns the exit code.
///
/// # Errors
/// [`SyncError`] if strfry or the blacklist cannot be read.
pub(crate) async fn run(
    context: &Context,
    options: &WhyOptions,
    output: &mut impl Write,
) -> Result<u8, SyncError> {
    let probe = Probe::prepare(context, options.tunnels)?;
    let answer = look_into(context, &probe, &options.subject).await;
    probe.close().await;
    let answer = answer?;
    let exit_code = answer.exit_code;
    if context.options.json {
        let mut json = answer.json;
        if let Some(fields) = json.as_object_mut() {
            fields.insert("schema".to_owned(), SCHEMA.into());
            fields.insert("exit_code".to_owned(), exit_code.into());
        }
        writeln!(output, "{}", escaped_json(&json.to_string()))?;
    } else {
        for line in answer.lines {
            writeln!(output, "{line}")?;
        }
    }
    Ok(exit_code)
}

async fn look_into(
    context: &Context,
    probe: &Probe,
    subject: &Subject,
) -> Result<Answer, SyncError> {
    match subject {
        Subject::Event(id) => event::look_into(context, probe, *id).await,
        Subject::Key(key) => key::look_into(context, probe, *key).await,
        Subject::Either(bytes) => either(context, probe, *bytes).await,
        Subject::Kind(kind) => kind::look_into(context, probe, *kind).await,
        Subject::Word(word) => {
            let meanings = word::find(context, probe, word).await?;
            let (target, others) = match meanings.only() {
                Ok(only) => only,
                Err(candidates) => return Ok(word::ask_again(word, &candidates)),
            };
            let mut answer = match target {
                Target::Key(key) => key::look_into(context, probe, key).await?,
                Target::Station(folder) => station::look_into(context, probe, &folder).await?,
            };
            if others > 0 {
                let others = counted(others as u64, "other");
                let words = format!("  {others} took this name in a profile or 12345.json");
                answer.lines.insert(1, words);
            }
            if let Some(fields) = answer.json.as_object_mut() {
                fields.insert("others_of_that_name".to_owned(), others.into());
            }
            Ok(answer)
        }
    }
}

/// Looks for 32 bytes, which name a key or an event: as a key if this station knows it, else as an
/// event, and then, if nobody has one, as a key after all.
async fn either(context: &Context, probe: &Probe, bytes: [u8; 32]) -> Result<Answer, SyncError> {
    let key = Pubkey::from_bytes(bytes);
    if key::is_known(context, probe, &key).await? {
        return key::look_into(context, probe, key).await;
    }
    let mut of_event = event::look_into(context, probe, EventId::from_bytes(bytes)).await?;
    if of_event.is_known {
        return Ok(of_event);
    }
    let mut of_key = key::look_into(context, probe, key).await?;
    if of_key.is_known {
        let words = "  no event with this id is here or at a peer that was asked";
        of_key.lines.insert(1, words.to_owned());
        return Ok(of_key);
    }
    of_event.lines.extend(of_key.lines);
    if let Some(fields) = of_event.json.as_object_mut() {
        fields.insert("as_key".to_owned(), of_key.json);
    }
    Ok(of_event)
}
