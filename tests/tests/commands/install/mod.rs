//! `constellation-sync install` and `uninstall`, on a station whose scripts come by `git
//! pull` and on others.

mod case;
mod checkout;
mod conf;
mod plain;
mod rule;
mod systemd;
mod user;
