//! Why a run could do nothing at all, and how errors are told.

use std::io;
use std::path::PathBuf;

use constellation_shared::station::NoRoot;

use crate::commands::install::InstallError;
use crate::members::friends::FriendsError;
use crate::relay::connection::CertificateError;
use crate::strfry::scan::ScanError;
use crate::support::lock::LockError;
use crate::support::runtime::NoRuntime;
use crate::swarm::followed::BlacklistUnreadable;

/// Why a run could do nothing at all; each says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// No station folder.
    #[error(transparent)]
    NoRoot(#[from] NoRoot),
    /// The station's strfry folder is missing.
    #[error("{0} is not there; check --zen or CONSTELLATION_ZEN, or install strfry there")]
    NoFolder(PathBuf),
    /// It is hidden from this user.
    #[error(
        "{0} cannot be looked into; run this as the station's owner, or check who may enter the folders on the way"
    )]
    Closed(PathBuf, #[source] io::Error),
    /// The log cannot be written.
    #[error("{0} cannot be written; check who owns it")]
    Log(PathBuf, #[source] io::Error),
    /// `--ca-file`.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
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
    /// Who is blocked is unknown.
    #[error(transparent)]
    Blacklist(#[from] BlacklistUnreadable),
    /// Another run, or a lock that cannot be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// strfry does not answer.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The friends cannot be gathered or listed.
    #[error(transparent)]
    Friends(#[from] FriendsError),
    /// The system gives no threads.
    #[error(transparent)]
    Runtime(#[from] NoRuntime),
    /// By a signal.
    #[error("interrupted before anybody was asked")]
    Interrupted,
    /// The bug report cannot be written.
    #[error("{0} cannot be written; say where it may be: --output FILE")]
    Bugreport(PathBuf, #[source] io::Error),
    /// An install or uninstall stopped.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// stdout is gone.
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
}

impl SyncError {
    /// The exit code that it leads to.
    pub const fn exit_code(&self) -> u8 {
        match self {
            // Another instance does the work: nothing is wrong.
            Self::Lock(LockError::Held(_)) => 0,
            Self::NoRoot(_)
            | Self::NoFolder(_)
            | Self::Closed(..)
            | Self::Log(..)
            | Self::Certificate(_)
            | Self::Conf(..)
            | Self::Lock(LockError::Io(..))
            | Self::Bugreport(..)
            | Self::Install(_)
            | Self::Output(_) => 2,
            Self::NoStrfry(_)
            | Self::NoPeers(_)
            | Self::Blacklist(_)
            | Self::Scan(_)
            | Self::Friends(_)
            | Self::Runtime(_) => 3,
            Self::Interrupted => 130,
        }
    }
}
