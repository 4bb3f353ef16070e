//! The program as it is shipped, for benches.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// Builds `constellation-sync` in the profile of the bench that asks, which is `release` unless
/// `cargo bench` was told otherwise; where it is.
///
/// # Panics
/// If it cannot be built.
pub fn release_program() -> PathBuf {
    // <target>/release/deps/sync-… -> <target>/release
    let folder = env::current_exe().unwrap();
    let folder = folder.ancestors().nth(2).unwrap();
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "-p", "constellation-sync"]);
    if !folder.ends_with("debug") {
        build.arg("--release");
    }
    assert!(build.status().is_ok_and(|status| status.success()));
    folder.join("constellation-sync")
}
