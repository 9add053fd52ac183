//! A rate that rises or falls from one value to another and stays there.
//!
//! Over a time T the rate is λ(t), and requests come where the number expected so far,
//!
//! ```text
//! linear       λ(t) = a + (b − a) t / T    Λ(t) = a t + (b − a) t² / 2T
//! exponential  λ(t) = a (b / a)^(t / T)    Λ(t) = (λ(t) − a) T / ln(b / a)
//! ```
//!
//! passes the sums of independent gaps of mean 1: t = Λ⁻¹(sum), in closed form; after T, at b. With
//! exponential gaps that is a Poisson process of rate λ(t).
//!
//! Over the requests of a workload, as `vllm bench serve` does, the i-th of N requests comes a gap
//! after the one before it at the rate of progress i / (N − 1) on the same curve. In time such a
//! ramp is slow at its slow end: a line in requests is an exponential in time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::clock::Clock;
use super::gamma::GammaGap;
use super::renewal::Gap;
use super::{ArrivalProcess, mean_gap_ns, seconds_in};
use crate::engine::Stream;
use crate::scenario::Problem;
use crate::units::{PerSecond, SimTime, Span};
use crate::workload::SourceError;

/// A rate that goes from one value to another and stays there, over a given time or, as
/// `vllm bench serve` ramps up, over the workload's requests.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    /// Requests per second at the start, `per_s(1e-6)` to `per_s(1e12)`; required. Mirrors
    /// `vllm bench serve --ramp-up-start-rps`.
    pub from: PerSecond,
    /// Requests per second at the end, above or below `from`, `per_s(1e-6)` to `per_s(1e12)`;
    /// required. Mirrors `vllm bench serve --ramp-up-end-rps`.
    pub to: PerSecond,
    /// Time the ramp takes, `us(1)` to `s(1e9)`. Default: none, the rate changes with every request
    /// so that the last of the workload's `requests` comes at `to`, as in `vllm bench serve`.
    #[serde(default)]
    pub over: Option<Span>,
    /// How the rate changes on the way: `Linear` or `Exponential`. Default: `Linear`. Mirrors
    /// `vllm bench serve --ramp-up-strategy`.
    #[serde(default)]
    pub curve: Curve,
    /// Coefficient of variation of the gaps, the change of rate aside, 0.001 to 100; 1 is
    /// Poisson. Default: 1. Mirrors `vllm bench serve --burstiness`, which is 1 / cv².
    #[serde(default = "poisson")]
    pub cv: f64,
}

/// How a rate changes on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Curve {
    /// By equal differences.
    #[default]
    Linear,
    /// By equal factors.
    Exponential,
}

fn poisson() -> f64 {
    1.0
}

impl Ramp {
    /// Checks rates, time and CV.
    ///
    /// # Errors
    /// A value is out of its range.
    pub fn build(self) -> Result<Box<dyn ArrivalProcess>, String> {
        mean_gap_ns("from", self.from)?;
        mean_gap_ns("to", self.to)?;
        let gap = GammaGap::of_cv(self.cv)?;
        let slope = Slope { from: self.from.get(), to: self.to.get(), curve: self.curve };
        Ok(match self.over {
            Some(over) => {
                let over_s = seconds_in("over", over, 1e-6..=1e9)?;
                Box::new(InTime { gap, slope, over_s, expected: 0.0 })
            }
            None => Box::new(InRequests { gap, slope, sent: 0, requests: 1, clock: Clock::default() }),
        })
    }
}

/// From one rate to another, in requests/s.
#[derive(Clone, Copy, Debug)]
struct Slope {
    from: f64,
    to: f64,
    curve: Curve,
}

impl Slope {
    /// The rate at a `progress` of 0 to 1.
    fn rate(self, progress: f64) -> f64 {
        match self.curve {
            Curve::Linear => self.from + (self.to - self.from) * progress,
            Curve::Exponential => self.from * libm::pow(self.to / self.from, progress),
        }
    }

