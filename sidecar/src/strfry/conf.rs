//! [`Conf`]: the settings in `strfry.conf` (a file of taocpp/config), and [`edit`], which changes the
//! plugin line.
//!
//! The whole grammar is read except for functions whose value only strfry knows, such as
//! `(env "NAME")` and `(shell "…")`. A setting that depends on one of them is a [`Fault`] and never a
//! guess.

mod cursor;
pub(crate) mod edit;
mod fault;
mod function;
mod parse;
mod resolve;
mod scalar;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use constellation_shared::regular_file;

pub use fault::Fault;

use tree::{Node, Scalar, Value};

/// `events.maxEventSize` where the conf does not say (strfry's golpe.yaml).
pub(crate) const DEFAULT_MAX_EVENT_SIZE: usize = 65_536;

/// `relay.port` where the conf does not say (strfry's golpe.yaml).
pub(crate) const DEFAULT_RELAY_PORT: u16 = 7777;

/// The longest conf that is read, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// The settings of a conf.
#[derive(Debug, Clone)]
pub struct Conf {
    text: Vec<u8>,
    root: Node,
    blocks: BTreeMap<Vec<String>, usize>,
}

/// Why a conf cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfError {
    /// The file exists but cannot be read.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// The file has an error, or a part that only strfry understands.
    #[error("{0}")]
    Fault(Fault),
}

impl Conf {
    /// Reads the text of a conf. Included files are relative to `folder`, in which strfry is started.
    ///
    /// # Errors
    /// [`Fault`] if the conf is not understood.
    pub fn parse(text: &[u8], folder: &Path) -> Result<Self, Fault> {
        let include = |path: &Path| read_bytes(&folder.join(path));
        let said = parse::parse(text, &include)?;
        let root = resolve::resolve(said.root).map_err(|unresolved| Fault {
            file: None,
            line: fault::line_of(text, unresolved.at),
            what: unresolved.what,
            is_certain: unresolved.is_certain,
        })?;
        Ok(Self {
            text: text.to_owned(),
            root,
            blocks: said.blocks,
        })
    }

    /// Reads the conf of a strfry that is started in the conf's folder; `None` if there is no such
    /// file.
    ///
    /// # Errors
    /// [`ConfError`] if the file cannot be read or understood.
    pub fn read(path: &Path) -> Result<Option<Self>, ConfError> {
        let text = match read_bytes(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(ConfError::Read)?,
        };
        let folder = path.parent().unwrap_or(Path::new("/"));
        let conf = Self::parse(&text, folder).map_err(ConfError::Fault)?;
        Ok(Some(conf))
    }

    /// A conf without settings.
    pub fn empty() -> Self {
        Self {
            text: Vec::new(),
            root: Node {
                value: Value::Object(BTreeMap::new()),
                place: None,
                at: 0,
            },
            blocks: BTreeMap::new(),
        }
    }

    /// The value of a text setting, if it is set.
    ///
    /// # Errors
    /// [`Fault`] if the value is no text, or if only strfry knows it.
    pub fn text(&self, path: &[&str]) -> Result<Option<&str>, Fault> {
        match self.find(path)? {
            None => Ok(None),
            Some(Node {
                value: Value::Scalar(Scalar::Text(text)),
                ..
            }) => Ok(Some(text)),
            Some(node) => Err(self.fault(node, path, "is no text in quotes")),
        }
    }

    /// The value of a numeric setting, if it is set.
    ///
    /// # Errors
    /// [`Fault`] if the value is no whole number, or if only strfry knows it.
    pub fn number(&self, path: &[&str]) -> Result<Option<u64>, Fault> {
        match self.find(path)? {
            None => Ok(None),
            Some(Node {
                value: Value::Scalar(Scalar::Unsigned(number)),
                ..
            }) => Ok(Some(*number)),
            Some(node) => Err(self.fault(node, path, "is no whole number")),
        }
    }

    /// The port on which the relay listens; strfry's default if it is not set or not understood.
    pub fn relay_port(&self) -> u16 {
        let port = self.number(&["relay", "port"]).ok().flatten();
        port.and_then(|port| u16::try_from(port).ok())
            .unwrap_or(DEFAULT_RELAY_PORT)
    }

    /// The number of the line that sets this as `name = value`; `None` if it is set in another form
    /// or in another file.
    pub fn plain_line(&self, path: &[&str]) -> Option<usize> {
        let name = path.last()?;
        let number = fault::line_of(&self.text, self.place(path)?.start);
        let line = self.text.split(|byte| *byte == b'\n').nth(number - 1)?;
        let line = String::from_utf8_lossy(line);
        let behind = line.trim_start().strip_prefix(name)?;
        behind.trim_start().starts_with('=').then_some(number)
    }

    /// The number of the line that sets this, or that includes the file that does.
    pub fn line(&self, path: &[&str]) -> Option<usize> {
        let node = self.find(path).ok().flatten()?;
        Some(fault::line_of(&self.text, node.at))
    }

