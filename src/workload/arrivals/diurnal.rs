//! A rate that swings like day and night.
//!
//! ```text
//! λ(t) = mean · (1 + A cos 2π(t / period − peak))    A = (r − 1) / (r + 1), r = peak rate / trough rate
//! ```
//!
//! A Poisson process of that rate, by thinning (P. A. W. Lewis and G. S. Shedler 1979): candidates
//! come at the peak rate and one at t is kept with probability λ(t) / peak rate. The mean is that
//! over whole periods.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::clock::Clock;
use super::{ArrivalProcess, mean_gap_ns, seconds_in};
use crate::engine::{Stream, exponential, uniform};
use crate::units::{PerSecond, SimTime, Span};
use crate::workload::SourceError;

/// Poisson arrivals at a rate that swings in a cosine between a trough and a peak, like day and night.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Diurnal {
    /// Requests per second of the whole workload in the mean over a period, `per_s(1e-6)` to
    /// `per_s(1e12)`; required.
    pub mean: PerSecond,
    /// Rate at the peak over rate at the trough, 1 to 1000; required. 3 swings from half the mean
    /// to one and a half times the mean.
    pub peak_to_trough: f64,
    /// Time from peak to peak, `ms(1)` to `s(1e9)`. Default: `h(24)`.
    #[serde(default = "a_day")]
    pub period: Span,
    /// When the first peak comes, as a fraction of the period, 0 to 1; with 0.5 the run starts at
    /// the trough. For a day that starts at midnight and peaks at 15:00, 0.625. Default: 0.5.
    #[serde(default = "half_way")]
    pub peak: f64,
}

fn a_day() -> Span {
    Span::from_secs(86_400.0)
}

fn half_way() -> f64 {
    0.5
}

impl Diurnal {
    /// Checks the values.
    ///
    /// # Errors
    /// A value is out of its range.
    pub fn build(self) -> Result<Box<dyn ArrivalProcess>, String> {
        let mean_ns = mean_gap_ns("mean", self.mean)?;
        if !(1.0..=1000.0).contains(&self.peak_to_trough) {
            return Err(format!("peak_to_trough: must be 1 to 1000, found {}", self.peak_to_trough));
        }
        let period_ns = seconds_in("period", self.period, 1e-3..=1e9)? * 1e9;
        if !(0.0..=1.0).contains(&self.peak) {
            return Err(format!("peak: must be 0 to 1, a fraction of the period, found {}", self.peak));
        }
        let swing = (self.peak_to_trough - 1.0) / (self.peak_to_trough + 1.0);
        Ok(Box::new(Swinging {
            candidate_gap_ns: mean_ns / (1.0 + swing),
            swing,
            period_ns: period_ns as u64,
            peak: self.peak,
            clock: Clock::default(),
        }))
    }
}

struct Swinging {
    /// The mean gap at the peak.
    candidate_gap_ns: f64,
    /// How far the rate swings from its mean, in [0, 1).
    swing: f64,
    period_ns: u64,
    peak: f64,
    clock: Clock,
}

impl Swinging {
    /// The rate at `at` over the peak rate.
    fn share(&self, at: SimTime) -> f64 {
        let phase = (at.as_ns() % self.period_ns) as f64 / self.period_ns as f64;
        let cosine = libm::cos(std::f64::consts::TAU * (phase - self.peak));
        (1.0 + self.swing * cosine) / (1.0 + self.swing)
    }
}

impl ArrivalProcess for Swinging {
    fn next(&mut self, rng: &mut Stream) -> Result<Option<SimTime>, SourceError> {
        // Even at the trough one candidate in a thousand is kept.
        loop {
            let at = self.clock.advance(exponential(rng) * self.candidate_gap_ns);
            if uniform(rng) < self.share(at) {
                return Ok(Some(at));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use proptest::prelude::*;
    use std::f64::consts::TAU;

    fn process(text: &str) -> Box<dyn ArrivalProcess> {
        ron::from_str::<Diurnal>(text).unwrap().build().unwrap()
    }

    #[test]
    fn it_is_poisson_in_rescaled_time() {
        for (ratio, peak) in [(1.0, 0.5), (3.0, 0.625), (1000.0, 0.0)] {
            let text = format!("(mean: per_s(20), peak_to_trough: {ratio}, period: min(10), peak: {peak})");
            let instants = testing::instants(&mut *process(&text), 51, 60_000);
            let swing = (ratio - 1.0) / (ratio + 1.0);
            let wave = |x: f64| libm::sin(TAU * x) / TAU;
            let expected = |t: f64| 20.0 * (t + swing * 600.0 * (wave(t / 600.0 - peak) + wave(peak)));
            testing::assert_fits(testing::rescaled_gaps(&instants, expected), testing::exponential_law);
        }
    }

    #[test]
    fn a_day_brings_its_mean_and_peaks_where_told() {
        let mut day = process("(mean: per_s(2), peak_to_trough: 5, peak: 0.625)");
        let mut rng = testing::stream(52);
        let mut hours = [0.0_f64; 24];
        while let Some(at) = day.next(&mut rng).unwrap() {
            let Some(hour) = hours.get_mut((at.as_ns() / 3_600_000_000_000) as usize) else { break };
            *hour += 1.0;
        }
        let total: f64 = hours.iter().sum();
        // Four standard errors of a Poisson count.
        assert!((total - 172_800.0).abs() < 4.0 * 172_800.0_f64.sqrt(), "{total}");
        // Around 15:00 the rate is 5/3 of the mean, around 3:00 a third of it, but for the curvature.
        assert!((hours[14] + hours[15]) / (hours[2] + hours[3]) > 4.5);
    }

    #[test]
    fn bad_values_are_named() {
        let refuse = |text| ron::from_str::<Diurnal>(text).unwrap().build().err().unwrap();
        assert!(refuse("(mean: per_s(1), peak_to_trough: 0.5)").starts_with("peak_to_trough: must be 1 to"));
        assert!(refuse("(mean: per_s(1), peak_to_trough: 2, period: s(0))").starts_with("period: "));
        assert!(refuse("(mean: per_s(1), peak_to_trough: 2, peak: 15)").starts_with("peak: must be 0 to 1"));
        assert!(refuse("(mean: per_s(1e13), peak_to_trough: 2)").starts_with("mean: "));
    }

    proptest! {
        #[test]
        fn no_parameters_break_it(
            mean in testing::hostile(), peak_to_trough in testing::hostile(), period in testing::hostile(),
            peak in testing::hostile(),
        ) {
            let (mean, period) = (PerSecond::new(mean), Span::from_secs(period));
            testing::assert_sound(Diurnal { mean, peak_to_trough, period, peak }.build(), None);
        }
    }
}
