//! The plan of a run: which peers it asks ([`selection`]), how far back ([`coverage`], [`slices`],
//! [`peer_history`]), and for which events ([`wanted`]); and what the station remembers: what it had
//! of its peers ([`ledger`]), how far it paged through them ([`place`]), how they did
//! ([`peer_memory`]) and answered ([`manners`]), which events were refused ([`refused`]), and how
//! their sets differ from ours ([`peer_sets`]). Between runs, [`links`] decides how the events of each
//! live peer come. The only input and output is loading and saving their own files.

pub(crate) mod coverage;
pub(crate) mod ledger;
pub(crate) mod links;
pub(crate) mod manners;
pub(crate) mod peer_history;
pub(crate) mod peer_memory;
pub(crate) mod peer_sets;
pub(crate) mod place;
pub(crate) mod recall;
pub(crate) mod refused;
pub(crate) mod selection;
pub(crate) mod slices;
pub(crate) mod wanted;
