//! Bursts: phases with arrivals and phases with few or none, in turn.
//!
//! Within a phase arrivals are Poisson at the phase's rate. With exponential phases this is the
//! two-state Markov-modulated Poisson process (MMPP), started in its long-run state, so that the
//! mean rate
//!
//! ```text
//! (on · on_rate + off · off_rate) / (on + off)
//! ```
//!
//! holds from the first instant; with no arrivals between bursts it is the interrupted Poisson
//! process, whose gaps are hyperexponential. With fixed phases it is a schedule: a full burst first,
//! then a full pause, and so on. Draws are exact: an exponential amount of expected requests is
//! used up phase by phase.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::clock::Clock;
use super::{ArrivalProcess, mean_gap_ns, seconds_in};
use crate::engine::{Stream, exponential, uniform};
use crate::units::{PerSecond, SimTime, Span};
use crate::workload::SourceError;

/// Bursts and pauses in turn, with Poisson arrivals at one rate in bursts and another in pauses.
/// The mean rate is (on · `on_rate` + off · `off_rate`) / (on + off).
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnOff {
    /// Length of a burst, in the mean, `us(1)` to `s(1e9)`; required.
    pub on: Span,
    /// Length of a pause, in the mean, `us(1)` to `s(1e9)`; required.
    pub off: Span,
    /// Requests per second of the whole workload in a burst, `per_s(1e-6)` to `per_s(1e12)`;
    /// required. A burst and a pause must bring 0.001 requests together, in the mean.
    pub on_rate: PerSecond,
    /// Requests per second in a pause, `per_s(1e-6)` to `per_s(1e12)`. Default: none at all.
    #[serde(default)]
    pub off_rate: Option<PerSecond>,
    /// How the lengths of bursts and pauses vary: `Exponential` or `Fixed`. Default: `Exponential`.
    #[serde(default)]
    pub phases: Phases,
}

/// How the lengths of bursts and pauses vary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phases {
    /// Exponentially distributed; the run starts somewhere in the middle of either.
    #[default]
    Exponential,
    /// All alike; the run starts with a whole burst.
    Fixed,
}

impl OnOff {
    /// Checks lengths and rates.
    ///
    /// # Errors
    /// A value is out of its range, or next to nothing ever arrives.
    pub fn build(self) -> Result<Box<dyn ArrivalProcess>, String> {
        let phase = |length: (&str, Span), rate: (&str, Option<PerSecond>)| {
            let mean_ns = seconds_in(length.0, length.1, 1e-6..=1e9)? * 1e9;
            let gap_ns = rate.1.map(|per_second| mean_gap_ns(rate.0, per_second)).transpose()?;
            Ok::<_, String>(Phase { mean_ns, per_ns: gap_ns.map_or(0.0, |gap_ns| 1.0 / gap_ns) })
        };
        let on = phase(("on", self.on), ("on_rate", Some(self.on_rate)))?;
        let off = phase(("off", self.off), ("off_rate", self.off_rate))?;
        let requests = on.mean_ns * on.per_ns + off.mean_ns * off.per_ns;
        if requests < 1e-3 {
            return Err(format!(
                "on_rate: a burst and a pause bring {requests} requests in the mean, must be 0.001 or more"
            ));
        }
        Ok(Box::new(Bursts { on, off, law: self.phases, now: None, clock: Clock::default() }))
    }
}

#[derive(Clone, Copy)]
struct Phase {
    mean_ns: f64,
    /// Requests per ns.
    per_ns: f64,
}

struct Bursts {
    on: Phase,
    off: Phase,
    law: Phases,
    /// Whether a burst is on, and what is left of the phase in ns; `None` before the start.
    now: Option<(bool, f64)>,
    clock: Clock,
}

impl Bursts {
    fn phase(&self, on: bool) -> Phase {
        if on { self.on } else { self.off }
    }

    fn length_ns(&self, on: bool, rng: &mut Stream) -> f64 {
        match self.law {
            Phases::Exponential => self.phase(on).mean_ns * exponential(rng),
            Phases::Fixed => self.phase(on).mean_ns,
        }
    }

    fn start(&self, rng: &mut Stream) -> (bool, f64) {
        let on = match self.law {
            // The long-run state: what is left of an exponential phase is exponential again.
            Phases::Exponential => uniform(rng) * (self.on.mean_ns + self.off.mean_ns) < self.on.mean_ns,
            Phases::Fixed => true,
        };
        (on, self.length_ns(on, rng))
    }
}

