//! A client that prefills and one that decodes, one sequence at a time and with KV that moves at once, are two
//! servers in a row.

use mist::metrics::RequestRecord;
use mist::units::SimTime;

use crate::theory::server::serve;

const PREFILL: u64 = 7_000_000;
const STEP: u64 = 300_000;

fn scenario(seed: u64, choice: &str) -> String {
    let client = |name: &str, role: &str, step_us: u64| {
        format!(
            "(name: \"{name}\", cluster: Take(platform: \"p\", nodes: [(\"gpu\", 1)]), runs: Llm(model: \
             \"Qwen2.5-0.5B\", role: {role}, max_num_seqs: 1, batching: Chunked(max_num_batched_tokens: 64), \
             runtime: Constant(step: us({step_us}))))"
        )
    };
    format!(
        "(mist: 1, seed: {seed}, \
         platforms: [(name: \"p\", nodes: [(name: \"gpu\", hardware: \"H100-SXM5-80GB\", count: 2)])], \
         clients: [{}, {}], \
         coordinator: (kv_transfer: (bandwidth: tb_per_s(1e12)), decode_choice: {choice}), \
         workload: [(name: \"w\", model: \"Qwen2.5-0.5B\", requests: 3000, \
           arrivals: Poisson(rate: per_s(110)), lengths: Geometric(mean: 25))])",
        client("first", "Prefill", PREFILL / 1_000),
        client("second", "Decode", STEP / 1_000),
    )
}

/// Lindley's recursion, once for each server.
fn tandem(rows: &[RequestRecord]) -> Vec<(u64, u64)> {
    let (mut first_free, mut second_free) = (0, 0);
    let serve = |row: &RequestRecord| {
        first_free = row.arrived.as_ns().max(first_free) + PREFILL;
        let steps = u64::from(row.output_tokens - 1);
        if steps == 0 {
            return (first_free, first_free);
        }
        // KV takes the least there is: a nanosecond.
        second_free = (first_free + 1).max(second_free) + steps * STEP;
        (first_free, second_free)
    };
    rows.iter().map(serve).collect()
}

#[test]
fn every_request_is_served_as_in_a_tandem_queue() {
    for (seed, choice) in [(1, "AfterPrefill"), (2, "AfterPrefill"), (3, "AtArrival")] {
        let (outcome, mut rows) = serve(&scenario(seed, choice));
        assert_eq!(outcome.summary.requests.completed, 3_000);
        rows.sort_by_key(|row| row.id);
        let found: Vec<_> = rows.iter().map(|row| [row.first_token, row.done].map(SimTime::as_ns)).collect();
        let expected: Vec<_> = tandem(&rows).into_iter().map(|(first, done)| [first, done]).collect();
        assert_eq!(found, expected);
        let waits = rows.iter().filter(|row| row.queueing().as_ns() > 0).count();
        assert!(waits > 1_000, "the first server is busy: {waits} waited");
    }
}
