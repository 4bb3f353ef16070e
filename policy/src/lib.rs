//! `constellation-policy`, a write-policy plugin for strfry relays.
//!
//! Read it in this order: [`message`] (what strfry asks and is answered), [`lists`] (who
//! is blocked, who is pardoned), [`keeper`] (the lists kept up to date), [`blacklist`]
//! (taking a key's lines out), [`explain`], [`options`]; and here the loop over all.
//!
//! stdout belongs to the protocol: one answer for each line, and nothing else.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::unchecked_time_subtraction
    )
)]

pub mod blacklist;
pub mod explain;
pub mod keeper;
pub mod lists;
pub mod message;
pub mod options;
mod scan;

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use constellation_shared::Pubkey;
use constellation_shared::verdict::Verdict;
use tracing::warn;

use crate::keeper::Keeper;
use crate::message::{Answer, Request};
use crate::options::{Command, Options};

/// How much is read at once, in bytes: what a pipe holds.
const PIECE: usize = 64 * 1024;

/// The longest request, in bytes. From stream and sync strfry takes events of 16 MiB,
/// which escaping can make up to six times as long.
const LONGEST_REQUEST: usize = 128 * 1024 * 1024;

/// How much memory a long request may leave behind, in bytes.
const KEPT_FOR_REQUESTS: usize = 1024 * 1024;

/// The whole program, from its arguments to its exit code: 0 at the end of input, 2 where
/// it cannot start or read on; of `explain` 0 for allow and 1 for block.
pub fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            let mut message = format!("constellation-policy: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                message.push_str(&format!(": {error}"));
                cause = error.source();
            }
            // Where stderr is gone there is nobody left to tell.
            let _ = writeln!(io::stderr(), "{message}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn Error>> {
    let options = Options::parse();
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .without_time()
        .with_max_level(options.log)
        // Else it reports a dead stderr on stderr, which panics; strfry gives us a stderr
        // of our own and ignores SIGPIPE.
        .log_internal_errors(false)
        .init();
    let sources = options.lists.sources()?;
    if let Some(Command::Explain { pubkeys }) = options.command {
        let keys = pubkeys
            .iter()
            .map(|text| {
                text.parse()
                    .map_err(|error| format!("'{text}' is no pubkey: {error}"))
            })
            .collect::<Result<Vec<Pubkey>, String>>()?;
        let verdict = explain::explain(&sources, &keys, &mut io::stdout().lock());
        return match unless_closed(verdict)? {
            Some(Verdict::Block) => Ok(ExitCode::FAILURE),
            _ => Ok(ExitCode::SUCCESS),
        };
    }
    look_at(sources.station.root());
    let keeper = Keeper::start(sources, !options.no_remove)?;
    // Plain descriptors: a write reaches strfry at once, and a read takes all there is.
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let answered = answer_all(
        BufReader::with_capacity(PIECE, input),
        &mut output,
        |author| keeper.verdict(author),
        options.shadow,
    );
    keeper.close();
    unless_closed(answered)?;
    Ok(ExitCode::SUCCESS)
}

/// Says what is wrong with the station's folder, which is seen in no list.
fn look_at(station: &Path) {
    let root = station.display();
    match fs::metadata(station) {
        Ok(metadata) if metadata.is_dir() => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => warn!(
            "{root} is not there: until it is, no key is blocked; check --zen or CONSTELLATION_ZEN"
        ),
        found => {
            let cause = found.map_or_else(|error| error.to_string(), |_| "no folder".to_owned());
            warn!(
                "{root} cannot be looked into ({cause}): no list in it can be read; check --zen \
                 or CONSTELLATION_ZEN, and who may enter it"
            );
        }
    }
}

/// strfry closes its end of the pipe when it stops or replaces the plugin.
fn unless_closed<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(None),
        result => result.map(Some),
    }
}

/// Answers each line that is not blank with exactly one line, in order, until the input
/// ends. All answers are written before more input is waited for. `verdict` is `None`
/// where the lists are unavailable.
///
/// # Errors
/// Those of reading and writing.
pub fn answer_all(
    mut input: BufReader<impl Read>,
    output: &mut impl Write,
    verdict: impl Fn(&Pubkey) -> Option<Verdict>,
    shadow: bool,
) -> io::Result<()> {
    // The start of a line that has not yet been read to its end.
    let mut begun = Vec::new();
    let mut answers = Vec::new();
    loop {
        let piece = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            piece => piece?,
        };
        if piece.is_empty() {
            answer_one(&begun, &verdict, shadow, &mut answers);
            return output.write_all(&answers);
        }
        let length = piece.len();
        let mut rest = piece;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, behind) = rest.split_at(end + 1);
            rest = behind;
            if begun.is_empty() {
                answer_one(line, &verdict, shadow, &mut answers);
            } else {
                extend(&mut begun, line);
                answer_one(&begun, &verdict, shadow, &mut answers);
                begun.clear();
                begun.shrink_to(KEPT_FOR_REQUESTS);
            }
            if answers.len() > PIECE {
                output.write_all(&answers)?;
                answers.clear();
            }
        }
        extend(&mut begun, rest);
        input.consume(length);
        output.write_all(&answers)?;
        answers.clear();
    }
}

/// A request longer than the longest loses its end, and so is no JSON.
fn extend(begun: &mut Vec<u8>, more: &[u8]) {
    let room = LONGEST_REQUEST.saturating_sub(begun.len());
    begun.extend_from_slice(more.get(..room).unwrap_or(more));
}

/// Appends the answer to a line, or nothing where it is blank.
fn answer_one(
    line: &[u8],
    verdict: impl Fn(&Pubkey) -> Option<Verdict>,
    shadow: bool,
    answer: &mut Vec<u8>,
) {
    if line.trim_ascii().is_empty() {
        return;
    }
    match Request::parse(line) {
        Request::New { id, author } => decide(author, verdict, shadow).spell(id, answer),
        // As the original does, for relays that synchronise.
        Request::Other { id } => Answer::Accept.spell(id, answer),
        Request::Broken { id, reason } => {
            warn!("a line of {} bytes was rejected: {reason}", line.len());
            Answer::Reject("error: request not understood").spell(id, answer);
        }
    }
}

fn decide(
    author: Option<Pubkey>,
    verdict: impl Fn(&Pubkey) -> Option<Verdict>,
    shadow: bool,
) -> Answer {
    let Some(author) = author else {
        return Answer::Reject("invalid: pubkey is not 32 bytes of hex");
    };
    match verdict(&author) {
        None => Answer::Reject("error: policy lists unavailable"),
        Some(Verdict::Allow | Verdict::Pardon) => Answer::Accept,
        Some(Verdict::Block) if shadow => Answer::ShadowReject,
        Some(Verdict::Block) => Answer::Reject("blocked: pubkey is blacklisted"),
    }
}