impl ArrivalProcess for Bursts {
    fn next(&mut self, rng: &mut Stream) -> Result<Option<SimTime>, SourceError> {
        let (mut on, mut left_ns) = self.now.unwrap_or_else(|| self.start(rng));
        let (mut due, mut gap_ns) = (exponential(rng), 0.0);
        loop {
            let per_ns = self.phase(on).per_ns;
            let brings = left_ns * per_ns;
            if brings > due {
                let step_ns = due / per_ns;
                self.now = Some((on, left_ns - step_ns));
                return Ok(Some(self.clock.advance(gap_ns + step_ns)));
            }
            due -= brings;
            gap_ns += left_ns;
            on = !on;
            left_ns = self.length_ns(on, rng);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Statistics};
    use super::*;
    use proptest::prelude::*;

    fn process(text: &str) -> Box<dyn ArrivalProcess> {
        ron::from_str::<OnOff>(text).unwrap().build().unwrap()
    }

    #[test]
    fn fixed_phases_are_a_poisson_process_in_rescaled_time() {
        let mut bursts =
            process("(on: s(2), off: s(8), on_rate: per_s(50), off_rate: Some(per_s(2.5)), phases: Fixed)");
        let instants = testing::instants(&mut *bursts, 31, 50_000);
        let expected = |t: f64| {
            let (cycle, rest) = ((t / 10.0).floor(), t % 10.0);
            120.0 * cycle + 50.0 * rest.min(2.0) + 2.5 * (rest - 2.0).max(0.0)
        };
        testing::assert_fits(testing::rescaled_gaps(&instants, expected), testing::exponential_law);
    }

    #[test]
    fn without_arrivals_in_pauses_gaps_are_hyperexponential() {
        let mut bursts = process("(on: s(1), off: s(4), on_rate: per_s(20))");
        let gaps = testing::gaps_s(&mut *bursts, 32, 100_000).split_off(1);
        // Kuczura 1973: the interrupted Poisson process of rate λ, leaving bursts at a, pauses at b.
        let (rate, a, b) = (20.0, 1.0, 0.25);
        let root = ((rate + a + b) * (rate + a + b) - 4.0_f64 * rate * b).sqrt();
        let (fast, slow) = ((rate + a + b + root) / 2.0, (rate + a + b - root) / 2.0);
        let share = (rate - slow) / (fast - slow);
        testing::assert_fits(gaps, |gap| {
            1.0 - share * libm::exp(-fast * gap) - (1.0 - share) * libm::exp(-slow * gap)
        });
    }

    #[test]
    fn exponential_phases_have_the_mean_and_dispersion_of_the_mmpp() {
        let mut bursts = process("(on: s(1), off: s(3), on_rate: per_s(100), off_rate: Some(per_s(10)))");
        let mut rng = testing::stream(33);
        let mut counts = vec![0.0; 10_000];
        while let Some(at) = bursts.next(&mut rng).unwrap() {
            let Some(count) = counts.get_mut((at.as_ns() / 100_000_000_000) as usize) else { break };
            *count += 1.0;
        }
        let Statistics { mean, variance } = Statistics::of(&counts);
        // Rate 32.5; dispersion of counts in long windows 1 + 2 (λ₁ − λ₂)² π₁ π₂ / ((r₁ + r₂) λ).
        let dispersion = 1.0 + 2.0 * 8100.0 * 0.25 * 0.75 / (4.0 / 3.0 * 32.5);
        let slack = 4.0 * (3250.0 * dispersion / 10_000.0_f64).sqrt();
        assert!((mean - 3250.0).abs() < slack, "mean {mean}");
        assert!((variance / mean / dispersion - 1.0).abs() < 0.06, "dispersion {}", variance / mean);
    }

    #[test]
    fn next_to_nothing_is_refused() {
        let refuse = |text| ron::from_str::<OnOff>(text).unwrap().build().err().unwrap();
        assert!(refuse("(on: us(1), off: us(1), on_rate: per_s(1e-6))").starts_with("on_rate: a burst"));
        assert!(refuse("(on: s(0), off: s(1), on_rate: per_s(1))").starts_with("on: must be 0.000001 s to"));
        assert!(
            refuse("(on: s(1), off: s(1), on_rate: per_s(1), off_rate: Some(per_s(1e13)))")
                .starts_with("off_rate: ")
        );
    }

    proptest! {
        #[test]
        fn no_parameters_break_it(
            on in testing::hostile(), off in testing::hostile(), on_rate in testing::hostile(),
            off_rate in proptest::option::of(testing::hostile()), fixed: bool,
        ) {
            let phases = if fixed { Phases::Fixed } else { Phases::Exponential };
            let (on, off) = (Span::from_secs(on), Span::from_secs(off));
            let off_rate = off_rate.map(PerSecond::new);
            let on_rate = PerSecond::new(on_rate);
            testing::assert_sound(OnOff { on, off, on_rate, off_rate, phases }.build(), None);
        }
    }
}
