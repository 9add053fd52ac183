//! splitwise-sim's semantics on MIST, against results of an independent re-implementation on loads made by
//! formula (`splitwise.csv`). The full comparison with recorded runs is
//! `cargo run --release --example parity_splitwise -- FACTS_DIR`.

use std::fmt::Write;

use mist::simulation::Simulation;

#[allow(dead_code, unreachable_pub, reason = "the example uses all of it")]
#[path = "../../../examples/parity_splitwise/reference/mod.rs"]
mod reference;

use reference::{Cluster, Job, Limits, Memory, Router, Rule, SplitwiseSim};

use crate::scenarios::{Rows, read};

const RECORDED: &str = include_str!("splitwise.csv");

/// Bytes that the KV of a token takes in Qwen2.5-0.5B; the re-implementation has it move 100,000 a second.
const TOKEN: f64 = 12_288.0;

/// A run of the re-implementation.
struct Small {
    name: &'static str,
    rule: Rule,
    orca: bool,
    /// Instances that prefill, or do both, and that decode.
    instances: [usize; 2],
    /// Tokens of KV that each holds.
    tokens: u64,
    /// Mean time between arrivals [s].
    gap: f64,
}

const RUNS: [Small; 5] = [
    small("mixed_pool", Rule::MixedPool, [4, 2], 9_000, 0.05),
    small("kv_jsq", Rule::Jsq, [3, 2], 6_000, 0.08),
    small("kv_round_robin", Rule::RoundRobin, [3, 2], 6_500, 0.08),
    small("token_jsq", Rule::TokenJsq, [3, 0], 12_000, 0.06),
    Small { orca: true, ..small("orca_round_robin", Rule::RoundRobin, [3, 0], 8_000, 0.08) },
];

const fn small(name: &'static str, rule: Rule, instances: [usize; 2], tokens: u64, gap: f64) -> Small {
    Small { name, rule, orca: false, instances, tokens, gap }
}

/// 150 requests, drawn by a linear congruential generator.
fn jobs(gap: f64) -> Vec<Job> {
    let mut state: u64 = 12_345;
    let mut draw = || {
        state = (state * 1_103_515_245 + 12_345) % (1 << 31);
        state as f64 / f64::from(1_u32 << 31)
    };
    let mut arrival = 0.0;
    let mut job = || {
        let (u, v, w) = (draw(), draw(), draw());
        arrival += gap * (0.1 + 1.8 * u);
        Job { arrival, prompt: 10 + (2500.0 * v * v) as u32, output: 2 + (150.0 * w) as u32 }
    };
    (0..150).map(|_| job()).collect()
}

/// The scenario of a run, and its trace.
fn scenario(run: &Small, trace: &str) -> String {
    let [prefills, decodes] = run.instances;
    let points: Vec<String> = [128, 256, 512, 1024, 2048, 4096, 8192]
        .map(f64::from)
        .map(|tokens| format!("({tokens:?}, {:?}, {:?})", 0.04 + 4e-5 * tokens, 0.03 + 1e-5 * tokens))
        .into();
    let mut clients = String::new();
    for at in 0..prefills + decodes {
        let role = match (decodes, at < prefills) {
            (0, _) => "Both",
            (_, true) => "Prefill",
            (_, false) => "Decode",
        };
        let lends = run.rule == Rule::MixedPool;
        write!(
            clients,
            "(name: \"i{at}\", cluster: Take(platform: \"p\", nodes: [(\"gpu\", 1)]), runs: Llm(model: \
             \"Qwen2.5-0.5B\", role: {role}, lends: {lends}, block_size: 1, num_gpu_blocks: {}, max_num_seqs: 2048, \
             batching: ReferenceInstance(instance: {at}), runtime: Knots(points: [{}]))),",
            run.tokens,
            points.join(", ")
        )
        .unwrap();
    }
    let gb = TOKEN * 1e5 / 1e9;
    let pools = if decodes == 0 {
        String::new()
    } else {
        format!(", kv_transfer: (bandwidth: gb_per_s({gb:?})), decode_choice: AtArrival")
    };
    format!(
        "(mist: 1, platforms: [(name: \"p\", nodes: [(name: \"gpu\", hardware: \"H100-SXM5-80GB\", count: {})])], \
         clients: [{clients}], coordinator: (routing: Reference{pools}), \
         workload: [(name: \"w\", model: \"Qwen2.5-0.5B\", trace: (path: {trace:?}))])",
        prefills + decodes
    )
}

/// First token and end of each request [ns].
fn served(run: &Small) -> Vec<(u64, u64)> {
    let jobs = jobs(run.gap);
    let file = std::env::temp_dir().join(format!("mist-{}-{}.jsonl", std::process::id(), run.name));
    let mut trace = "{\"mist_trace\":1,\"block_tokens\":16}\n".to_owned();
    for Job { arrival, prompt, output } in &jobs {
        let ns = (arrival * 1e9).round();
        writeln!(trace, "{{\"arrival_ns\":{ns},\"prompt_tokens\":{prompt},\"output_tokens\":{output}}}")
            .unwrap();
    }
    std::fs::write(&file, trace).unwrap();
    let memory = Memory { capacity: run.tokens * 1_000, weights: 0, token: 1_000 };
    let limits = (!run.orca).then_some(Limits { size: 512, tokens: 2048, preemptions: 4 });
    let router = Router::new(run.rule, run.instances[0], run.instances[1]);
    let simulation = Simulation::new().with(SplitwiseSim::new(Cluster::new(jobs, memory, limits, router)));
    let mut ready = read(&simulation, &scenario(run, &file.display().to_string()));
    let rows = Rows::of(&mut ready);
    ready.run().unwrap();
    std::fs::remove_file(&file).unwrap();
    let mut rows = rows.take();
    rows.sort_by_key(|row| row.id);
    rows.iter().map(|row| (row.first_token.as_ns(), row.done.as_ns())).collect()
}

#[test]
fn every_request_is_served_as_by_splitwise_sim() {
    for run in RUNS {
        let recorded: Vec<(u64, u64)> = RECORDED
            .lines()
            .filter_map(|line| line.strip_prefix(run.name)?.strip_prefix(','))
            .map(|line| {
                let numbers: Vec<u64> = line.split(',').map(|number| number.parse().unwrap()).collect();
                (numbers[1], numbers[2])
            })
            .collect();
        let served = served(&run);
        assert_eq!((served.len(), recorded.len()), (150, 150), "{}", run.name);
        for (at, (own, other)) in served.iter().zip(&recorded).enumerate() {
            let off = own.0.abs_diff(other.0).max(own.1.abs_diff(other.1));
            assert!(off < 2_000, "request {at} of {} is {off} ns off: {own:?}, {other:?}", run.name);
        }
    }
}
