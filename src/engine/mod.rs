//! The discrete-event engine: integer time, a calendar, ports, phases and a gated executor on
//! [`bevy_ecs`].
//!
//! ```text
//!  calendar ──due wake-ups──▶ ports ──▶ Arrive ▶ Land ▶ Route ▶ Carry ▶ Admit ▶ Batch ▶ Price ▶ Observe
//!     ▲                                   │ systems hand each other work through ports (Tx ──▶ Rx) │
//!     └───────────── wake-ups ◀───────────┴────────────────────────────────────────────────────────┘
//! ```
//!
//! A *tick* pops every [wake-up](Wake) of the earliest instant, delivers each into the port of its
//! kind, and runs the schedule. A system runs only when a port it [consumes](Rx) has something in
//! it; the schedule repeats within the instant until every port is empty (delta cycles). Nothing
//! polls, and idle time costs nothing.
//!
//! Behaviour is added by [plugins](Plugin), which put systems into [phases](Phase). Order comes from
//! phases and declared sets alone: a conflicting pair of systems without a declared order is refused,
//! and so are a second consumer on a port, a port without a consumer, a run condition, and work that
//! never settles within an instant ([`EngineError`]).

mod builder;
mod calendar;
mod error;
mod gated;
mod phase;
mod port;
mod random;
mod sim;
#[cfg(test)]
mod tests;

pub use builder::{Executor, Plugin, SimBuilder};
pub use calendar::{Calendar, Inbox, Wake};
pub use error::EngineError;
pub use phase::Phase;
pub use port::{Rx, Tx};
pub(crate) use random::{FNV_START, fnv1a};
pub use random::{Stream, Streams, exponential, split, standard_normal, uniform};
pub use sim::Sim;
