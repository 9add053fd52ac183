//! Confidence intervals of a mean over independent replications, by Student's t.
//!
//! For n replications of mean x̄ and sample standard deviation s (divisor n − 1), the interval is
//! x̄ ± t·s/√n, where t is the two-sided quantile for n − 1 degrees of freedom. It assumes that the figure of a
//! replication is about normal: good for means, rough for a 99th percentile over few requests.

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};

use serde::Serialize;

/// How sure an [`Interval`] is: the share of such intervals that hold the true mean.
pub const CONFIDENCE_FRAC: f64 = 0.95;

/// A figure over replications, in the figure's own unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Replications that have the figure.
    pub replications: u32,
    /// Their mean.
    pub mean: f64,
    /// Their sample standard deviation; null for one.
    pub std: Option<f64>,
    /// Lower end of the confidence interval of the mean; null for one replication.
    pub ci_low: Option<f64>,
    /// Upper end of it.
    pub ci_high: Option<f64>,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Interval {
    /// Over `figures`, one a replication; none without any. The order of figures decides the last digit.
    pub fn of(figures: &[f64]) -> Option<Self> {
        let first = *figures.first()?;
        let n = figures.len() as f64;
        // Around the first: figures that are all the same have exactly that mean and no spread.
        let mean = first + figures.iter().map(|figure| figure - first).sum::<f64>() / n;
        let squares = figures.iter().map(|figure| (figure - mean) * (figure - mean)).sum::<f64>();
        let degrees = figures.len() as u32 - 1;
        let std = (degrees > 0).then(|| (squares / f64::from(degrees)).sqrt());
        let half = std.map(|std| student_t(CONFIDENCE_FRAC, degrees) * std / n.sqrt());
        Some(Self {
            replications: figures.len() as u32,
            mean,
            std,
            ci_low: half.map(|half| mean - half),
            ci_high: half.map(|half| mean + half),
            min: figures.iter().copied().fold(first, f64::min),
            max: figures.iter().copied().fold(first, f64::max),
        })
    }

    /// Half the width of the confidence interval; none for one replication.
    pub fn half_width(&self) -> Option<f64> {
        Some((self.ci_high? - self.ci_low?) / 2.0)
    }
}

/// The t with P(|T| ≤ t) = `confidence` (in 0..1), T after Student with `degrees` (at least one) of freedom.
///
/// With t = √ν·tan θ the probability grows with θ on 0..π/2, where bisection finds it to the last digit.
pub fn student_t(confidence: f64, degrees: u32) -> f64 {
    let (mut low, mut high) = (0.0, FRAC_PI_2);
    loop {
        let theta = f64::midpoint(low, high);
        if theta <= low || theta >= high {
            return f64::from(degrees).sqrt() * libm::tan(theta);
        }
        if within(theta, degrees) < confidence { low = theta } else { high = theta }
    }
}

/// P(|T| ≤ √ν·tan θ), by the finite series of Abramowitz & Stegun 26.7.3 and 26.7.4; all terms are positive.
fn within(theta: f64, degrees: u32) -> f64 {
    let (sin, cos) = (libm::sin(theta), libm::cos(theta));
    let odd = degrees % 2 == 1;
    // The series in cos θ: from cos θ for odd ν, from 1 for even.
    let mut term = if odd { cos } else { 1.0 };
    let mut sum = 0.0;
    let mut power = u32::from(odd);
    while power + 2 <= degrees {
        sum += term;
        term *= cos * cos * f64::from(power + 1) / f64::from(power + 2);
        power += 2;
    }
    if odd { FRAC_2_PI * (theta + sin * sum) } else { sin * sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables of Student's t (Abramowitz & Stegun 26.10; `scipy.stats.t.ppf`).
    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (confidence, degrees, expected) in [
            (0.95, 1, 12.706_204_736),
            (0.95, 2, 4.302_652_730),
            (0.95, 3, 3.182_446_305),
            (0.95, 4, 2.776_445_105),
            (0.95, 9, 2.262_157_163),
            (0.95, 10, 2.228_138_852),
            (0.95, 19, 2.093_024_054),
            (0.95, 30, 2.042_272_456),
            (0.95, 99, 1.984_216_952),
            (0.5, 1, 1.0),
            (0.99, 5, 4.032_142_984),
            (0.999, 19, 3.883_405_853),
        ] {
            let t = student_t(confidence, degrees);
            assert!((t - expected).abs() < 1e-8 * expected, "{confidence}, {degrees}: {t}");
        }
    }

    #[test]
    fn quantiles_fall_towards_the_normal_law() {
        let quantiles: Vec<f64> = (1..200).map(|degrees| student_t(0.95, degrees)).collect();
        assert!(quantiles.is_sorted_by(|a, b| a > b));
        // Cornish and Fisher: z + (z³ + z)/4ν.
        let z: f64 = 1.959_963_985;
        let far = student_t(0.95, 9_999);
        assert!((far - z - (z * z * z + z) / (4.0 * 9_999.0)).abs() < 1e-6, "{far}");
    }

    #[test]
    fn an_interval_by_hand() {
        let interval = Interval::of(&[1.0, 2.0, 3.0]).unwrap();
        assert_eq!((interval.mean, interval.std, interval.min, interval.max), (2.0, Some(1.0), 1.0, 3.0));
        let half = interval.half_width().unwrap();
        assert!((half - 4.302_652_730 / 3.0_f64.sqrt()).abs() < 1e-8, "{half}");
    }

    #[test]
    fn one_figure_has_no_interval_and_equal_ones_a_point() {
        let one = Interval::of(&[0.1]).unwrap();
        assert_eq!((one.mean, one.std, one.half_width()), (0.1, None, None));
        let same = Interval::of(&[0.1; 7]).unwrap();
        assert_eq!((same.mean, same.std, same.ci_low, same.ci_high), (0.1, Some(0.0), Some(0.1), Some(0.1)));
        assert_eq!(Interval::of(&[]), None);
    }
}
