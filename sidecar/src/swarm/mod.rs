//! The other stations and the followed keys, as the files of this station describe them.

pub(crate) mod blocked_now;
pub(crate) mod followed;
pub(crate) mod peer;
