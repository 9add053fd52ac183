//! What can go wrong in an engine, each with what to do about it.

use crate::units::SimTime;

/// Why a simulation could not be built, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Two systems touch the same data and nothing says which goes first, or their order is a cycle.
    #[error(
        "the schedule is not well ordered; put the systems into different phases or order them with before/after:\n{0}"
    )]
    Schedule(String),
    /// A system has a run condition, which the gated executor cannot see.
    #[error(
        "{0} has a run condition (`run_if`), which the engine does not evaluate; gate it on a port instead"
    )]
    RunCondition(String),
    /// A port is drained by more than one system.
    #[error("port {port} has {} consumers ({}); a port is point-to-point, use one port per consumer", .systems.len(), .systems.join(", "))]
    ManyConsumers {
        /// The type the port carries.
        port: &'static str,
        /// The systems that drain it.
        systems: Vec<String>,
    },
    /// A port is filled but never drained.
    #[error("port {port} has no consumer, but {} fill it; add a system with `Rx<{port}>`", .producers.join(", "))]
    NoConsumer {
        /// The type the port carries.
        port: &'static str,
        /// What fills it.
        producers: Vec<String>,
    },
    /// More ports than the gates can tell apart.
    #[error("more than {0} ports; join some of them")]
    TooManyPorts(usize),
    /// Systems keep giving each other work without time passing.
    #[error("work does not settle at {time}: after {rounds} rounds these systems still have something to do: {}; put a delay between them", .systems.join(", "))]
    Unsettled {
        /// The instant.
        time: SimTime,
        /// Rounds tried.
        rounds: u32,
        /// Systems with work left.
        systems: Vec<String>,
    },
    /// Wake-ups keep scheduling wake-ups for the same instant.
    #[error(
        "the clock is stuck at {time}: {ticks} ticks passed without time passing; a wake-up reschedules itself without delay (such as a closed loop without think time whose requests are all turned away)"
    )]
    Stuck {
        /// The instant.
        time: SimTime,
        /// Ticks spent there.
        ticks: u32,
    },
    /// A system returned an error.
    #[error("{system} failed at {time}: {error}")]
    System {
        /// The system.
        system: String,
        /// When.
        time: SimTime,
        /// What it said.
        error: bevy_ecs::error::BevyError,
    },
}
