//! Poisson arrivals: independent, exponentially distributed gaps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::renewal::{Gap, Renewal};
use super::{ArrivalProcess, mean_gap_ns};
use crate::engine::{Stream, exponential};
use crate::units::PerSecond;

/// Independent arrivals at a mean rate: gaps are exponential, the first request comes after a gap.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Poisson {
    /// Mean requests per second of the whole workload, `per_s(1e-6)` to `per_s(1e12)`; required.
    /// Mirrors `vllm bench serve --request-rate` at its default `--burstiness 1`.
    pub rate: PerSecond,
    /// Whether all gaps are stretched so that the last of the workload's N `requests` lands at
    /// exactly N / rate, as in `vllm bench serve`, which always does so; if not, the count in a given
    /// time is free, as a Poisson process has it. Needs `requests`, 1e9 at most. Default: false.
    #[serde(default)]
    pub rescale: bool,
}

impl Poisson {
    /// Checks the rate.
    ///
    /// # Errors
    /// The rate is outside what the clock can express.
    pub fn build(self) -> Result<Box<dyn ArrivalProcess>, String> {
        Ok(Renewal::boxed(Exponential, mean_gap_ns("rate", self.rate)?, self.rescale))
    }
}

struct Exponential;

impl Gap for Exponential {
    fn draw(&self, rng: &mut Stream) -> f64 {
        exponential(rng)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Statistics};
    use super::*;
    use crate::units::SimTime;

    fn process(rate: f64) -> Box<dyn ArrivalProcess> {
        Poisson { rate: PerSecond::new(rate), rescale: false }.build().unwrap()
    }

    #[test]
    fn gaps_follow_the_exponential_law() {
        let gaps: Vec<_> =
            testing::gaps_s(&mut *process(240.0), 3, 200_000).iter().map(|gap| gap * 240.0).collect();
        let n = gaps.len() as f64;
        let Statistics { mean, variance } = Statistics::of(&gaps);
        // Four standard errors; the fourth central moment of Exp(1) is 9.
        assert!((mean - 1.0).abs() < 4.0 / n.sqrt(), "mean {mean}");
        assert!((variance - 1.0).abs() < 4.0 * (8.0 / n).sqrt(), "variance {variance}");
        testing::assert_fits(gaps, |gap| 1.0 - libm::exp(-gap));
    }

    #[test]
    fn counts_in_windows_have_the_variance_of_a_poisson_law() {
        let mut process = process(10.0);
        let mut rng = testing::stream(4);
        let mut counts = vec![0.0; 20_000];
        while let Some(now) = process.next(&mut rng).unwrap() {
            let Some(count) = counts.get_mut((now.as_ns() / 1_000_000_000) as usize) else { break };
            *count += 1.0;
        }
        let Statistics { mean, variance } = Statistics::of(&counts);
        assert!((mean / 10.0 - 1.0).abs() < 0.01, "mean {mean}");
        assert!((variance / mean - 1.0).abs() < 0.05, "dispersion {}", variance / mean);
    }

    #[test]
    fn rounding_does_not_add_up() {
        // At 1e12 requests a second the mean gap is a thousandth of a nanosecond.
        let last = testing::instants(&mut *process(1e12), 5, 1_000_000)[999_999];
        assert!((990..=1_010).contains(&last.as_ns()), "{last}");
    }

    #[test]
    fn rescaled_the_last_of_n_lands_at_n_over_rate() {
        for (rate, requests) in [(3.0, 1_u64), (3.0, 1_000), (1e12, 5_000), (1e-3, 77)] {
            let mut process = Poisson { rate: PerSecond::new(rate), rescale: true }.build().unwrap();
            process.plan(Some(requests)).unwrap();
            let instants = testing::instants(&mut *process, 6, requests as usize);
            let last = SimTime::from_ns((requests as f64 / rate * 1e9 + 0.5) as u64);
            assert_eq!(instants.last(), Some(&last), "{rate} {requests}");
            assert!(instants.is_sorted());
        }
    }

    #[test]
    fn rescaling_keeps_the_proportions_of_the_gaps() {
        let mut rescaled = Poisson { rate: PerSecond::new(5.0), rescale: true }.build().unwrap();
        rescaled.plan(Some(500)).unwrap();
        let (stretched, free) =
            (testing::instants(&mut *rescaled, 7, 500), testing::instants(&mut *process(5.0), 7, 500));
        let factor = stretched[499].as_secs_f64() / free[499].as_secs_f64();
        assert_eq!(stretched[499], SimTime::from_ns(100_000_000_000));
        for (stretched, free) in stretched.iter().zip(&free) {
            assert!((stretched.as_secs_f64() - free.as_secs_f64() * factor).abs() < 1e-7);
        }
    }

    #[test]
    fn rescaling_needs_a_number_of_requests() {
        let plan =
            |requests| Poisson { rate: PerSecond::new(5.0), rescale: true }.build().unwrap().plan(requests);
        assert_eq!(plan(None).unwrap_err().path, "rescale");
        assert!(plan(Some(u64::MAX)).unwrap_err().message.contains("1000000000 at most"));
        assert!(process(5.0).plan(None).is_ok());
    }

    #[test]
    fn rates_beyond_the_clock_are_refused() {
        for rate in [1e-7, 1e13, f64::NAN, f64::INFINITY, -1.0] {
            let error = Poisson { rate: PerSecond::new(rate), rescale: false }.build().err().unwrap();
            assert!(error.starts_with("rate: "), "{error}");
        }
    }
}
