//! A closed loop: N users who think for Z, wait for R, and think again. X = N / (R + Z).

use mist::metrics::RequestRecord;

use super::server::{Estimate, REPLICATIONS, mean, scenario, serve};

/// The law as it holds for every run: the cycles of all users tile N times the run, but for the
/// last cycle of each.
fn cycles_tile_the_run(rows: &[RequestRecord], users: f64, think: f64) {
    let end = rows.iter().map(|row| row.done.as_secs_f64()).fold(0.0, f64::max);
    let cycles: f64 = rows.iter().map(|row| row.e2e().as_secs_f64() + think).sum();
    let longest = rows.iter().map(|row| row.e2e().as_secs_f64() + think).fold(0.0, f64::max);
    assert!((cycles - users * end).abs() <= users * longest, "{cycles} s of cycles in {users} × {end} s");
}

#[test]
fn deterministic_loops_settle_exactly() {
    // Few users never wait: R = D. Many keep the server busy: X = 1/D, R = N·D − Z.
    for (users, think_ms, response_ms) in [(2, 50, 10), (8, 20, 60)] {
        let arrivals = format!("ClosedLoop(concurrency: {users}, think_time: ms({think_ms}))");
        let (_, rows) = serve(&scenario(10_000, &arrivals, "Fixed(prompt: 4, output: 1)", 2_000, 0));
        let settled = &rows[rows.len() / 2..];
        assert!(settled.iter().all(|row| row.e2e().as_ns() == response_ms * 1_000_000));
        cycles_tile_the_run(&rows, f64::from(users), f64::from(think_ms) / 1e3);
        let (first, last) = (settled[0].done, settled[settled.len() - 1].done);
        let throughput = (settled.len() - 1) as f64 / last.since(first).as_secs_f64();
        let law = f64::from(users) * 1e3 / f64::from(response_ms as u32 + think_ms);
        assert!((throughput / law - 1.0).abs() < 2e-3, "{throughput}/s, the law says {law}/s");
    }
}

/// Exponential service and constant thinking: mean value analysis is exact, as the law of thinking
/// does not matter. Service in steps, 200 to the mean, is off by one step at most.
#[test]
fn random_loops_follow_mean_value_analysis() {
    let (users, think, service) = (6_u32, 0.05, 0.02);
    let mut queue = 0.0;
    let (mut response, mut throughput) = (0.0, 0.0);
    for n in 1..=users {
        response = service * (1.0 + queue);
        throughput = f64::from(n) / (response + think);
        queue = throughput * response;
    }
    let (mut responses, mut throughputs) = (Vec::new(), Vec::new());
    for seed in 0..REPLICATIONS {
        let arrivals = format!("ClosedLoop(concurrency: {users}, think_time: s({think:?}))");
        let (_, rows) = serve(&scenario(100, &arrivals, "Geometric(mean: 200)", 4_000, seed));
        cycles_tile_the_run(&rows, f64::from(users), think);
        let settled = &rows[rows.len() / 10..];
        responses.push(mean(settled, |row| row.e2e().as_secs_f64()));
        let span = settled[settled.len() - 1].done.since(settled[0].done);
        throughputs.push((settled.len() - 1) as f64 / span.as_secs_f64());
    }
    Estimate::of(&responses).agrees_with(response, 1.0 / 200.0, 0.03);
    Estimate::of(&throughputs).agrees_with(throughput, 1.0 / 200.0, 0.03);
}
