//! The executable itself. Other tests call the library.

use std::process::{Command, Stdio};

#[test]
fn the_executable_runs_the_library() {
    let program = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_constellation-policy"))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let help = program(&["--help"]);
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).contains("Usage: constellation-policy"));
    assert_eq!(program(&["--no-such-option"]).status.code(), Some(2));
}
