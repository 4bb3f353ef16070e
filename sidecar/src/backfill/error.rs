//! Why a backfill cannot begin.

use std::io;
use std::path::PathBuf;

use crate::relay::connection::ConnectorError;
use crate::swarm::followed::BlacklistUnreadable;

/// Why a backfill cannot begin; each says what to do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrepareError {
    /// `--ca-file`.
    #[error(transparent)]
    Certificate(#[from] ConnectorError),
    /// strfry.conf is there and cannot be read.
    #[error("{0} cannot be read; check who may read it")]
    Conf(PathBuf, #[source] io::Error),
    /// No strfry to feed.
    #[error("{0} is not a program; install strfry there or pass --strfry PATH")]
    NoStrfry(PathBuf),
    /// Nobody to ask.
    #[error(
        "No constellation peers found: {0} holds no 12345.json with myRELAY and ipfsnodeid that can be reached from here; wait for the swarm to be synchronised, or pass --peer URL"
    )]
    NoPeers(PathBuf),
    /// The settings file is not understood, and may name another blacklist.
    #[error(
        "{0} is not understood and may name another blacklist; nothing is synced until it is corrected, because blocked authors could come in; `constellation-sync doctor` shows what is wrong"
    )]
    SettingsUnknown(PathBuf),
    /// Who is blocked is unknown.
    #[error(transparent)]
    Blacklist(#[from] BlacklistUnreadable),
}

impl PrepareError {
    /// The exit code that it leads to.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Certificate(_) | Self::Conf(..) | Self::SettingsUnknown(_) => 2,
            Self::NoStrfry(_) | Self::NoPeers(_) | Self::Blacklist(_) => 3,
        }
    }
}
