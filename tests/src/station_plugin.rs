//! Scripts that stand in for the plugins that stations have, in the shape by which an install
//! recognises them.

/// The plugin of old: everyone may write who is not on the blacklist, if no filter rejects the event.
pub const OLD: &str = include_str!("station_plugin/old.sh");

/// The plugin of today: strangers may write only what a filter accepts.
pub const TODAY: &str = include_str!("station_plugin/today.sh");
