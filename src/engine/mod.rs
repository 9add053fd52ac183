//! The discrete-event engine: clock, calendar, ports, phases, random streams, plugins.

mod random;

pub use random::{Stream, Streams, exponential, standard_normal, uniform};