    /// The mean rate over the whole way.
    fn mean_rate(self) -> f64 {
        let steepness = libm::log(self.to / self.from);
        match self.curve {
            Curve::Exponential if steepness.abs() > 1e-6 => (self.to - self.from) / steepness,
            _ => f64::midpoint(self.from, self.to),
        }
    }

    /// The progress at which the mean rate so far, times the progress, is `expected`.
    fn progress(self, expected: f64) -> f64 {
        let steepness = libm::log(self.to / self.from);
        match self.curve {
            Curve::Exponential if steepness.abs() > 1e-6 => {
                libm::log1p((expected * steepness / self.from).max(-1.0)) / steepness
            }
            _ => {
                // The root of the quadratic that stays exact when the rates are close.
                let square = self.from * self.from + 2.0 * (self.to - self.from) * expected;
                2.0 * expected / (self.from + square.max(0.0).sqrt())
            }
        }
    }
}

/// A ramp over a time.
struct InTime {
    gap: GammaGap,
    slope: Slope,
    over_s: f64,
    /// Requests expected up to the last arrival.
    expected: f64,
}

impl ArrivalProcess for InTime {
    fn next(&mut self, rng: &mut Stream) -> Result<Option<SimTime>, SourceError> {
        self.expected += self.gap.draw(rng);
        let whole = self.slope.mean_rate() * self.over_s;
        let seconds = if self.expected < whole {
            self.slope.progress(self.expected / self.over_s).min(1.0) * self.over_s
        } else {
            self.over_s + (self.expected - whole) / self.slope.to
        };
        Ok(Some(SimTime::from_ns((seconds * 1e9 + 0.5) as u64)))
    }
}

/// A ramp over the requests of a workload.
struct InRequests {
    gap: GammaGap,
    slope: Slope,
    sent: u64,
    requests: u64,
    clock: Clock,
}

impl ArrivalProcess for InRequests {
    fn next(&mut self, rng: &mut Stream) -> Result<Option<SimTime>, SourceError> {
        let progress = self.sent as f64 / self.requests.saturating_sub(1).max(1) as f64;
        self.sent += 1;
        let rate = self.slope.rate(progress.min(1.0));
        Ok(Some(self.clock.advance(self.gap.draw(rng) * 1e9 / rate)))
    }

    fn plan(&mut self, requests: Option<u64>) -> Result<(), Problem> {
        let message = "a ramp needs a time or a number of requests";
        let help = "say `over` which time the rate changes, or give the workload its `requests`";
        self.requests = requests.ok_or_else(|| Problem::new("", message).help(help))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Statistics};
    use super::*;
    use proptest::prelude::*;

    fn process(text: &str) -> Box<dyn ArrivalProcess> {
        ron::from_str::<Ramp>(text).unwrap().build().unwrap()
    }

    #[test]
    fn a_linear_ramp_is_poisson_in_rescaled_time() {
        for (from, to) in [(1.0, 100.0), (100.0, 1.0), (40.0, 40.0)] {
            let text = format!("(from: per_s({from}), to: per_s({to}), over: Some(s(1000)))");
            let instants = testing::instants(&mut *process(&text), 41, 60_000);
            let expected = |t: f64| {
                let (ramp, rest) = (t.min(1000.0), (t - 1000.0).max(0.0));
                from * ramp + (to - from) * ramp * ramp / 2000.0 + to * rest
            };
            testing::assert_fits(testing::rescaled_gaps(&instants, expected), testing::exponential_law);
        }
    }

