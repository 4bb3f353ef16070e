//! The backfill's process; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    constellation_sync::main()
}
