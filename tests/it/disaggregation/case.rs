//! Random deployments of clients that prefill, decode, do both, or lend themselves, short of memory.

use std::fmt::Write;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// A scenario, as the choices that make it up.
#[derive(Clone, Debug)]
pub struct Case {
    seed: u64,
    /// Clients that prefill, decode, and do both.
    clients: [u32; 3],
    /// Whether the first two lend themselves.
    pub lends: [bool; 2],
    routing: &'static str,
    at_arrival: bool,
    blocks: u32,
    block_size: u32,
    reserved: u32,
    batching: &'static str,
    packing: &'static str,
    kv: &'static str,
    /// Tokens that prompts have in common, and turns of a conversation.
    shared: [u32; 2],
    bandwidth: f64,
    local: bool,
    latency_us: u32,
    rate: f64,
    requests: u32,
    pipeline: &'static str,
}

const ROUTING: [&str; 6] = [
    "RoundRobin",
    "Random",
    "LeastOutstanding",
    "TokenJsq",
    "MixedPool(max_pending_tokens: 100, expected_output_tokens: 20)",
    "MixedPool(max_pending_tokens: 100, expected_output_tokens: 20)",
];

const BATCHING: [&str; 9] = [
    "Chunked(max_num_batched_tokens: 64)",
    "Chunked(max_num_batched_tokens: 512)",
    "Chunked(max_num_batched_tokens: 64, reserve: ChunkIfAllFits, long_prefill_token_threshold: 20)",
    "Chunked(max_num_batched_tokens: 128, reserve: Prompt, watermark: 0.01)",
    "Continuous(max_num_batched_tokens: 512)",
    "Mixed(max_num_batched_tokens: 128)",
    "SGLang(chunked_prefill_size: 64, max_new_tokens: 20)",
    "Orca(max_num_batched_tokens: 512, max_request_tokens: 100)",
    "Static(max_num_batched_tokens: 512, max_request_tokens: 100)",
];

const PACKING: [&str; 6] = [
    "Fcfs",
    "ShortestPrompt",
    "LeastWorkLeft(expected_output: 12)",
    "Priority",
    "Priority(ageing: ms(5))",
    "LongestPrefixMatch",
];

/// What becomes of KV, where the client has both parts and may cache prefixes.
const KV: [&str; 4] =
    ["", "preemption: Swap(host_memory: mib(2)), ", "prefix_caching: BlockHash, ", "prefix_caching: Radix, "];

const PIPELINES: [&str; 4] = [
    "[Prefill, Decode]",
    "[Prefill, Reason(tokens: Exactly(5)), Decode]",
    "[Prefill, Parallel(branches: [[Decode], [Decode]])]",
    "[Prefill, Decode, ToolCall(takes: Exactly(ms(2)), adds: Exactly(7)), Prefill, Decode]",
];

