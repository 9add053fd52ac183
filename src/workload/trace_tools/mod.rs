//! What `mist trace` does with traces, on readers and writers: convert, export, inspect.
//!
//! All three are streams. Converting holds one request, exporting one request or conversation; inspecting holds
//! what exact percentiles and an infinite prefix cache need: 40 bytes a request, and 32 for each run of block ids
//! that nothing joins.

mod export;
mod inspect;
mod left_out;
mod plot;
mod prefix;
mod sessions;
mod summary;

pub use export::{convert, export};
pub use inspect::{Inspect, inspect};
pub use left_out::LeftOut;
pub use prefix::PrefixStats;
pub use sessions::SessionStats;
pub use summary::{Bar, Burstiness, Summary, TraceStats};

use std::io;

use super::SourceError;

/// Why a tool stopped.
#[derive(Debug, thiserror::Error)]
pub enum TraceToolError {
    /// The requests cannot be read or drawn: bad input.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The result cannot be written.
    #[error("cannot write the trace: {0}")]
    Write(#[from] io::Error),
    /// The requests of a closed loop come when others leave.
    #[error("arrivals wait for departures: only a run can tell when requests come")]
    Closed,
}
