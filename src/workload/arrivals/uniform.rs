//! Arrivals at constant spacing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ArrivalProcess, mean_gap_ns};
use crate::engine::Stream;
use crate::units::{PerSecond, SimTime};
use crate::workload::SourceError;

/// Arrivals at constant spacing: the k-th request, counted from 1, lands k / rate after the start.
/// The first comes after one spacing, the last of N at N / rate, where `vllm bench serve` puts it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Uniform {
    /// Requests per second of the whole workload, `per_s(1e-6)` to `per_s(1e12)`; required.
    /// Mirrors `vllm bench serve --request-rate` with a very large `--burstiness`.
    pub rate: PerSecond,
}

impl Uniform {
    /// Checks the rate.
    ///
    /// # Errors
    /// The rate is outside what the clock can express.
    pub fn build(self) -> Result<Box<dyn ArrivalProcess>, String> {
        Ok(Box::new(Comb { spacing_ns: mean_gap_ns("rate", self.rate)?, sent: 0 }))
    }
}

struct Comb {
    spacing_ns: f64,
    sent: u64,
}

impl ArrivalProcess for Comb {
    fn next(&mut self, _: &mut Stream) -> Result<Option<SimTime>, SourceError> {
        self.sent += 1;
        // From the count, not from the last instant, so that rounding never adds up.
        Ok(Some(SimTime::from_ns((self.sent as f64 * self.spacing_ns + 0.5) as u64)))
    }

    fn span_s(&self, requests: u64) -> f64 {
        requests as f64 * self.spacing_ns / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Streams;

    #[test]
    fn the_kth_request_lands_at_k_over_rate() {
        let mut rng = Streams::new(0).stream("arrivals", 0);
        let mut process = Uniform { rate: PerSecond::new(3.0) }.build().unwrap();
        let mut last = 0;
        for k in 1..=3_000_000_u64 {
            let now = process.next(&mut rng).unwrap().unwrap().as_ns();
            assert!(now.abs_diff(k * 1_000_000_000 / 3) <= 1, "request {k} at {now}");
            assert!(now > last);
            last = now;
        }
        assert_eq!(last, 1_000_000_000_000_000);
    }
}