/// A routing policy that borrows nobody.
fn without_loans(routing: &'static str) -> &'static str {
    if routing.starts_with("MixedPool") { "TokenJsq" } else { routing }
}

fn cases() -> impl Strategy<Value = Case> {
    let clients = (1_u32..=2, 1_u32..=2, 0_u32..=1, any::<[bool; 2]>());
    let memory = (prop_oneof![3 => 8_u32..40, 1 => 40_u32..400], prop::sample::select(vec![1_u32, 4, 16]));
    let control = (
        prop::sample::select(ROUTING.to_vec()),
        any::<bool>(),
        (prop::sample::select(BATCHING.to_vec()), prop::sample::select(PACKING.to_vec())),
        (prop::sample::select(KV.to_vec()), [0_u32..30, 1_u32..4]),
        prop::sample::select(PIPELINES.to_vec()),
    );
    let links = (prop::sample::select(vec![0.01, 1.0, 1e6]), any::<bool>(), 0_u32..300);
    let load = (20.0_f64..3000.0, 5_u32..50, prop_oneof![Just(0_u32), Just(16)]);
    (any::<u64>(), clients, memory, control, links, load).prop_map(
        |(seed, clients, (blocks, block_size), control, links, (rate, requests, reserved))| Case {
            seed,
            clients: [clients.0, clients.1, clients.2],
            // Where nobody borrows, to lend is refused, and to borrow where nobody lends.
            lends: if control.0.starts_with("MixedPool") { clients.3 } else { [false; 2] },
            routing: if clients.3 == [false; 2] { without_loans(control.0) } else { control.0 },
            at_arrival: control.1,
            batching: control.2.0,
            packing: control.2.1,
            kv: control.3.0,
            shared: control.3.1,
            pipeline: control.4,
            // In any case as many as the longest request needs.
            blocks: (blocks * 16 / block_size).max(220 / block_size),
            block_size,
            reserved,
            bandwidth: links.0,
            local: links.1,
            latency_us: links.2,
            rate,
            requests,
        },
    )
}

/// Runs `test` on so many random cases.
pub fn on_random_cases(count: u32, test: impl Fn(&Case)) {
    let config =
        Config { cases: count, failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
    let outcome = TestRunner::new(config).run(&cases(), |case| {
        test(&case);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

impl Case {
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The scenario in RON.
    pub fn ron(&self) -> String {
        let mut clients = String::new();
        let parts = [("prefill", "Prefill"), ("decode", "Decode"), ("both", "Both")];
        for (at, (name, role)) in parts.into_iter().enumerate() {
            if self.clients[at] == 0 {
                continue;
            }
            let lends = self.lends.get(at).is_some_and(|lends| *lends);
            let receives = self.reserved > 0 && (name != "prefill" || lends);
            let reserved = if receives {
                format!("num_reserved_decode_tokens: {}, ", self.reserved)
            } else {
                String::new()
            };
            let (kv, packing) = self.kv_and_packing(name != "decode");
            write!(
                clients,
                "(name: \"{name}\", count: {}, cluster: Take(platform: \"p\", nodes: [(\"gpu\", 1)]), \
                 runs: Llm(model: \"Qwen2.5-0.5B\", role: {role}, lends: {lends}, block_size: {}, \
                 num_gpu_blocks: {}, max_num_seqs: 32, {reserved}{kv}\
                 batching: {}, packing: {packing})),",
                self.clients[at], self.block_size, self.blocks, self.batching
            )
            .unwrap();
        }
        let local = if self.local { ", local: (bandwidth: gb_per_s(100), latency: us(3))" } else { "" };
        let choice = if self.at_arrival { "AtArrival" } else { "AfterPrefill" };
        format!(
            "(mist: 1, seed: {}, platforms: [(name: \"p\", count: 3, usd_per_hour: 1, \
             nodes: [(name: \"gpu\", hardware: \"L40S\", count: 2)])], clients: [{clients}], \
             coordinator: (routing: {}, latency: us({}), decode_choice: {choice}, \
             kv_transfer: (bandwidth: gb_per_s({:?}), latency: us({}){local})), \
             workload: [(name: \"w\", model: \"Qwen2.5-0.5B\", requests: {}, pipeline: {}, {}\
             arrivals: Poisson(rate: per_s({:?})), lengths: Uniform(prompt: (mean: 50, range_ratio: 0.9), \
             output: (mean: 12, range_ratio: 0.95)))])",
            self.seed,
            self.routing,
            self.latency_us / 2,
            self.bandwidth,
            self.latency_us,
            self.requests,
            self.pipeline,
            self.shared(),
            self.rate,
        )
    }

    /// What becomes of KV and who is first, as far as that goes with the batching and the client's role.
    fn kv_and_packing(&self, both: bool) -> (&str, &str) {
        let caches = both && self.kv.contains("prefix");
        let reserves = self.batching.contains("max_request_tokens");
        let swaps = self.kv.contains("Swap") && !reserves;
        let matches = self.packing == "LongestPrefixMatch" && !caches;
        (if caches || swaps { self.kv } else { "" }, if matches { "Fcfs" } else { self.packing })
    }

    fn shared(&self) -> String {
        let [tokens, turns] = self.shared;
        let mut text = String::new();
        if tokens > 0 {
            write!(text, "prefix: [System(tokens: {tokens})], ").unwrap();
        }
        if turns > 1 {
            write!(text, "sessions: (turns: Exactly({turns}), think: Exactly(ms(1))), ").unwrap();
        }
        text
    }
}
