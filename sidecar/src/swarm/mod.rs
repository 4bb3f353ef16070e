//! The other stations and the followed keys, as the files of this station describe them.

pub mod blocked_now;
pub mod followed;
pub mod peer;
