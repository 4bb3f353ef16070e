//! Many stations that run `live`, in simulated time of milliseconds. Which peers a station reads from
//! is decided by the very [`Selection`](constellation_sync::testing::selection::Selection) of
//! `constellation-sync`, and which of them push, which are polled and what is fetched of whom by its
//! very [`Links`](constellation_sync::testing::links::Links); simulated are the relays, the network
//! and the clock.

pub mod bits;
pub mod measure;
pub mod peers;
pub mod scenario;
pub mod world;

pub use measure::Measures;
pub use scenario::Scenario;
pub use world::World;
