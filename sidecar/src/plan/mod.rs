//! What a run will do: which peers it asks ([`selection`]), how far back ([`peer_history`]), for
//! what ([`wanted`]); and what is remembered of peers ([`peer_memory`]) and of refused events
//! ([`refused`]). No input or output but these modules' own files.

pub mod peer_history;
pub mod peer_memory;
pub mod refused;
pub mod selection;
pub mod wanted;
