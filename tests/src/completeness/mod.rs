//! Whether everything that is promised to be here is here, tried in simulated time among many
//! stations to which everything happens that happens to stations. Which peers a station asks, for
//! what, and what it remembers of that is decided by the very code of `constellation-sync`;
//! simulated are the other stations, what they hold, the network and the clocks. An oracle that
//! knows all of that judges every run.

pub mod event_set;
pub mod fault;
pub mod library;
pub mod manners;
pub mod oracle;
pub mod promises;
pub mod run;
pub mod scenario;
pub mod station;
pub mod violation;
pub mod world;

pub use scenario::{Planning, Scenario};
pub use world::{Figures, World};
