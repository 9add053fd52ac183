//! What the tests of arrival processes share: draws at fixed seeds, moments, goodness of fit.

use proptest::prelude::*;

use super::ArrivalProcess;
use crate::engine::{Stream, Streams};
use crate::units::SimTime;

/// The stream of a workload's arrivals at `seed`.
pub(super) fn stream(seed: u64) -> Stream {
    Streams::new(seed).stream("arrivals", 0)
}

/// The first `n` instants of `process`, which must not go backwards.
pub(super) fn instants(process: &mut dyn ArrivalProcess, seed: u64, n: usize) -> Vec<SimTime> {
    let mut rng = stream(seed);
    let instants: Vec<_> = (0..n).map(|_| process.next(&mut rng).unwrap().unwrap()).collect();
    assert!(instants.is_sorted());
    instants
}

/// The gaps between the start and the first `n` instants, in s.
pub(super) fn gaps_s(process: &mut dyn ArrivalProcess, seed: u64, n: usize) -> Vec<f64> {
    let mut last = SimTime::ZERO;
    let gap = |at: SimTime| at.since(std::mem::replace(&mut last, at)).as_secs_f64();
    instants(process, seed, n).into_iter().map(gap).collect()
}

/// The gaps of `instants` in the time of `expected`, the requests expected from the start to an
/// instant in s. By the time-rescaling theorem those of a Poisson process are Exp(1), whatever
/// its rate.
pub(super) fn rescaled_gaps(instants: &[SimTime], expected: impl Fn(f64) -> f64) -> Vec<f64> {
    let mut last = 0.0;
    let gap = |at: &SimTime| {
        let now = expected(at.as_secs_f64());
        now - std::mem::replace(&mut last, now)
    };
    instants.iter().map(gap).collect()
}

/// The law Exp(1).
pub(super) fn exponential_law(gap: f64) -> f64 {
    1.0 - libm::exp(-gap)
}

/// Mean and (population) variance.
pub(super) struct Statistics {
    pub mean: f64,
    pub variance: f64,
}

impl Statistics {
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        Self { mean, variance: values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n }
    }
}

/// Kolmogorov and Smirnov: the largest distance of the values from their `law`, which a true law
/// exceeds once in a thousand samples.
pub(super) fn assert_fits(mut values: Vec<f64>, law: impl Fn(f64) -> f64) {
    values.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    let distance = values.iter().enumerate().fold(0.0_f64, |worst, (rank, &value)| {
        let below = law(value);
        worst.max((below - rank as f64 / n).abs()).max((below - (rank + 1) as f64 / n).abs())
    });
    assert!(distance < 1.95 / n.sqrt(), "distance {distance}, {} allowed", 1.95 / n.sqrt());
}

/// Numbers as a hostile file may hold them.
pub(super) fn hostile() -> impl Strategy<Value = f64> {
    prop_oneof![
        prop_oneof![
            Just(0.0),
            Just(-0.0),
            Just(f64::NAN),
            Just(f64::INFINITY),
            Just(f64::NEG_INFINITY),
            Just(f64::MAX),
            Just(f64::MIN_POSITIVE),
            Just(5e-324),
        ],
        any::<f64>(),
        (-13.0..13.0_f64).prop_map(|exponent| libm::pow(10.0, exponent)),
        0.0..2.0_f64,
    ]
}

/// Whatever the parameters were, a process that was built keeps its promises for a while.
pub(super) fn assert_sound(built: Result<Box<dyn ArrivalProcess>, String>, requests: Option<u64>) {
    match built {
        Ok(mut process) => {
            if process.plan(requests).is_ok() {
                instants(&mut *process, 1, 60);
            }
        }
        Err(message) => {
            assert!(message.split_once(": ").is_some_and(|(field, _)| !field.contains(' ')), "{message}");
        }
    }
}
