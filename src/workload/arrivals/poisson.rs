//! Poisson arrivals: independent, exponentially distributed gaps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ArrivalProcess, mean_gap_ns};
use crate::engine::{Stream, exponential};
use crate::units::{PerSecond, SimSpan, SimTime};
use crate::workload::SourceError;

/// Independent arrivals at a mean rate: gaps are exponential, the first request comes after a gap.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Poisson {
    /// Mean requests per second of the whole workload, `per_s(1e-6)` to `per_s(1e12)`; required.
    /// Mirrors `vllm bench serve --request-rate` at its default `--burstiness 1`.
    pub rate: PerSecond,
}

impl Poisson {
    /// Checks the rate.
    ///
    /// # Errors
    /// The rate is outside what the clock can express.
    pub fn build(self) -> Result<Box<dyn ArrivalProcess>, String> {
        Ok(Box::new(Gaps { mean_ns: mean_gap_ns(self.rate)?, now: SimTime::ZERO, carry_ns: 0.0 }))
    }
}

struct Gaps {
    mean_ns: f64,
    now: SimTime,
    /// The part of a nanosecond by which the exact instant lies past `now`, in [0, 1): rounding
    /// never adds up, however many requests come.
    carry_ns: f64,
}

impl ArrivalProcess for Gaps {
    fn next(&mut self, rng: &mut Stream) -> Result<Option<SimTime>, SourceError> {
        let gap_ns = exponential(rng) * self.mean_ns + self.carry_ns;
        let whole_ns = gap_ns.floor();
        self.carry_ns = gap_ns - whole_ns;
        self.now = self.now + SimSpan::from_ns(whole_ns as u64);
        Ok(Some(self.now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Streams;

    fn process(rate: f64) -> Box<dyn ArrivalProcess> {
        Poisson { rate: PerSecond::new(rate) }.build().unwrap()
    }

    #[test]
    fn gaps_follow_the_exponential_law() {
        let rate = 240.0;
        let mut rng = Streams::new(3).stream("arrivals", 0);
        let mut process = process(rate);
        let (mut last, mut gaps) = (SimTime::ZERO, Vec::new());
        for _ in 0..200_000 {
            let now = process.next(&mut rng).unwrap().unwrap();
            assert!(now >= last);
            gaps.push(now.since(last).as_secs_f64() * rate);
            last = now;
        }
        let n = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / n;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / n;
        // Four standard errors; the fourth central moment of Exp(1) is 9.
        assert!((mean - 1.0).abs() < 4.0 / n.sqrt(), "mean {mean}");
        assert!((variance - 1.0).abs() < 4.0 * (8.0 / n).sqrt(), "variance {variance}");
        gaps.sort_by(f64::total_cmp);
        let distance = gaps.iter().enumerate().fold(0.0_f64, |worst, (rank, &gap)| {
            let law = 1.0 - libm::exp(-gap);
            worst.max((law - rank as f64 / n).abs()).max((law - (rank + 1) as f64 / n).abs())
        });
        // Kolmogorov and Smirnov: a true law exceeds this once in a thousand.
        assert!(distance < 1.95 / n.sqrt(), "distance {distance}");
    }

    #[test]
    fn counts_in_windows_have_the_variance_of_a_poisson_law() {
        let mut rng = Streams::new(4).stream("arrivals", 0);
        let mut process = process(10.0);
        let mut counts = vec![0.0; 20_000];
        while let Some(now) = process.next(&mut rng).unwrap() {
            let Some(count) = counts.get_mut((now.as_ns() / 1_000_000_000) as usize) else { break };
            *count += 1.0;
        }
        let n = counts.len() as f64;
        let mean = counts.iter().sum::<f64>() / n;
        let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / n;
        assert!((mean / 10.0 - 1.0).abs() < 0.01, "mean {mean}");
        assert!((variance / mean - 1.0).abs() < 0.05, "dispersion {}", variance / mean);
    }

    #[test]
    fn rounding_does_not_add_up() {
        // At 1e12 requests a second the mean gap is a thousandth of a nanosecond.
        let mut rng = Streams::new(5).stream("arrivals", 0);
        let mut process = process(1e12);
        let mut last = SimTime::ZERO;
        for _ in 0..1_000_000 {
            last = process.next(&mut rng).unwrap().unwrap();
        }
        assert!((990..=1_010).contains(&last.as_ns()), "{last}");
    }

    #[test]
    fn rates_beyond_the_clock_are_refused() {
        for rate in [1e-7, 1e13] {
            let error = Poisson { rate: PerSecond::new(rate) }.build().err().unwrap();
            assert!(error.contains("rate:"), "{error}");
        }
    }
}
