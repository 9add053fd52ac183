//! What enters the system: when requests arrive and how many tokens they carry.
//!
//! ```text
//!  trace file ─▶ trace::TraceReader ─┬─▶ ArrivalProcess::next ─▶ instant   ─┐
//!  RON choice ─────────────────────┬─┘                                      ├─▶ one request
//!  embedded table ─────────────────┴───▶ LengthSource::next   ─▶ Lengths   ─┘
//! ```
//!
//! A workload pairs one [`ArrivalProcess`] with one [`LengthSource`]. Both are pulled, one request
//! at a time, so a workload of any size costs the memory of a single request; trace files are read
//! as a stream. Everything here is plain Rust without a world.
//!
//! Instants are integer nanoseconds from the start of the workload, lengths are tokens. Random
//! draws come from the [`Stream`](crate::engine::Stream) that the caller passes, and use portable
//! maths only. A source ends (`Ok(None)`) or fails ([`SourceError`]: bad input, exit code 2).
//!
//! Left out: prefixes and sessions, pipelines of more than prefill and decode.

pub mod arrivals;
mod derive;
mod error;
pub mod lengths;
pub mod trace;

pub use arrivals::ArrivalProcess;
pub use derive::{About, derive_lengths};
pub use error::SourceError;
pub use lengths::{LengthSource, Lengths};
