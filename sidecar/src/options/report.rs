//! The options for the report.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};

/// Where a run is reported in addition to strfry's folder.
#[derive(Debug, Clone, Args)]
pub struct ReportOptions {
    /// Write figures for Prometheus to this file, for node_exporter's textfile collector
    #[arg(long, value_name = "FILE", env = "CONSTELLATION_METRICS")]
    pub metrics: Option<PathBuf>,
    /// Start this script at the end of a run if CAPTAINEMAIL is set, and do not wait for it; the station's scripts name their sync_report.sh here
    #[arg(
        long,
        value_name = "PATH",
        // An empty variable turns it off.
        value_parser = OsStringValueParser::new().map(PathBuf::from),
        env = "CONSTELLATION_SYNC_REPORT"
    )]
    pub sync_report: Option<PathBuf>,
}
