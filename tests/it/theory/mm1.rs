//! Poisson arrivals at one server: M/D/1 and M/M/1.

use super::server::{Estimate, REPLICATIONS, mean, scenario, serve};

/// Mean waiting time of M/G/1 (Pollaczek and Khinchin): λ·E[S²] / 2(1 − ρ).
fn pollaczek_khinchin(rate: f64, service: f64, square: f64) -> f64 {
    rate * square / (2.0 * (1.0 - rate * service))
}

/// Requests of a replication, of which the first tenth is left out as the queue fills.
const REQUESTS: u32 = 40_000;

#[test]
fn deterministic_service_waits_as_pollaczek_khinchin_say() {
    for (load, precision) in [(0.5, 0.02), (0.8, 0.05)] {
        let service = 0.01;
        let rate = load / service;
        let waits: Vec<f64> = (0..REPLICATIONS)
            .map(|seed| {
                let arrivals = format!("Poisson(rate: per_s({rate:?}))");
                let text = scenario(10_000, &arrivals, "Fixed(prompt: 8, output: 1)", REQUESTS, seed);
                let (_, rows) = serve(&text);
                mean(&rows[rows.len() / 10..], |row| row.queueing().as_secs_f64())
            })
            .collect();
        let theory = pollaczek_khinchin(rate, service, service * service);
        Estimate::of(&waits).agrees_with(theory, 0.0, precision);
    }
}

/// Exponential service, as a geometric number of steps that are short against the mean: the M/M/1
/// formulas are off by one step in 400 at most, which is granted to them.
#[test]
fn exponential_service_waits_and_stays_as_in_an_mm1() {
    let (steps, step, load) = (400.0, 1e-4, 0.7);
    let bias = 1.0 / steps;
    let service = steps * step;
    let (rate, leaving) = (load / service, (1.0 - load) / service);
    let times = [0.25, 1.0, 2.0, 3.0].map(|share| share / leaving);
    let (mut waits, mut numbers, mut tails) = (Vec::new(), Vec::new(), [(); 4].map(|()| Vec::new()));
    for seed in 0..REPLICATIONS {
        let arrivals = format!("Poisson(rate: per_s({rate:?}))");
        let (outcome, rows) = serve(&scenario(100, &arrivals, "Geometric(mean: 400)", REQUESTS, seed));
        let rows = &rows[rows.len() / 10..];
        waits.push(mean(rows, |row| row.queueing().as_secs_f64()));
        numbers.push(outcome.summary.requests.mean_in_flight);
        for (tail, time) in tails.iter_mut().zip(times) {
            tail.push(mean(rows, |row| f64::from(row.e2e().as_secs_f64() > time)));
        }
    }
    let variance = step * step * (1.0 - 1.0 / steps) * steps * steps;
    let exact = pollaczek_khinchin(rate, service, service * service + variance);
    Estimate::of(&waits).agrees_with(exact, 0.0, 0.06);
    Estimate::of(&waits).agrees_with(load / leaving, bias, 0.06);
    // Little: the mean number in the system, from the run's own integral; it fills from empty.
    Estimate::of(&numbers).agrees_with(load / (1.0 - load), 0.01, 0.06);
    // The time in the system is exponential with rate μ − λ.
    for (tail, time) in tails.iter().zip(times) {
        Estimate::of(tail).agrees_with(libm::exp(-leaving * time), 2.0 * bias, 0.2);
    }
}

/// Gaps of Poisson arrivals, as records show them: exponential (Kolmogorov and Smirnov, 99.9 %) and
/// without memory (lag-one correlation within 3.3 standard errors).
#[test]
fn poisson_arrivals_have_exponential_gaps() {
    let rate = 50.0;
    let (_, rows) =
        serve(&scenario(100, "Poisson(rate: per_s(50))", "Fixed(prompt: 1, output: 1)", 50_000, 3));
    let times = rows.iter().map(|row| row.arrived.as_secs_f64());
    let gaps: Vec<f64> =
        std::iter::once(0.0).chain(times.clone()).zip(times).map(|(a, b)| (b - a) * rate).collect();
    let n = gaps.len() as f64;
    let around_mean: Vec<f64> = gaps.iter().map(|gap| gap - 1.0).collect();
    let products = around_mean.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>();
    assert!((products / n).abs() < 3.3 / n.sqrt(), "lag-one correlation {}", products / n);
    let mut sorted = gaps;
    sorted.sort_by(f64::total_cmp);
    let off = |(at, gap): (usize, &f64)| {
        let law = -libm::expm1(-gap);
        (law - at as f64 / n).abs().max((law - (at + 1) as f64 / n).abs())
    };
    let distance = sorted.iter().enumerate().map(off).fold(0.0, f64::max);
    assert!(distance < 1.95 / n.sqrt(), "distance {distance}");
}
