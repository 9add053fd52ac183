//! A fixed number of users, each with one request at a time.
//!
//! Think times are independent and have the mean asked for, whatever their law.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ArrivalProcess, MOST_AT_ONCE};
use crate::engine::{Stream, exponential, standard_normal};
use crate::units::{SimSpan, SimTime, Span};
use crate::workload::SourceError;

/// A fixed number of users, each sending its next request when the last one is over: `concurrency`
/// requests at time 0, then one for every request that completes or is rejected.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClosedLoop {
    /// Users, which is the most requests in flight at once; 1 or more. Mirrors `vllm bench serve
    /// --max-concurrency` with an infinite `--request-rate`.
    pub concurrency: u32,
    /// Time from the end of a user's request to the user's next, in the mean; `s(0)` or more.
    /// Default: `s(0)`.
    #[serde(default = "no_time")]
    pub think_time: Span,
    /// How think times vary: `Fixed`, `Exponential` or `LogNormal(cv: …)`. Default: `Fixed`.
    #[serde(default)]
    pub think_law: ThinkLaw,
}

/// How think times vary around their mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum ThinkLaw {
    /// All alike.
    #[default]
    Fixed,
    /// Exponentially distributed: a closed loop as queueing theory has it.
    Exponential,
    /// Log-normally distributed, as the times of people at a keyboard are.
    LogNormal {
        /// Coefficient of variation (standard deviation over mean), 0.001 to 100; required.
        cv: f64,
    },
}

fn no_time() -> Span {
    Span::from_secs(0.0)
}

impl ClosedLoop {
    /// Checks the number of users and the think time.
    ///
    /// # Errors
    /// `concurrency` is 0, or the law of the think time is out of range or without effect.
    pub fn build(self) -> Result<Box<dyn ArrivalProcess>, String> {
        if self.concurrency == 0 {
            return Err("concurrency: must be 1 or more, found 0".to_owned());
        }
        if u64::from(self.concurrency) > MOST_AT_ONCE {
            return Err(format!("concurrency: must be {MOST_AT_ONCE} or less, found {}", self.concurrency));
        }
        if self.think_law != ThinkLaw::Fixed && self.think_time.as_secs() == 0.0 {
            return Err("think_law: has no effect without a think_time".to_owned());
        }
        let think = match self.think_law {
            ThinkLaw::Fixed => Think::Fixed(self.think_time.to_sim()),
            ThinkLaw::Exponential => Think::Exponential { mean_s: self.think_time.as_secs() },
            ThinkLaw::LogNormal { cv } if (0.001..=100.0).contains(&cv) => {
                let sigma = libm::log1p(cv * cv).sqrt();
                let median_s = self.think_time.as_secs() * libm::exp(-sigma * sigma / 2.0);
                Think::LogNormal { median_s, sigma }
            }
            ThinkLaw::LogNormal { cv } => {
                return Err(format!("think_law.cv: must be 0.001 to 100, found {cv}"));
            }
        };
        let think_s = self.think_time.as_secs();
        Ok(Box::new(Users { users: self.concurrency, not_started: self.concurrency, think, think_s }))
    }
}

struct Users {
    users: u32,
    not_started: u32,
    think: Think,
    /// Think time in the mean (s).
    think_s: f64,
}

enum Think {
    Fixed(SimSpan),
    Exponential { mean_s: f64 },
    LogNormal { median_s: f64, sigma: f64 },
}

impl Think {
    fn draw(&self, rng: &mut Stream) -> SimSpan {
        match *self {
            Self::Fixed(span) => span,
            Self::Exponential { mean_s } => SimSpan::from_secs_f64(mean_s * exponential(rng)),
            Self::LogNormal { median_s, sigma } => {
                SimSpan::from_secs_f64(median_s * libm::exp(sigma * standard_normal(rng)))
            }
        }
    }
}

impl ArrivalProcess for Users {
    fn span_s(&self, requests: u64) -> f64 {
        requests as f64 * self.think_s / f64::from(self.users)
    }

    fn next(&mut self, _: &mut Stream) -> Result<Option<SimTime>, SourceError> {
        let Some(left) = self.not_started.checked_sub(1) else { return Ok(None) };
        self.not_started = left;
        Ok(Some(SimTime::ZERO))
    }

    fn on_departure(&mut self, now: SimTime, rng: &mut Stream) -> Option<SimTime> {
        Some(now + self.think.draw(rng))
    }

