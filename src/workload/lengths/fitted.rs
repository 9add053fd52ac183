//! Synthetic lengths fitted to three published figures a column: mean, median and P95.
//!
//! The law, with z a standard normal draw and z₉₅ = 1.645 its P95:
//!
//! ```text
//! z < 0            median · exp(lower · z)
//! 0 ≤ z < z₉₅      median · exp(upper · z)          upper = ln(P95 / median) / z₉₅
//! z ≥ z₉₅ (5 %)    P95 · reach^v, v uniform         from the P95 to the longest, P95 · reach
//! ```
//!
//! So the body is log-normal, the tail bounded and log-uniform. Median and P95 hold by
//! construction. The mean is met by one parameter, found by bisection in its closed form:
//!
//! - as a rule by `reach`: the body is symmetric (lower = upper), the tail as long as the mean
//!   needs it;
//! - where even without a tail the mean is too high, the column leans to the left: the tail reaches
//!   as far beyond the P95 as the P95 lies beyond the median, and `lower` widens.
//!
//! With the distribution function Φ of the normal law, the parts of the mean are
//! median · exp(lower² / 2) · Φ(−lower), median · exp(upper² / 2) · (Φ(z₉₅ − upper) − Φ(−upper)) and
//! 0.05 · P95 · (reach − 1) / ln(reach). Rounding to whole tokens of 1 or more is left out of it.
//! What three figures do not say is a guess: everything but them, and that prompt and output are
//! independent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LengthSource;
use super::columns::{Column, Independent, whole, within};
use crate::engine::{Stream, standard_normal, uniform};

/// Synthetic lengths fitted to the mean, median and P95 of prompt and output, which are independent:
/// a log-normal body and a bounded tail.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fitted {
    /// Prompt tokens; required.
    pub prompt: FittedTokens,
    /// Tokens generated; required.
    pub output: FittedTokens,
}

/// Three figures of a number of tokens.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FittedTokens {
    /// Mean, in tokens, 1 to 1e9, where median and P95 allow it; required.
    pub mean: f64,
    /// Half of the lengths are shorter, in tokens, 1 to below `p95`; required.
    pub median: f64,
    /// 95 % of the lengths are shorter, in tokens, up to 1e9; required.
    pub p95: f64,
}

impl Fitted {
    /// Fits both columns.
    ///
    /// # Errors
    /// A value is out of its range, or no law of the kind has all three figures.
    pub fn build(self) -> Result<Box<dyn LengthSource>, String> {
        Independent::boxed(self.prompt, self.output, FittedTokens::fit)
    }
}

/// The P95 of a standard normal.
const Z95: f64 = 1.644_853_626_951_472_7;
/// The widest lower half: a twentieth of all lengths is shorter than median / 139.
const WIDEST: f64 = 3.0;
/// The longest tail, as a multiple of the P95.
const FURTHEST: f64 = 1000.0;

impl FittedTokens {
    fn fit(self) -> Result<Body, String> {
        let mean = within("mean", self.mean, 1.0..=1e9, " tokens")?;
        let median = within("median", self.median, 1.0..=1e9, " tokens")?;
        let p95 = within("p95", self.p95, 1.0..=1e9, " tokens")?;
        if p95 <= median {
            return Err(format!(".p95: must be above the median, {median}, found {p95}"));
        }
        let upper = libm::log(p95 / median) / Z95;
        let symmetric = |reach| Body { median, p95, lower: upper, upper, reach };
        let leaning = |lower| Body { median, p95, lower, upper, reach: p95 / median };
        if mean >= symmetric(1.0).mean() {
            let most = symmetric(FURTHEST).mean();
            if mean > most {
                return Err(format!(".mean: must be {most:.0} tokens at most with this median and p95"));
            }
            return Ok(symmetric(solve(mean, 1.0, FURTHEST, |reach| symmetric(reach).mean())));
        }
        let least = leaning(WIDEST).mean();
        if mean < least {
            return Err(format!(".mean: must be {least:.0} tokens or more with this median and p95"));
        }
        Ok(leaning(solve(mean, WIDEST, 0.0, |lower| leaning(lower).mean())))
    }
}

/// Where `rising` is `target`, between where it is less and where it is more.
fn solve(target: f64, mut less: f64, mut more: f64, rising: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..100 {
        let middle = f64::midpoint(less, more);
        if rising(middle) < target { less = middle } else { more = middle }
    }
    f64::midpoint(less, more)
}

