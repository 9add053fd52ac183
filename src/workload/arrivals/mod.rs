//! Arrival processes, one a file: when the requests of one workload enter the system.
//!
//! Open processes decide alone; a [`ClosedLoop`] answers departures. Instants are nanoseconds from
//! the start of the workload and never go backwards.
//!
//! | process | arrivals |
//! |---|---|
//! | [`Uniform`] | at constant spacing |
//! | [`Normal`], [`Poisson`], [`Gamma`] | with independent gaps, regular to bursty |
//! | [`OnOff`] | in bursts |
//! | [`Ramp`], [`Diurnal`] | at a rate that changes with time |
//! | [`Trace`] | as recorded |
//! | [`AllAtOnce`], [`ClosedLoop`] | as fast as they are served |
//!
//! To add one: a file here with a struct that deserialises and a `build`, and a line in [`built_in`].

mod all_at_once;
mod clock;
mod closed_loop;
mod diurnal;
mod gamma;
mod normal;
mod on_off;
mod poisson;
mod ramp;
mod renewal;
#[cfg(test)]
mod testing;
mod trace;
mod uniform;

pub use all_at_once::AllAtOnce;
pub use closed_loop::{ClosedLoop, ThinkLaw};
pub use diurnal::Diurnal;
pub use gamma::Gamma;
pub use normal::Normal;
pub use on_off::{OnOff, Phases};
pub use poisson::Poisson;
pub use ramp::{Curve, Ramp};
pub use trace::Trace;
pub use uniform::Uniform;

use std::ops::RangeInclusive;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::SourceError;
use crate::engine::{SimBuilder, Stream};
use crate::scenario::{Problem, Registry};
use crate::units::{Brief, PerSecond, SimTime, Span};

/// When the requests of one workload arrive.
pub trait ArrivalProcess: Send + Sync {
    /// Tells, once and before the first arrival, how many requests the workload brings; `None` when
    /// the scenario does not say.
    ///
    /// # Errors
    /// The process cannot do with that number, or without one; the path counts from its parameters.
    fn plan(&mut self, requests: Option<u64>) -> Result<(), Problem> {
        let _ = requests;
        Ok(())
    }

    /// The instant of the next arrival that needs no departure first, never before the last one;
    /// `None` when there are no more such arrivals.
    ///
    /// # Errors
    /// The trace behind it cannot be read on, or has a malformed row.
    fn next(&mut self, rng: &mut Stream) -> Result<Option<SimTime>, SourceError>;

    /// A request of this workload completed or was rejected at `now`: when does that make another
    /// one arrive? Not before `now`.
    fn on_departure(&mut self, now: SimTime, rng: &mut Stream) -> Option<SimTime> {
        let _ = (now, rng);
        None
    }

    /// Whether arrivals wait for departures.
    fn is_closed(&self) -> bool {
        false
    }

    /// How long `requests` arrivals take in the mean (s), at least; 0 if there is no telling beforehand.
    fn span_s(&self, requests: u64) -> f64 {
        let _ = requests;
        0.0
    }

    /// What ends the arrivals if the scenario does not say how many there are.
    fn end(&self) -> End {
        End::Horizon
    }
}

/// Rates that the nanosecond clock can express, in requests/s.
const RATES: RangeInclusive<f64> = 1e-6..=1e12;

/// The mean gap at `rate`, the parameter `field`, in ns.
fn mean_gap_ns(field: &str, rate: PerSecond) -> Result<f64, String> {
    if RATES.contains(&rate.get()) {
        Ok(1e9 / rate.get())
    } else {
        Err(format!(
            "{field}: {} requests/s is outside what the clock can express, {} to {} requests/s",
            Brief(rate.get()),
            RATES.start(),
            RATES.end()
        ))
    }
}

/// The seconds of `span`, the parameter `field`, which must lie in `range`.
fn seconds_in(field: &str, span: Span, range: RangeInclusive<f64>) -> Result<f64, String> {
    let seconds = span.as_secs();
    if range.contains(&seconds) {
        Ok(seconds)
    } else {
        Err(format!(
            "{field}: must be {} s to {} s, found {} s",
            Brief(*range.start()),
            Brief(*range.end()),
            Brief(seconds)
        ))
    }
}

/// Most requests that may enter at one instant: they are all in memory together.
pub const MOST_AT_ONCE: u64 = 10_000_000;

/// What ends an arrival process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It ends by itself.
    Itself,
    /// Only the horizon of the scenario.
    Horizon,
    /// Nothing: it brings all its requests at one instant.
    Nothing,
}

/// The arrival processes a scenario may name.
pub type ArrivalRegistry = Registry<Box<dyn ArrivalProcess>>;

/// Adds arrival processes by name.
pub trait ArrivalExt {
    /// Lets scenarios name an arrival process that `build` makes of its parameters `P`. A parameter
    /// called `path` is made absolute first, from the scenario's own folder.
    fn arrival_process<P>(
        &mut self,
        name: &'static str,
        build: impl Fn(P) -> Result<Box<dyn ArrivalProcess>, String> + Send + Sync + 'static,
    ) -> &mut Self
    where
        P: DeserializeOwned + Serialize + JsonSchema + 'static;
}

impl ArrivalExt for SimBuilder {
    fn arrival_process<P>(
        &mut self,
        name: &'static str,
        build: impl Fn(P) -> Result<Box<dyn ArrivalProcess>, String> + Send + Sync + 'static,
    ) -> &mut Self
    where
        P: DeserializeOwned + Serialize + JsonSchema + 'static,
    {
        let mut registry =
            self.world().get_resource_or_insert_with(|| ArrivalRegistry::new("arrival process"));
        registry.register(name, build);
        self
    }
}

/// The built-in arrival processes.
pub fn built_in(sim: &mut SimBuilder) {
    sim.arrival_process("Poisson", Poisson::build)
        .arrival_process("Uniform", Uniform::build)
        .arrival_process("Normal", Normal::build)
        .arrival_process("Gamma", Gamma::build)
        .arrival_process("OnOff", OnOff::build)
        .arrival_process("Ramp", Ramp::build)
        .arrival_process("Diurnal", Diurnal::build)
        .arrival_process("AllAtOnce", AllAtOnce::build)
        .arrival_process("ClosedLoop", ClosedLoop::build)
        .arrival_process("Trace", |trace: Trace| trace.build(Path::new("")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_brings_the_same_instants() {
        let mut sim = SimBuilder::new(0);
        built_in(&mut sim);
        let registry = sim.world().resource::<ArrivalRegistry>();
        for text in [
            "AllAtOnce",
            "Uniform(rate: per_s(8))",
            "Normal(rate: per_s(8), cv: 0.5)",
            "Poisson(rate: per_s(8), rescale: true)",
            "Gamma(rate: per_s(8), cv: 2)",
            "OnOff(on: s(5), off: min(1), on_rate: per_s(20))",
            "Ramp(from: per_s(1), to: per_s(8), over: min(10))",
            "Diurnal(mean: per_s(8), peak_to_trough: 3)",
        ] {
            let draw = |seed| {
                let choice = registry.resolve(&ron::from_str(text).unwrap()).unwrap();
                // What is filled in means the same.
                let mut process = registry.resolve(&choice.choice).unwrap().built;
                process.plan(Some(500)).unwrap();
                testing::instants(&mut *process, seed, 500)
            };
            assert_eq!(draw(1), draw(1), "{text}");
            assert_eq!(draw(1) == draw(2), text.starts_with("AllAtOnce") || text.starts_with("Uniform"));
        }
    }
}