    fn is_closed(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Statistics};
    use super::*;
    use crate::engine::Streams;
    use proptest::prelude::*;

    #[test]
    fn users_think_side_by_side() {
        let text = "(concurrency: 2, think_time: s(10))";
        let users = ron::from_str::<ClosedLoop>(text).unwrap().build().unwrap();
        assert_eq!(users.span_s(6), 30.0);
    }

    /// Think times drawn one after the other, in s.
    fn thoughts(text: &str) -> Vec<f64> {
        let mut users = ron::from_str::<ClosedLoop>(text).unwrap().build().unwrap();
        let (mut rng, now) = (testing::stream(61), SimTime::from_ns(1_000));
        let mut think = || users.on_departure(now, &mut rng).unwrap().since(now).as_secs_f64();
        (0..100_000).map(|_| think()).collect()
    }

    #[test]
    fn think_times_follow_their_law() {
        let exponential = thoughts("(concurrency: 1, think_time: s(4), think_law: Exponential)");
        testing::assert_fits(exponential, |time| testing::exponential_law(time / 4.0));
        let log_normal = thoughts("(concurrency: 1, think_time: s(4), think_law: LogNormal(cv: 0.5))");
        let Statistics { mean, variance } = Statistics::of(&log_normal);
        assert!((mean / 4.0 - 1.0).abs() < 4.0 * 0.5 / 316.0, "{mean}");
        assert!((variance.sqrt() / 2.0 - 1.0).abs() < 0.02, "{variance}");
        let sigma = libm::log(1.25).sqrt();
        let centre = libm::log(4.0) - sigma * sigma / 2.0;
        testing::assert_fits(log_normal, |time| {
            0.5 * libm::erfc(-(libm::log(time) - centre) / sigma / std::f64::consts::SQRT_2)
        });
    }

    #[test]
    fn a_law_needs_a_time_and_a_sound_cv() {
        let refuse = |text| ron::from_str::<ClosedLoop>(text).unwrap().build().err().unwrap();
        let message = refuse("(concurrency: 1, think_law: Exponential)");
        assert_eq!(message, "think_law: has no effect without a think_time");
        let message = refuse("(concurrency: 1, think_time: s(1), think_law: LogNormal(cv: 0))");
        assert_eq!(message, "think_law.cv: must be 0.001 to 100, found 0");
    }

    proptest! {
        #[test]
        fn no_parameters_break_it(
            concurrency: u32, time in testing::hostile(), cv in testing::hostile(), law in 0..3_u8,
        ) {
            let think_law =
                [ThinkLaw::Fixed, ThinkLaw::Exponential, ThinkLaw::LogNormal { cv }][law as usize];
            let choice = ClosedLoop { concurrency, think_time: Span::from_secs(time), think_law };
            if let Ok(mut users) = choice.build() {
                let now = SimTime::from_ns(5);
                prop_assert!(users.on_departure(now, &mut testing::stream(1)).unwrap() >= now);
            }
        }
    }

    #[test]
    fn starts_with_a_burst_and_then_follows_departures() {
        let mut rng = Streams::new(0).stream("arrivals", 0);
        let text = "(concurrency: 3, think_time: ms(2))";
        let mut users = ron::from_str::<ClosedLoop>(text).unwrap().build().unwrap();
        for _ in 0..3 {
            assert_eq!(users.next(&mut rng).unwrap(), Some(SimTime::ZERO));
        }
        assert_eq!(users.next(&mut rng).unwrap(), None);
        let next = users.on_departure(SimTime::from_ns(500), &mut rng);
        assert_eq!(next, Some(SimTime::from_ns(2_000_500)));
        assert_eq!(users.next(&mut rng).unwrap(), None, "only departures bring more");
    }

    #[test]
    fn thinks_no_time_by_default_and_needs_users() {
        let mut rng = Streams::new(0).stream("arrivals", 0);
        let mut users = ron::from_str::<ClosedLoop>("(concurrency: 1)").unwrap().build().unwrap();
        assert_eq!(users.on_departure(SimTime::from_ns(7), &mut rng), Some(SimTime::from_ns(7)));
        let none = ron::from_str::<ClosedLoop>("(concurrency: 0)").unwrap().build();
        assert!(none.err().unwrap().contains("concurrency: must be 1 or more"));
    }
}
