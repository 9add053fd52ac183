//! Workers that share a queue, against the M/M/c formulas.

use mist::simulation::Simulation;

use super::server::{Estimate, REPLICATIONS, mean};
use crate::scenarios::run;

const REQUESTS: u32 = 20_000;

/// Erlang's C formula: the chance that all of `servers` are busy at `load` erlangs.
fn erlang_c(servers: u32, load: f64) -> f64 {
    // Erlang's B by its recursion, then C from B.
    let b = (1..=servers).fold(1.0, |b, n| load * b / (f64::from(n) + load * b));
    let rho = load / f64::from(servers);
    b / (1.0 - rho + rho * b)
}

fn tools(workers: u32, rate: f64, seed: u64) -> String {
    format!(
        "(mist: 1, seed: {seed}, \
         platforms: [(name: \"p\", nodes: [(name: \"cpu\", hardware: \"EPYC 7763 (Milan 64c)\")], \
           usd_per_hour: 1)], \
         clients: [(name: \"tools\", cluster: Take(platform: \"p\", nodes: [(\"cpu\", 1)]), \
           runs: Tools(workers: {workers}))], \
         workload: [(name: \"w\", requests: {REQUESTS}, arrivals: Poisson(rate: per_s({rate})), \
           lengths: Fixed(prompt: 10, output: 10), \
           pipeline: [RunTool(takes: Exponential(mean: ms(100)), adds: Exactly(5))])])"
    )
}

#[test]
fn tools_wait_for_workers_as_in_an_mmc_queue() {
    for (workers, rho) in [(1, 0.6), (3, 0.8), (16, 0.9)] {
        let load = rho * f64::from(workers);
        let theory = erlang_c(workers, load) * 0.1 / (f64::from(workers) - load);
        let waits: Vec<f64> = (0..REPLICATIONS)
            .map(|seed| {
                let (_, rows) = run(&Simulation::new(), &tools(workers, load * 10.0, seed));
                assert_eq!(rows.len(), REQUESTS as usize);
                mean(&rows, |row| row.queueing().as_secs_f64())
            })
            .collect();
        Estimate::of(&waits).agrees_with(theory, 0.01, 0.25);
    }
}