    /// Whether the conf has this block.
    pub fn has_block(&self, path: &[&str]) -> bool {
        let node = self.find(path).ok().flatten();
        node.is_some_and(|node| matches!(node.value, Value::Object(_)))
    }

    fn find(&self, path: &[&str]) -> Result<Option<&Node>, Fault> {
        let mut node = &self.root;
        for step in path {
            node = match &node.value {
                Value::Object(members) => match members.get(*step) {
                    Some(member) => member,
                    None => return Ok(None),
                },
                Value::Unknown(what) => return Err(self.doubt(node, path, what)),
                // strfry uses its defaults if this is no block.
                Value::Scalar(_) | Value::Array(_) => return Ok(None),
            };
        }
        match &node.value {
            Value::Unknown(what) => Err(self.doubt(node, path, what)),
            _ => Ok(Some(node)),
        }
    }

    fn fault(&self, node: &Node, path: &[&str], what: &str) -> Fault {
        Fault {
            file: None,
            line: fault::line_of(&self.text, node.at),
            what: format!("{} {what}", path.join(".")),
            is_certain: true,
        }
    }

    fn doubt(&self, node: &Node, path: &[&str], what: &str) -> Fault {
        let words = format!("comes from {what}, which only strfry can tell");
        Fault {
            is_certain: false,
            ..self.fault(node, path, &words)
        }
    }

    /// The range of the text that gives a setting its value, if there is exactly one such place and
    /// it is in the conf itself.
    fn place(&self, path: &[&str]) -> Option<Range<usize>> {
        self.find(path).ok()??.place.clone()
    }
}

/// Reads a conf, or a file that it includes.
fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let file = regular_file::open(path)?;
    file.take(LONGEST + 1).read_to_end(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|length| length <= LONGEST) {
        Ok(text)
    } else {
        Err(io::Error::other("it is longer than 1 MiB"))
    }
}

/// The size in bytes that is assumed if `events.maxEventSize` is not understood: the largest value
/// that stations use. strfry reports events that it finds too long.
const LARGEST_USUAL_EVENT: usize = 131_072;

/// The limits of an event that strfry's import enforces, besides the form of NIP-01. An event beyond
/// one of them is refused, or aborts the whole import if it is too long. Run against strfry f8a56a8;
/// `relay.maxWebsocketPayloadSize` concerns clients only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventLimits {
    /// `events.maxEventSize`: the longest line with its newline, in bytes.
    pub bytes: usize,
    /// `events.maxNumTags`: how many tags it has at most.
    pub tags: usize,
    /// `events.maxTagValSize`: the longest value of a tag whose name is a single byte, in bytes.
    pub tag_value: usize,
}

impl Default for EventLimits {
    /// The limits of a strfry whose conf sets none.
    fn default() -> Self {
        Self {
            bytes: DEFAULT_MAX_EVENT_SIZE,
            tags: 2000,
            tag_value: 1024,
        }
    }
}

/// The limits in a conf.
#[derive(Debug)]
pub(crate) struct LimitsFound {
    /// The limits. For a setting that is not understood: the longest event that stations allow, or no
    /// limit.
    pub limits: EventLimits,
    /// Why settings are not understood.
    pub doubts: Vec<Fault>,
}

/// Reads the limits of events. A missing file has no settings.
///
/// # Errors
/// If the file cannot be read.
pub(crate) fn event_limits(conf: &Path) -> io::Result<LimitsFound> {
    let mut doubts = Vec::new();
    let conf = match Conf::read(conf) {
        Err(ConfError::Read(error)) => return Err(error),
        Err(ConfError::Fault(fault)) => {
            doubts.push(fault);
            None
        }
        Ok(conf) => Some(conf.unwrap_or_else(Conf::empty)),
    };
    let mut limit = |name: &str, usual: usize, in_doubt: usize| {
        let Some(conf) = &conf else { return in_doubt };
        match conf.number(&["events", name]) {
            Ok(number) => number.map_or(usual, |number| {
                usize::try_from(number).unwrap_or(usize::MAX)
            }),
            Err(fault) => {
                doubts.push(fault);
                in_doubt
            }
        }
    };
    let usual = EventLimits::default();
    let limits = EventLimits {
        bytes: limit("maxEventSize", usual.bytes, LARGEST_USUAL_EVENT),
        tags: limit("maxNumTags", usual.tags, usize::MAX),
        tag_value: limit("maxTagValSize", usual.tag_value, usize::MAX),
    };
    Ok(LimitsFound { limits, doubts })
}

/// The path of the database's file, according to the conf's `db`, which is relative to `folder`.
pub fn database(conf: &Path, folder: &Path) -> PathBuf {
    let conf = Conf::read(conf).ok().flatten().unwrap_or_else(Conf::empty);
    let db = conf.text(&["db"]).ok().flatten().unwrap_or("strfry-db");
    // Normalises the path: `./strfry-db/`.
    folder.join(db).join("data.mdb").components().collect()
}
