//! Many stations in simulated time. Which peers a station asks, what it remembers of
//! them, how far back it asks them and when it starts is decided by the very code of
//! `constellation-sync`; simulated are the other stations, the network and the clock.

pub mod absences;
pub mod events;
pub mod live;
pub mod measure;
pub mod report;
pub mod world;

pub use measure::Measures;
pub use world::{Scenario, World};