    #[test]
    fn an_exponential_ramp_is_poisson_in_rescaled_time() {
        for (from, to) in [(2.0, 200.0), (200.0, 2.0), (30.0, 30.0)] {
            let text =
                format!("(from: per_s({from}), to: per_s({to}), over: Some(s(500)), curve: Exponential)");
            let instants = testing::instants(&mut *process(&text), 42, 30_000);
            let steepness: f64 = libm::log(to / from) / 500.0;
            let expected = |t: f64| {
                let (ramp, rest) = (t.min(500.0), (t - 500.0).max(0.0));
                let on_ramp =
                    if from == to { from * ramp } else { from * libm::expm1(steepness * ramp) / steepness };
                on_ramp + to * rest
            };
            testing::assert_fits(testing::rescaled_gaps(&instants, expected), testing::exponential_law);
        }
    }

    #[test]
    fn a_cv_holds_in_rescaled_time() {
        let mut ramp = process("(from: per_s(10), to: per_s(50), over: Some(s(2000)), cv: 2)");
        let instants = testing::instants(&mut *ramp, 43, 50_000);
        let gaps = testing::rescaled_gaps(&instants, |t| 10.0 * t + 40.0 * t * t / 4000.0);
        let Statistics { mean, variance } = Statistics::of(&gaps);
        // Four standard errors; the excess kurtosis of a gamma law is 6 cv².
        assert!((mean - 1.0).abs() < 4.0 * 2.0 / 50_000.0_f64.sqrt(), "mean {mean}");
        assert!((variance / 4.0 - 1.0).abs() < 4.0 * (26.0 / 50_000.0_f64).sqrt(), "variance {variance}");
    }

    #[test]
    fn without_a_time_it_ramps_over_the_requests_as_vllm_does() {
        for (curve, rate) in [
            ("Linear", (|p: f64| 5.0 + 45.0 * p) as fn(f64) -> f64),
            ("Exponential", |p: f64| 5.0 * libm::pow(10.0, p)),
        ] {
            let mut ramp = process(&format!("(from: per_s(5), to: per_s(50), curve: {curve})"));
            ramp.plan(Some(20_000)).unwrap();
            let gaps = testing::gaps_s(&mut *ramp, 44, 20_000);
            let scaled = gaps.iter().enumerate().map(|(i, gap)| gap * rate(i as f64 / 19_999.0)).collect();
            testing::assert_fits(scaled, testing::exponential_law);
        }
    }

    #[test]
    fn without_a_time_it_needs_the_number_of_requests() {
        let problem = process("(from: per_s(5), to: per_s(50))").plan(None).unwrap_err();
        assert_eq!(problem.message, "a ramp needs a time or a number of requests");
        assert!(process("(from: per_s(5), to: per_s(50), over: Some(s(1)))").plan(None).is_ok());
        let mut one = process("(from: per_s(5), to: per_s(50))");
        one.plan(Some(1)).unwrap();
        assert!(one.next(&mut testing::stream(0)).unwrap().is_some());
    }

    #[test]
    fn bad_values_are_named() {
        let refuse = |text| ron::from_str::<Ramp>(text).unwrap().build().err().unwrap();
        assert!(refuse("(from: per_s(1e13), to: per_s(1))").starts_with("from: "));
        assert!(refuse("(from: per_s(1), to: per_s(1e-7))").starts_with("to: "));
        assert!(refuse("(from: per_s(1), to: per_s(2), over: Some(s(0)))").starts_with("over: must be"));
        assert!(refuse("(from: per_s(1), to: per_s(2), cv: 0)").starts_with("cv: must be"));
    }

    proptest! {
        #[test]
        fn no_parameters_break_it(
            from in testing::hostile(), to in testing::hostile(), cv in testing::hostile(),
            over in proptest::option::of(testing::hostile()), exponential: bool,
            requests in proptest::option::of(any::<u64>()),
        ) {
            let curve = if exponential { Curve::Exponential } else { Curve::Linear };
            let (from, to, over) = (PerSecond::new(from), PerSecond::new(to), over.map(Span::from_secs));
            testing::assert_sound(Ramp { from, to, over, curve, cv }.build(), requests);
        }
    }
}
