//! What a run will do: which peers it asks ([`selection`]), how far back ([`peer_history`]), for
//! what ([`wanted`]); and what is remembered of peers ([`peer_memory`]) and of refused events
//! ([`refused`]). No input or output but these modules' own files.

pub(crate) mod peer_history;
pub(crate) mod peer_memory;
pub(crate) mod refused;
pub(crate) mod selection;
pub(crate) mod wanted;
