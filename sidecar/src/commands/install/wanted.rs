//! What an install should achieve, as the command line says.

use crate::commands::install::rule::RelayRule;

/// What is to be in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The plugin as strfry.conf names it.
    pub command: String,
    /// The script in the place of the station's plugin.
    pub plugin: Vec<u8>,
    /// The policy by the line in strfry.conf.
    pub by_conf: bool,
    /// What the relay is to accept, if the policy takes a plugin's place.
    pub rule: Option<RelayRule>,
}
