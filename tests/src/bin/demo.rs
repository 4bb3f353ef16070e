//! One program under several names: by the last part of its path it is the stand-in
//! strfry or ipfs, or one of ours, so that a temporary station needs nothing but links to it.

use std::io::{Write, stderr};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let path = args.next().unwrap_or_default();
    let name = Path::new(&path).file_name().unwrap_or_default();
    match name.to_str().unwrap_or_default() {
        "strfry" => constellation_tests::stand_in::run(args),
        "constellation-policy" => constellation_policy::main(),
        "constellation-sync" => constellation_sync::main(),
        "ipfs" => constellation_tests::ipfs::run(args),
        "demo" => constellation_tests::demo::run(),
        other => {
            let _ = writeln!(
                stderr(),
                "{other}: this name is nobody's; see tests/src/bin/demo.rs"
            );
            ExitCode::from(2)
        }
    }
}
