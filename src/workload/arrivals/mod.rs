//! Arrival processes, one a file: when the requests of one workload enter the system.
//!
//! Open processes ([`Poisson`], [`Uniform`], [`Trace`], [`AllAtOnce`]) decide alone; a
//! [`ClosedLoop`] answers departures. Instants are nanoseconds from the start of the workload and
//! never go backwards.
//!
//! To add one: a file here with a struct that deserialises and a `build`, and its registration.

mod all_at_once;
mod closed_loop;
mod poisson;
mod trace;
mod uniform;

pub use all_at_once::AllAtOnce;
pub use closed_loop::ClosedLoop;
pub use poisson::Poisson;
pub use trace::Trace;
pub use uniform::Uniform;

use super::SourceError;
use crate::engine::Stream;
use crate::units::{PerSecond, SimTime};

/// When the requests of one workload arrive.
pub trait ArrivalProcess: Send + Sync {
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
}

/// Rates that the nanosecond clock can express, in requests/s.
const RATES: std::ops::RangeInclusive<f64> = 1e-6..=1e12;

/// The mean gap at `rate`, in ns.
fn mean_gap_ns(rate: PerSecond) -> Result<f64, String> {
    if RATES.contains(&rate.get()) {
        Ok(1e9 / rate.get())
    } else {
        Err(format!(
            "rate: {} requests/s is outside what the clock can express, {} to {} requests/s",
            rate.get(),
            RATES.start(),
            RATES.end()
        ))
    }
}
