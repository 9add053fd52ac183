//! Quantities the simulator computes with: time, and the typed quantities a scenario is written in.
//!
//! Simulated time is integer nanoseconds. Runtime models answer in `f64` seconds and
//! [`SimSpan::from_secs_f64`] is the one place that rounds them.

mod data;
mod quantity;
mod time;

pub use data::{Bandwidth, ByteSize, Fraction};
pub use quantity::{PerSecond, Span};
pub use time::{SimSpan, SimTime};

/// Bytes in one GiB, the unit in which drivers report memory.
pub const GIB: f64 = 1_073_741_824.0;
