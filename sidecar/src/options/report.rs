//! The options for the report.

use std::path::PathBuf;

use clap::Args;

/// Where a run is reported in addition to strfry's folder.
#[derive(Debug, Clone, Args)]
pub struct ReportOptions {
    /// Write figures for Prometheus to this file, for node_exporter's textfile collector
    #[arg(long, value_name = "FILE", env = "CONSTELLATION_METRICS")]
    pub metrics: Option<PathBuf>,
}
