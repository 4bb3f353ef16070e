//! Why an install or uninstall stopped.

use std::io;
use std::path::PathBuf;

use crate::commands::install::checkout;
use crate::commands::install::plugin::Obstacle;
use crate::commands::install::step::StepError;
use crate::strfry::conf::Fault;

/// Why nothing, or not all of it, could be done.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A file is there and cannot be read.
    #[error("{0} cannot be read; check who owns it")]
    Read(PathBuf, #[source] io::Error),
    /// A script is something else.
    #[error("{0} is no file but a link or a folder; put a file there, or nothing")]
    NoFile(PathBuf),
    /// The record is not understood.
    #[error("{0} is not understood; it was written by another version: use that one to uninstall")]
    Record(PathBuf),
    /// What a file or folder is called or holds.
    #[error("{0}: {1}")]
    Odd(PathBuf, String),
    /// The plugin in strfry.conf cannot be changed.
    #[error(
        "{path} {fault}; nothing was changed: mend that line, or write the plugin by hand: relay {{ writePolicy {{ plugin = \"{command}\" }} }}"
    )]
    Conf {
        /// strfry.conf
        path: PathBuf,
        /// What is in the way.
        fault: Fault,
        /// The plugin that was wanted.
        command: String,
    },
    /// The plugin is not recognised.
    #[error(
        "{plugin} is not recognised: {what}; so it cannot be told what strangers may write here{}. Nothing was changed: say it with --strangers accept (everything) or --strangers filters (only what a filter accepts)",
        .seems.as_ref().map(|rule| format!("; it seems to accept {rule}")).unwrap_or_default()
    )]
    UnknownPlugin {
        /// The plugin.
        plugin: String,
        /// What in it is unknown.
        what: String,
        /// What it seems to accept.
        seems: Option<String>,
    },
    /// No policy.
    #[error(
        "{0} is not there; install constellation-policy beside constellation-sync, or pass --policy PATH"
    )]
    NoPolicy(PathBuf),
    /// strfry could not start it.
    #[error(
        "strfry runs as {user} and could not start the policy: {obstacle}; put the program where everyone can start it: sudo install -m 755 {policy} /usr/local/bin/ and then install again with --policy /usr/local/bin/constellation-policy"
    )]
    Unstartable {
        /// strfry's user.
        user: String,
        /// What is in the way.
        obstacle: Obstacle,
        /// The program.
        policy: PathBuf,
    },
    /// Somebody else's station.
    #[error("{0} belongs to {1}: run this as that user, sudo -u {1} -H constellation-sync …")]
    NotOurs(PathBuf, String),
    /// Units are root's.
    #[error("only root can set up the timer: sudo {0}")]
    NotRoot(String),
    /// git.
    #[error(transparent)]
    Git(#[from] checkout::GitError),
    /// A step failed.
    #[error(
        "step {0} failed, and those behind it were not tried; mend it and repeat, or `constellation-sync uninstall`"
    )]
    Step(usize, #[source] StepError),
    /// stdout is gone.
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
}
