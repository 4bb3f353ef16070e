//! The other stations, the followed pubkeys and the blocked ones, according to this station's files.

pub(crate) mod blocked_now;
pub(crate) mod followed;
pub(crate) mod passed_over;
pub(crate) mod peer;
pub(crate) mod reach;
pub(crate) mod station_name;
pub(crate) mod station_names;
