//! Man pages and completions of both programs, from what their `--help` is made of: for
//! the package, into the folder that is named.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        let _ = writeln!(io::stderr(), "usage: manuals FOLDER");
        return ExitCode::from(2);
    };
    match constellation_tests::manuals::write(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "manuals: {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}