/// A fitted column.
#[derive(Clone, Copy, Debug)]
struct Body {
    median: f64,
    p95: f64,
    /// Spread of the logarithm below the median.
    lower: f64,
    /// Spread of the logarithm from the median to the P95.
    upper: f64,
    /// The longest length over the P95.
    reach: f64,
}

impl Body {
    fn mean(&self) -> f64 {
        let below = |z: f64| 0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2);
        let lower = libm::exp(self.lower * self.lower / 2.0) * below(-self.lower);
        let middle =
            libm::exp(self.upper * self.upper / 2.0) * (below(Z95 - self.upper) - below(-self.upper));
        let log = libm::log(self.reach);
        let tail = if log > 1e-9 { libm::expm1(log) / log } else { 1.0 };
        self.median * (lower + middle) + 0.05 * self.p95 * tail
    }
}

impl Column for Body {
    fn draw(&self, rng: &mut Stream) -> u32 {
        let z = standard_normal(rng);
        whole(if z < 0.0 {
            self.median * libm::exp(self.lower * z)
        } else if z < Z95 {
            self.median * libm::exp(self.upper * z)
        } else {
            self.p95 * libm::pow(self.reach, uniform(rng))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use proptest::prelude::*;

    const fn figures(mean: f64, median: f64, p95: f64) -> FittedTokens {
        FittedTokens { mean, median, p95 }
    }

    #[test]
    fn the_closed_form_is_the_mean_of_the_draws() {
        for tokens in [figures(1500.0, 900.0, 5000.0), figures(210.0, 232.0, 332.0)] {
            let body = tokens.fit().unwrap();
            assert!((body.mean() / tokens.mean - 1.0).abs() < 1e-9, "{body:?}");
            let source = Fitted { prompt: tokens, output: tokens }.build().unwrap();
            for mut column in testing::columns(source, 76, 400_000) {
                testing::assert_near(testing::mean(&column), tokens.mean);
                testing::assert_near(testing::quantile(&mut column, 0.5), tokens.median);
                testing::assert_near(testing::quantile(&mut column, 0.95), tokens.p95);
            }
        }
    }

    #[test]
    fn a_log_normal_is_recognised() {
        // Its own mean: the tail then reaches about as far as that of the log-normal weighs.
        let body = figures(1000.0 * libm::exp(0.125), 1000.0, 1000.0 * libm::exp(0.5 * Z95)).fit().unwrap();
        assert!((body.lower - 0.5).abs() < 1e-12 && (body.upper - 0.5).abs() < 1e-12);
        // The log-normal's tail has the mean median · e^0.125 · Φ(0.5 − z₉₅) / 0.05 = 1.265 P95.
        assert!((body.reach - 1.56).abs() < 0.02, "{}", body.reach);
    }

    #[test]
    fn figures_that_do_not_go_together_are_refused() {
        let refuse = |mean, median, p95| {
            let tokens = figures(mean, median, p95);
            Fitted { prompt: figures(300.0, 200.0, 900.0), output: tokens }.build().err().unwrap()
        };
        assert_eq!(refuse(10.0, 20.0, 20.0), "output.p95: must be above the median, 20, found 20");
        assert!(
            refuse(1e6, 20.0, 40.0).contains("output.mean: must be 309 tokens at most"),
            "{}",
            refuse(1e6, 20.0, 40.0)
        );
        assert!(
            refuse(1.0, 200.0, 400.0).starts_with("output.mean: must be"),
            "{}",
            refuse(1.0, 200.0, 400.0)
        );
        assert!(refuse(f64::NAN, 20.0, 40.0).starts_with("output.mean: must be 1 to 1e9 tokens"));
    }

    proptest! {
        #[test]
        fn no_parameters_break_it(
            mean in testing::hostile(), median in testing::hostile(), p95 in testing::hostile(),
        ) {
            let tokens = figures(mean, median, p95);
            testing::assert_sound(Fitted { prompt: tokens, output: tokens }.build());
        }

        #[test]
        fn what_is_fitted_has_its_mean(
            median in 1.0..1e6_f64, spread in 1.01..50.0_f64, mean_ratio in 0.6..5.0_f64,
        ) {
            let tokens = figures((median * mean_ratio).max(1.0), median, median * spread);
            if let Ok(body) = tokens.fit() {
                prop_assert!((body.mean() / tokens.mean - 1.0).abs() < 1e-6, "{body:?} for {tokens:?}");
            }
        }
    }
}
