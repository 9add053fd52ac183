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

/// 32 sequences decode together in steps of 1 ms, and each token takes `token_us` to hand on.
fn streamed(front_end: &str) -> Vec<RequestRecord> {
    let arrivals = "ClosedLoop(concurrency: 32, think_time: ms(0))";
    let text = scenario(1_000, arrivals, "Fixed(prompt: 1, output: 200)", 1_600, 0);
    serve(&text.replace("max_num_seqs: 1,", &format!("max_num_seqs: 64, {front_end}"))).1
}

#[test]
fn a_front_end_that_takes_no_time_changes_nothing() {
    let (with, without) = (streamed("front_end: (token: s(0)),"), streamed(""));
    let times = |rows: &[RequestRecord]| -> Vec<_> {
        rows.iter().map(|row| [row.arrived, row.started, row.first_token, row.done]).collect()
    };
    assert_eq!(times(&with), times(&without));
}

/// 32 tokens a millisecond are made; the front end is the bottleneck of a closed network: X = 1/token, and the time that
/// requests take is what Little's law leaves them.
#[test]
fn a_slow_front_end_is_the_bottleneck() {
    let tokens_per_s = |rows: &[RequestRecord]| {
        let settled = &rows[rows.len() / 4..];
        let span = settled[settled.len() - 1].done.since(settled[0].done).as_secs_f64();
        let e2e = mean(settled, |row| row.e2e().as_secs_f64());
        ((settled.len() - 1) as f64 * 200.0 / span, e2e)
    };
    for (front_end, law) in [
        ("front_end: (token: us(100)),", 10_000.0),
        // 100 tokens in the mean: (1 + … + 200)/200.
        ("front_end: (token: us(50), written_token: us(0.5)),", 1e6 / (50.0 + 0.5 * 100.5)),
    ] {
        let (found, e2e) = tokens_per_s(&streamed(front_end));
        assert!((found / law - 1.0).abs() < 0.03, "{front_end} {found} tokens/s, the law says {law}");
        assert!((e2e * found / (32.0 * 200.0) - 1.0).abs() < 0.03, "{e2e} s");
    }
    let (fast, _) = tokens_per_s(&streamed("front_end: (token: us(10)),"));
    assert!(fast > 30_000.0, "{fast}");
}
