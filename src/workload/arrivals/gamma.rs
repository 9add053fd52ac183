//! Gamma-distributed gaps: burstiness as a coefficient of variation.
//!
//! A gap has the shape k = 1 / CV² and the mean 1 / rate; k is what `vllm bench serve` calls
//! burstiness. Draws follow G. Marsaglia and W. W. Tsang, "A simple method for generating gamma
//! variables", ACM Transactions on Mathematical Software 26 (2000): with d = k − 1/3 and c = 1 / √(9 d),
//! v = (1 + c z)³ for a normal z and an acceptance of at least 95 %; a k below 1 takes a draw of k + 1
//! times U^(1/k).

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::renewal::{Gap, Renewal};
use super::{ArrivalProcess, mean_gap_ns};
use crate::engine::{Stream, standard_normal, uniform};
use crate::units::PerSecond;

/// Independent arrivals with gamma-distributed gaps: bursty above a CV of 1, Poisson at 1, more
/// regular below.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gamma {
    /// Mean requests per second of the whole workload, `per_s(1e-6)` to `per_s(1e12)`; required.
    /// Mirrors `vllm bench serve --request-rate`.
    pub rate: PerSecond,
    /// Coefficient of variation of the gaps (standard deviation over mean), 0.001 to 100; required.
    /// Mirrors `vllm bench serve --burstiness`, which is 1 / cv²: 0.25 there is 2 here.
    pub cv: f64,
    /// Whether all gaps are stretched so that the last of the workload's N `requests` lands at
    /// exactly N / rate, as in `vllm bench serve`, which always does so. Needs `requests`,
    /// 1e9 at most. Default: false.
    #[serde(default)]
    pub rescale: bool,
}

/// Coefficients of variation that gamma gaps may have.
const CVS: RangeInclusive<f64> = 0.001..=100.0;

impl Gamma {
    /// Checks rate and CV.
    ///
    /// # Errors
    /// A value is out of its range.
    pub fn build(self) -> Result<Box<dyn ArrivalProcess>, String> {
        let mean_ns = mean_gap_ns("rate", self.rate)?;
        Ok(Renewal::boxed(GammaGap::of_cv(self.cv)?, mean_ns, self.rescale))
    }
}

/// A gamma law of mean 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct GammaGap {
    shape: f64,
}

impl GammaGap {
    /// The law of that coefficient of variation.
    ///
    /// # Errors
    /// The CV is out of its range.
    pub fn of_cv(cv: f64) -> Result<Self, String> {
        if CVS.contains(&cv) {
            Ok(Self { shape: 1.0 / (cv * cv) })
        } else {
            Err(format!("cv: must be {} to {}, found {cv}", CVS.start(), CVS.end()))
        }
    }
}

impl Gap for GammaGap {
    fn draw(&self, rng: &mut Stream) -> f64 {
        let boosted = self.shape < 1.0;
        let d = self.shape + if boosted { 1.0 } else { 0.0 } - 1.0 / 3.0;
        let boost = if boosted { libm::pow(uniform(rng), 1.0 / self.shape) } else { 1.0 };
        boost * d * cubed_normal(d, rng) / self.shape
    }
}

/// v of Marsaglia and Tsang, of which d v has the shape d + 1/3.
fn cubed_normal(d: f64, rng: &mut Stream) -> f64 {
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let z = standard_normal(rng);
        let v = (1.0 + c * z) * (1.0 + c * z) * (1.0 + c * z);
        if v > 0.0 && libm::log(1.0 - uniform(rng)) < z * z / 2.0 + d * (1.0 - v + libm::log(v)) {
            return v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Statistics};
    use super::*;
    use proptest::prelude::*;

    fn unit_gaps(cv: f64, seed: u64, n: usize) -> Vec<f64> {
        let mut process = Gamma { rate: PerSecond::new(0.01), cv, rescale: false }.build().unwrap();
        testing::gaps_s(&mut *process, seed, n).iter().map(|gap| gap * 0.01).collect()
    }

    /// The regularised lower incomplete gamma function, by its series.
    fn gamma_law(shape: f64, x: f64) -> f64 {
        if x <= 0.0 {
            return 0.0;
        }
        let (mut term, mut sum) = (1.0 / shape, 1.0 / shape);
        for n in 1..10_000 {
            term *= x / (shape + f64::from(n));
            sum += term;
            if term < sum * 1e-16 {
                break;
            }
        }
        sum * libm::exp(shape * libm::log(x) - x - libm::lgamma(shape))
    }

    #[test]
    fn gaps_follow_the_gamma_law() {
        for cv in [0.25, 0.5, 1.0, 2.0, 4.0] {
            // Before the clock rounds them: at a CV of 4 a gap in five is shorter than 1e-12 means.
            let (law, mut rng) = (GammaGap::of_cv(cv).unwrap(), testing::stream(21));
            let gaps = (0..50_000).map(|_| law.draw(&mut rng)).collect();
            testing::assert_fits(gaps, |gap| gamma_law(law.shape, gap * law.shape));
        }
    }

    #[test]
    fn rate_and_cv_are_those_asked_for() {
        for cv in [0.001, 0.25, 1.0, 2.0, 4.0] {
            let n = 1_000_000;
            let Statistics { mean, variance } = Statistics::of(&unit_gaps(cv, 22, n));
            // Four standard errors; the excess kurtosis of a gamma law is 6 cv².
            let n = n as f64;
            assert!((mean - 1.0).abs() < 4.0 * cv / n.sqrt(), "mean {mean} at {cv}");
            let slack = 4.0 * ((2.0 + 6.0 * cv * cv) / n).sqrt();
            assert!((variance / (cv * cv) - 1.0).abs() < slack, "variance {variance} at {cv}");
        }
    }

    #[test]
    fn a_cv_of_one_is_poisson() {
        testing::assert_fits(unit_gaps(1.0, 23, 100_000), |gap| 1.0 - libm::exp(-gap));
    }

    #[test]
    fn vllms_burstiness_rescales_to_n_over_rate() {
        let mut process = Gamma { rate: PerSecond::new(4.0), cv: 2.0, rescale: true }.build().unwrap();
        process.plan(Some(1000)).unwrap();
        let instants = testing::instants(&mut *process, 24, 1000);
        assert_eq!(instants[999].as_ns(), 250_000_000_000);
    }

    #[test]
    fn a_cv_out_of_range_is_refused() {
        for cv in [0.0, -1.0, 101.0, f64::NAN, f64::INFINITY] {
            let error = Gamma { rate: PerSecond::new(1.0), cv, rescale: false }.build().err().unwrap();
            assert!(error.starts_with("cv: must be 0.001 to 100"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_parameters_break_it(
            rate in testing::hostile(), cv in testing::hostile(), rescale: bool,
            requests in proptest::option::of(prop_oneof![0..100_u64, 1_000_000_001..u64::MAX]),
        ) {
            let rate = PerSecond::new(rate);
            testing::assert_sound(Gamma { rate, cv, rescale }.build(), requests);
        }
    }
}
