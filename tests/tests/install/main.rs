//! `constellation-sync install` and `uninstall`, on a station whose scripts come by `git
//! pull` and on others.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is a failed test"
)]

mod case;
mod checkout;
mod conf;
mod plain;
mod systemd;
mod user;
