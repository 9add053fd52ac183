//! Normally distributed gaps (paper §III-B2), never below zero.
//!
//! A gap is a normal draw of mean m and standard deviation s; draws below zero are drawn again. With
//! a = m / s, density φ, distribution Φ and h = φ(a) / Φ(a), what is left has the mean s (a + h) and
//! the variance s² (1 − a h − h²). Both are solved for, so that the gaps have exactly the mean rate
//! and the coefficient of variation asked for: a by bisection, for the CV falls as a rises; then s.
//! A normal law cut at its peak (a = 0) has a CV of √(π/2 − 1) = 0.7555, the most there is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::renewal::{Gap, Renewal};
use super::{ArrivalProcess, mean_gap_ns};
use crate::engine::{Stream, standard_normal};
use crate::units::PerSecond;

/// Independent arrivals with normally distributed gaps, cut off at zero: more regular than Poisson.
/// The mean rate and the CV hold after the cut.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Normal {
    /// Mean requests per second of the whole workload, `per_s(1e-6)` to `per_s(1e12)`; required.
    /// Mirrors `vllm bench serve --request-rate`.
    pub rate: PerSecond,
    /// Coefficient of variation of the gaps (standard deviation over mean), 0 to 0.75; required.
    /// 0 is constant spacing; for more than 0.75 take `Gamma`.
    pub cv: f64,
    /// Whether all gaps are stretched so that the last of the workload's N `requests` lands at
    /// exactly N / rate, as in `vllm bench serve`. Needs `requests`, 1e9 at most. Default: false.
    #[serde(default)]
    pub rescale: bool,
}

impl Normal {
    /// Checks the values and solves for the law before the cut.
    ///
    /// # Errors
    /// A value is out of its range.
    pub fn build(self) -> Result<Box<dyn ArrivalProcess>, String> {
        let mean_ns = mean_gap_ns("rate", self.rate)?;
        if !(0.0..=0.75).contains(&self.cv) {
            return Err(format!("cv: must be 0 to 0.75, found {}", self.cv));
        }
        Ok(Renewal::boxed(CutNormal::of_cv(self.cv), mean_ns, self.rescale))
    }
}

/// A normal law before the cut; after it, the mean is 1.
struct CutNormal {
    mean: f64,
    std_dev: f64,
}

impl CutNormal {
    fn of_cv(cv: f64) -> Self {
        // Ten deviations from zero there is no cut to speak of (1e-23).
        if cv <= 0.1 {
            return Self { mean: 1.0, std_dev: cv };
        }
        // The cut lowers the CV, so a is below 1 / cv.
        let (mut low, mut high) = (0.0, 1.0 / cv);
        for _ in 0..60 {
            let a = f64::midpoint(low, high);
            let (mean, variance) = cut_moments(a);
            if variance.sqrt() / mean > cv { low = a } else { high = a }
        }
        let std_dev = 1.0 / cut_moments(low).0;
        Self { mean: low * std_dev, std_dev }
    }
}

/// Mean and variance of a normal law of mean `a` and deviation 1 cut at zero.
fn cut_moments(a: f64) -> (f64, f64) {
    let density = libm::exp(-a * a / 2.0) / std::f64::consts::TAU.sqrt();
    let kept = 0.5 * libm::erfc(-a * std::f64::consts::FRAC_1_SQRT_2);
    let h = density / kept;
    (a + h, 1.0 - a * h - h * h)
}

impl Gap for CutNormal {
    fn draw(&self, rng: &mut Stream) -> f64 {
        // The mean is 0 or more, so at least every second draw is kept.
        loop {
            let gap = self.mean + self.std_dev * standard_normal(rng);
            if gap >= 0.0 {
                return gap;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Statistics};
    use super::*;
    use proptest::prelude::*;

    fn unit_gaps(cv: f64) -> Vec<f64> {
        let mut process = Normal { rate: PerSecond::new(50.0), cv, rescale: false }.build().unwrap();
        testing::gaps_s(&mut *process, 12, 100_000).iter().map(|gap| gap * 50.0).collect()
    }

    #[test]
    fn rate_and_cv_hold_after_the_cut() {
        for cv in [0.05, 0.3, 0.5, 0.75] {
            let gaps = unit_gaps(cv);
            let n = gaps.len() as f64;
            let Statistics { mean, variance } = Statistics::of(&gaps);
            // Four standard errors of the mean; a kurtosis of 4.5 bounds those of the CV.
            assert!((mean - 1.0).abs() < 4.0 * cv / n.sqrt() + 1e-9, "mean {mean} at {cv}");
            assert!((variance.sqrt() / cv - 1.0).abs() < 4.0 / n.sqrt(), "CV {} at {cv}", variance.sqrt());
        }
    }

    #[test]
    fn gaps_follow_the_cut_normal_law() {
        for cv in [0.2, 0.6] {
            let law = CutNormal::of_cv(cv);
            let below = |x: f64| 0.5 * libm::erfc(-(x - law.mean) / law.std_dev / std::f64::consts::SQRT_2);
            let cut = below(0.0);
            testing::assert_fits(unit_gaps(cv), |gap| (below(gap) - cut) / (1.0 - cut));
        }
    }

    #[test]
    fn without_variation_the_spacing_is_constant() {
        assert!(unit_gaps(0.0).iter().all(|gap| (gap - 1.0).abs() < 1e-6));
    }

    #[test]
    fn a_cv_beyond_the_law_is_refused() {
        for cv in [-0.1, 0.76, f64::NAN, f64::INFINITY] {
            let error = Normal { rate: PerSecond::new(1.0), cv, rescale: false }.build().err().unwrap();
            assert!(error.starts_with("cv: must be 0 to 0.75"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_parameters_break_it(
            rate in testing::hostile(), cv in testing::hostile(), rescale: bool,
            requests in proptest::option::of(prop_oneof![0..100_u64, 1_000_000_001..u64::MAX]),
        ) {
            let rate = PerSecond::new(rate);
            testing::assert_sound(Normal { rate, cv, rescale }.build(), requests);
        }
    }
}
