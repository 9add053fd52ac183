//! Random deployments under random pipelines: little KV, two models, roles, task clients.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};

use super::tree::{self, MODELS, Node};
use crate::scenarios::Server;

/// A scenario, as the few choices that make it up.
#[derive(Clone, Debug)]
pub struct Case {
    seed: u64,
    pipelines: Vec<Vec<Node>>,
    requests: u32,
    arrivals: &'static str,
    prompt: u32,
    output: u32,
    /// Of each model.
    servers: [Servers; 2],
    latency_us: u32,
    transfer_us: u32,
    routing: &'static str,
    cores: u32,
    max_batch: u32,
    runtime: &'static str,
}

/// How a model is served.
#[derive(Clone, Debug)]
struct Servers {
    split: bool,
    count: u32,
    blocks: [u32; 2],
    block_size: u32,
    max_num_seqs: u32,
    budget: u32,
    max_model_len: u32,
    batching: &'static str,
    caching: &'static str,
}

fn servers() -> impl Strategy<Value = Servers> {
    let kv = ([12_u32..60, 12_u32..60], prop::sample::select(vec![1_u32, 4, 16]));
    let policies = prop::sample::select(vec![
        "Chunked(max_num_batched_tokens: ",
        "Chunked(reserve: Prompt, max_num_batched_tokens: ",
        "Continuous(max_num_batched_tokens: ",
        "Orca(max_request_tokens: 150, max_num_batched_tokens: ",
        "Static(max_request_tokens: 150, max_num_batched_tokens: ",
        "Mixed(max_num_batched_tokens: ",
        "SGLang(max_new_tokens: 20, chunked_prefill_size: ",
    ]);
    let caching = prop::sample::select(vec!["Off", "BlockHash", "Radix"]);
    let batching = (1_u32..12, prop_oneof![1 => 1_u32..60, 2 => 60_u32..500], policies);
    let length = prop_oneof![4 => Just(2_000_u32), 1 => 40_u32..200];
    (prop::bool::weighted(0.3), 1_u32..=2, kv, batching, length, caching).prop_map(
        |(split, count, (blocks, block_size), (max_num_seqs, budget, batching), max_model_len, caching)| {
            Servers {
                split,
                count,
                // Enough for a prompt and some of what comes of it.
                blocks: blocks.map(|blocks| blocks + if block_size == 1 { 90 } else { 0 }),
                block_size,
                max_num_seqs,
                budget,
                max_model_len,
                batching,
                caching,
            }
        },
    )
}

pub fn cases() -> impl Strategy<Value = Case> {
    let arrivals =
        ["AllAtOnce", "Poisson(rate: per_s(300))", "Uniform(rate: per_s(500))", "ClosedLoop(concurrency: 3)"];
    let load = (1_u32..10, prop::sample::select(arrivals.to_vec()), 1_u32..60, 1_u32..30);
    let net = (
        prop_oneof![2 => Just(0_u32), 1 => 1_u32..2_000],
        prop_oneof![1 => Just(0_u32), 2 => 1_u32..2_000],
        prop::sample::select(vec!["RoundRobin", "Random", "LeastOutstanding"]),
    );
    let tasks = (1_u32..=3, 1_u32..=3);
    let runtime = prop::sample::select(vec!["Constant(step: ms(1))", "Analytical()"]);
    let pipelines = prop::collection::vec(tree::pipelines(), 1..=2);
    let servers = [servers(), servers()];
    (any::<u64>(), pipelines, load, servers, net, tasks, runtime).prop_map(
        |(seed, pipelines, load, servers, net, (cores, max_batch), runtime)| {
            let (requests, arrivals, prompt, output) = load;
            let (latency_us, transfer_us, routing) = net;
            Case {
                seed,
                pipelines,
                requests,
                arrivals,
                prompt,
                output,
                servers,
                latency_us,
                transfer_us,
                routing,
                cores,
                max_batch,
                runtime,
            }
        },
    )
}

