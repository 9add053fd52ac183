//! What §II-B and §V-A of the paper say of batching strategies, on one H100 with the analytical model.

use mist::metrics::Summary;
use mist::simulation::Simulation;

use crate::scenarios::run;

/// A scenario of one server under these classes of traffic.
fn served(runs: &str, workload: &str) -> Summary {
    let text = format!(
        "(mist: 1, seed: 5, \
         platforms: [(name: \"p\", nodes: [(name: \"gpu\", hardware: \"H100-SXM5-80GB\")])], \
         clients: [(name: \"server\", cluster: Take(platform: \"p\", nodes: [(\"gpu\", 1)]), \
           runs: Llm(model: \"Llama-3.1-8B\", max_num_seqs: 128, {runs}))], \
         workload: [{workload}])"
    );
    let summary = run(&Simulation::new(), &text).0.summary;
    assert_eq!(summary.requests.completed, summary.requests.arrived);
    summary
}

fn class(name: &str, requests: u32, rate: f64, lengths: &str) -> String {
    format!(
        "(name: \"{name}\", model: \"Llama-3.1-8B\", requests: {requests}, \
         arrivals: Poisson(rate: per_s({rate:?})), lengths: {lengths}),"
    )
}

fn gap_p99_ms(summary: &Summary) -> f64 {
    summary.itl.as_ref().unwrap().p99_ms
}

fn ttft_ms(summary: &Summary) -> f64 {
    summary.latency.ttft.as_ref().unwrap().mean_ms
}

const CHUNKED: &str = "batching: Chunked(max_num_batched_tokens: 512)";
const CONTINUOUS: &str = "batching: Continuous(max_num_batched_tokens: 16384)";

/// Chunked batching lets prefill "run alongside decode, avoiding the stalls seen in prefill-prioritized
/// strategies like continuous batching".
#[test]
fn chunked_keeps_gaps_below_continuous_under_long_prefills() {
    let traffic = class("long", 200, 2.0, "Fixed(prompt: 6000, output: 150)");
    let (chunked, continuous) = (served(CHUNKED, &traffic), served(CONTINUOUS, &traffic));
    let (ours, theirs) = (gap_p99_ms(&chunked), gap_p99_ms(&continuous));
    assert!(5.0 * ours < theirs, "{ours} against {theirs} ms");
}

/// "When a request with a large number of prefill tokens is injected into a chunked batching deployment, the
/// TBT P99 degrades." The same in one that is disaggregated is a test of its own.
#[test]
fn a_long_prompt_degrades_the_gaps_of_a_chunked_deployment() {
    let chat = class("chat", 400, 8.0, "Fixed(prompt: 200, output: 100)");
    let long = class("long", 10, 0.25, "Fixed(prompt: 60000, output: 2)");
    let chunked = "batching: Chunked(max_num_batched_tokens: 2048)";
    let (calm, injected) = (served(chunked, &chat), served(chunked, &(chat + &long)));
    let (before, after) = (gap_p99_ms(&calm), gap_p99_ms(&injected));
    assert!(after > 2.0 * before, "{before} and then {after} ms");
}

/// In static batching "new requests wait until the current request fully completes".
#[test]
fn static_batching_has_the_worst_ttft_under_load() {
    let traffic = class("chat", 400, 6.0, "AzureConv");
    let ttft = |batching: &str| ttft_ms(&served(batching, &traffic));
    let worst = ttft("batching: Static(max_num_batched_tokens: 16384, max_request_tokens: 4096)");
    for other in [
        "batching: Continuous(max_num_batched_tokens: 16384)",
        "batching: Orca(max_num_batched_tokens: 16384, max_request_tokens: 4096)",
        "batching: Mixed",
        "batching: Chunked",
        "batching: SGLang(max_new_tokens: 1024)",
    ] {
        let found = ttft(other);
        assert!(10.0 * found < worst, "{other}: {found} against {worst} ms");
    }
}

/// Prompts go first where they are shortest, and urgent ones where priorities count.
#[test]
fn packing_moves_waiting_to_whom_it_puts_last() {
    let one = class("short", 150, 6.0, "Fixed(prompt: 200, output: 200)");
    let other = class("long", 150, 6.0, "Fixed(prompt: 4000, output: 200)");
    let urgent = other.replace("requests:", "priority: -1, requests:");
    let ttft = |packing: &str, other: &str| {
        let runs = format!("batching: Chunked(max_num_batched_tokens: 1024), packing: {packing}");
        let summary = served(&runs, &(one.clone() + other));
        [0, 1].map(|at| summary.sources[at].latency.ttft.as_ref().unwrap().mean_ms)
    };
    let fcfs = ttft("Fcfs", &other);
    for packing in ["ShortestPrompt", "LeastWorkLeft"] {
        let shortest = ttft(packing, &other);
        assert!(
            2.0 * shortest[0] < fcfs[0] && shortest[1] > fcfs[1],
            "{packing}: {shortest:?}, not {fcfs:?}"
        );
    }
    let priority = ttft("Priority", &urgent);
    assert!(priority[1] < fcfs[1] && priority[0] > fcfs[0], "{priority:?} instead of {fcfs:?}");
    let aged = ttft("Priority(ageing: ms(1))", &urgent);
    let like_fcfs = aged.iter().zip(&fcfs).all(|(aged, fcfs)| (aged / fcfs - 1.0).abs() < 0.05);
    assert!(like_fcfs, "a class that is worth a millisecond changes nothing: {aged:?}, {fcfs:?}");
}
