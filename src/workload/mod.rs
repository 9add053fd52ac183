//! What enters the system: when requests arrive and how many tokens they carry.
//!
//! ```text
//!  trace file ─▶ trace::TraceReader ─┬─▶ ArrivalProcess::next ─▶ instant   ─┐
//!  RON choice ─────────────────────┬─┘                                      ├─▶ one request
//!  embedded table ─────────────────┴───▶ LengthSource::next   ─▶ Lengths   ─┘
//! ```
//!
//! A workload pairs one [`ArrivalProcess`] with one [`LengthSource`], or takes both from the rows of one
//! trace ([`Replay`]). They are pulled, one request at a time, so a workload of any size costs the memory
//! of a single request; trace files are read as a stream. [`Sources`] holds them in a
//! running simulation, with one pending arrival a source; two systems spawn the requests. The rest is
//! plain Rust without a world.
//!
//! Instants are integer nanoseconds from the start of the workload, lengths are tokens. Random
//! draws come from the [`Stream`](crate::engine::Stream) that the caller passes, and use portable
//! maths only. A source ends (`Ok(None)`) or fails ([`SourceError`]: bad input, exit code 2).
//!
//! [`trace_tools`] convert, export and describe traces.
//!
//! Requests ask for the pipeline and the model of their class, those of a trace for what their rows name
//! ([`Vocabulary`]). Those that share a prefix, or carry on a conversation, say in a
//! [`Text`](crate::request::Text) what their prompts consist of; those that follow others, as the next turn of a
//! conversation does, wait in `followers.rs` until these are over.
//!
//! Left out: users who go back to the client that served them, which is the coordinator's to know.

pub mod arrivals;
mod asks;
mod counts;
mod derive;
mod drawn;
mod error;
mod followers;
pub mod lengths;
mod naming;
mod prefix;
mod recording;
mod replay;
mod session;
mod source;
mod systems;
pub mod trace;
pub mod trace_tools;

use bevy_ecs::schedule::IntoScheduleConfigs;

pub use arrivals::ArrivalProcess;
pub use asks::{Asks, Vocabulary, Wording};
pub use counts::SessionCounts;
pub use derive::{About, derive_lengths};
pub use drawn::Shared;
pub use error::{LAST_ARRIVAL, SourceError};
pub use lengths::{LengthSource, Lengths};
pub use replay::Replay;
pub use source::{Source, Sources};

use crate::engine::{Calendar, Phase, Plugin, SimBuilder};
use crate::request::{Arrived, Entered, Vacated};
use crate::units::SimTime;

/// Adds the systems that bring requests in; [`start`] then sets them going.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkloadPlugin;

impl Plugin for WorkloadPlugin {
    fn build(&self, sim: &mut SimBuilder) {
        sim.wake::<systems::Due>();
        sim.port::<Arrived>().port::<Entered>().port::<Vacated>();
        sim.systems(Phase::Arrive, (systems::refill, systems::arrive).chain());
    }
}

/// Hands `sources` to the simulation and schedules the first arrivals.
///
/// # Errors
/// A trace cannot be read.
pub fn start(mut sources: Sources, sim: &mut SimBuilder) -> Result<(), SourceError> {
    for source in 0..sources.len() as u16 {
        if let Some(at) = sources.next_arrival(source, SimTime::ZERO)? {
            sim.at(at.max(SimTime::ZERO), systems::Due { source, follower: None });
        }
    }
    for (at, source, place) in sources.due() {
        sim.at(error::on_the_clock(at)?, systems::Due { source, follower: Some(place) });
    }
    sources.stop_if_over(&mut sim.world().resource_mut::<Calendar>());
    sim.insert_resource(sources);
    Ok(())
}