/// Runs `test` on so many random scenarios; a failure shows the smallest scenario found that fails.
pub fn on_random_cases(count: u32, test: impl Fn(&Case)) {
    let config =
        Config { cases: count, failure_persistence: None, max_shrink_iters: 1_000, ..Config::default() };
    let outcome = TestRunner::new(config).run(&cases(), |case| {
        test(&case);
        Ok(())
    });
    match outcome {
        Err(TestError::Fail(why, case)) => panic!("{why}\n{}", case.ron()),
        Err(failure) => panic!("{failure}"),
        Ok(()) => {}
    }
}

impl Case {
    /// The scenario in RON.
    pub fn ron(&self) -> String {
        let clients: Vec<String> =
            self.servers.iter().zip(MODELS).map(|(s, model)| s.ron(model, self.runtime)).collect();
        let workload: Vec<String> =
            self.pipelines.iter().enumerate().map(|(at, nodes)| self.class(at, nodes)).collect();
        let Self { seed, latency_us, transfer_us, routing, cores, max_batch, .. } = self;
        format!(
            "(mist: 1, seed: {seed}, platforms: [(name: \"p\", \
               nodes: [(name: \"gpu\", hardware: \"{HARDWARE}\", count: 16)], usd_per_hour: 1)], \
             clients: [{} \
               (name: \"oven\", cluster: {TAKE}, runs: Oven(max_batch: {max_batch})), \
               (name: \"desk\", count: 2, cluster: {TAKE}, runs: Desk(cores: {cores}))], \
             coordinator: (routing: {routing}, latency: us({latency_us}), \
               kv_transfer: (bandwidth: gb_per_s(20), latency: us({transfer_us}))), \
             workload: [{}])",
            clients.concat(),
            workload.concat()
        )
    }

    fn class(&self, at: usize, nodes: &[Node]) -> String {
        let Self { seed, requests, arrivals, prompt, output, .. } = self;
        let mut pipeline = tree::ron(nodes);
        // Who asks for a score must be given one.
        let asks = pipeline.contains("when: Score") || pipeline.contains("until: Score");
        if asks && !pipeline.contains("Score(model") && !pipeline.contains("Stamp") {
            pipeline.insert_str(1, &format!("Score(model: \"{}\"), ", MODELS[1]));
        }
        // The model may be left out only where every stage names its own.
        let asks =
            pipeline.replace("Prefill(model", "").contains("Prefill") || pipeline.contains("ChooseModel");
        let model = if asks { format!("model: \"{}\", ", MODELS[0]) } else { String::new() };
        format!(
            "(name: \"w{at}\", {model}requests: {requests}, arrivals: {arrivals}, lengths: Normal(\
               prompt: (mean: {prompt}, std_dev: {at}), output: (mean: {output}, std_dev: {})), \
             prefix: [System(tokens: {})], pipeline: {pipeline}),",
            at * *output as usize / 2,
            seed % 20 + 1
        )
    }
}

const HARDWARE: &str = "H100-SXM5-80GB";
const TAKE: &str = "Take(platform: \"p\", nodes: [(\"gpu\", 1)])";

impl Servers {
    fn ron(&self, model: &'static str, runtime: &str) -> String {
        if self.split {
            self.client(model, 0, "role: Prefill, ", runtime)
                + &self.client(model, 1, "role: Decode, ", runtime)
        } else {
            self.client(model, 0, "", runtime)
        }
    }

    fn client(&self, model: &'static str, part: usize, role: &str, runtime: &str) -> String {
        let Self { count, block_size, max_num_seqs, max_model_len, .. } = *self;
        let max_num_batched_tokens = max_num_seqs + self.budget;
        let server = Server {
            model,
            hardware: HARDWARE,
            tensor_parallel: 1,
            max_num_batched_tokens,
            max_num_seqs,
            block_size,
        };
        let utilization = server.utilization_for(self.blocks[part]);
        let Self { batching, caching, .. } = self;
        let caching = if part == 1 { "Off" } else { caching };
        format!(
            "(name: \"{model}{part}\", count: {count}, cluster: {TAKE}, \
             runs: Llm(model: \"{model}\", block_size: {block_size}, max_num_seqs: {max_num_seqs}, {role}\
               gpu_memory_utilization: {utilization:?}, max_model_len: {max_model_len}, runtime: {runtime}, \
               prefix_caching: {caching}, batching: {batching}{max_num_batched_tokens}))),"
        )
    }
}
