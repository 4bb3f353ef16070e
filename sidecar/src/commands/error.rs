//! [`SyncError`]: why a command could do nothing at all, its exit code, and how it is reported.

use std::io::{self, Write};
use std::path::PathBuf;

use constellation_shared::station::NoRoot;
use tracing::{error, info};

use crate::backfill::error::PrepareError;
use crate::commands::install::InstallError;
use crate::members::friends::FriendsError;
use crate::relay::connection::ConnectorError;
use crate::report::publish::Failure;
use crate::strfry::scan::ScanError;
use crate::support::error_chain::chain;
use crate::support::lock::LockError;
use crate::support::runtime::NoRuntime;
use crate::support::stdout::stdout;
use crate::swarm::followed::BlacklistUnreadable;

/// Why a run could do nothing at all; each says what to do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SyncError {
    /// No station folder.
    #[error(transparent)]
    NoRoot(#[from] NoRoot),
    /// The station's strfry folder is missing.
    #[error("{0} is not there; check --zen or CONSTELLATION_ZEN, or install strfry there")]
    NoFolder(PathBuf),
    /// The folder is hidden from this user.
    #[error(
        "{0} cannot be looked into; run this as the station's owner, or check who may enter the folders on the way"
    )]
    Closed(PathBuf, #[source] io::Error),
    /// The log cannot be written.
    #[error("{0} cannot be written; check who owns it")]
    Log(PathBuf, #[source] io::Error),
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
    /// A backfill cannot begin.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// By a signal.
    #[error("interrupted before anybody was asked")]
    Interrupted,
    /// The bug report cannot be written.
    #[error("{0} cannot be written; say where it may be: --output FILE")]
    Bugreport(PathBuf, #[source] io::Error),
    /// The settings file cannot be edited.
    #[error("{0} cannot be edited")]
    Editor(PathBuf, #[source] io::Error),
    /// An install or uninstall stopped.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// stdout is gone.
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
}

impl SyncError {
    /// The exit code that it leads to.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            // Another instance does the work: nothing is wrong.
            Self::Lock(LockError::Held(_) | LockError::Live(_)) => 0,
            Self::NoRoot(_)
            | Self::NoFolder(_)
            | Self::Closed(..)
            | Self::Log(..)
            | Self::Lock(LockError::Io(..))
            | Self::Bugreport(..)
            | Self::Editor(..)
            | Self::Install(_)
            | Self::Output(_) => 2,
            Self::Prepare(error) => error.exit_code(),
            Self::Scan(_) | Self::Friends(_) | Self::Runtime(_) => 3,
            Self::Interrupted => 130,
        }
    }

    /// What the report says of it.
    pub(crate) fn failure(&self) -> Failure {
        Failure {
            exit_code: self.exit_code(),
            message: chain(self),
        }
    }
}

impl From<ConnectorError> for SyncError {
    fn from(error: ConnectorError) -> Self {
        Self::Prepare(error.into())
    }
}

impl From<BlacklistUnreadable> for SyncError {
    fn from(error: BlacklistUnreadable) -> Self {
        Self::Prepare(error.into())
    }
}

/// Says on the terminal, and in the log if there is one, why nothing could be done.
pub(crate) fn complain(error: &SyncError, json: bool) {
    let message = chain(error);
    let has_log = tracing::dispatcher::has_been_set();
    match error {
        // stdout is for the report alone where one is wanted.
        SyncError::Lock(LockError::Held(_) | LockError::Live(_)) if !json => {
            let _ = writeln!(stdout(), "{message}");
        }
        // A station that is alone, or whose swarm is not there yet, has done nothing wrong: nobody is
        // to be told each evening. The terminal shows it all the same.
        SyncError::Prepare(PrepareError::NoPeers(_)) if has_log => {
            info!("{message}");
            let _ = writeln!(io::stderr(), "constellation-sync: {message}");
        }
        // Where the log is on, it says so on the terminal too.
        _ if has_log => error!("Backfill failed: {message}"),
        _ => {
            let _ = writeln!(io::stderr(), "constellation-sync: {message}");
        }
    }
}
