//! The station's own report of a run, `sync_report.sh`: it reads our log, and tells the captain by a note
//! of its own.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use tracing::info;

use crate::support::program::is_program;

/// The variable that says who the captain is.
const CAPTAIN: &str = "CAPTAINEMAIL";

/// Starts the script if there is a captain to tell, and does not wait for it: it may take minutes.
pub(crate) fn start(script: &Path) {
    let captain = std::env::var_os(CAPTAIN);
    if captain.is_none_or(|captain| captain.is_empty()) || script.as_os_str().is_empty() {
        return;
    }
    let path = script.display();
    if !is_program(script) {
        info!("{path} is not there or not executable, so it reports nothing");
        return;
    }
    let started = Command::new(script)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // What ends us does not end it.
        .process_group(0)
        .spawn();
    match started {
        Ok(_) => info!("{path} is started, which reports this run to the captain"),
        Err(error) => info!("{path} cannot be started: {error}"),
    }
}
