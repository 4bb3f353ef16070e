//! The executable, which only calls the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    constellation_sync::main()
}
