//! Random clients on random hardware, many with so few KV blocks that they preempt and reject.

use mist::catalog::{Catalog, Precision};
use mist::memory::{KvGroups, KvSizing, Spread};
use proptest::prelude::*;

use super::policies::{Policies, policies};

const MODELS: [&str; 6] =
    ["Llama-3.2-1B", "Qwen2.5-0.5B", "Qwen3-0.6B", "Llama-3.1-8B", "Qwen2.5-7B", "Gemma-3-1B"];
const HARDWARE: [&str; 5] = ["H100-SXM5-80GB", "A100-80GB-SXM4", "L40S", "H200-SXM-141GB", "B200-SXM"];

/// Identical clients on a platform of their own.
#[derive(Clone, Debug)]
pub struct Group {
    model: &'static str,
    hardware: &'static str,
    tensor_parallel: u32,
    pub count: u32,
    /// Whether they share one machine.
    together: bool,
    /// KV blocks wanted; `None` for what memory gives.
    blocks: Option<u32>,
    block_size: u32,
    max_num_seqs: u32,
    max_model_len: Option<u32>,
    /// What its front end takes for a token (µs), if it has one.
    front_end: Option<u32>,
    pub policies: Policies,
    /// What the token budget exceeds `max_num_seqs` by.
    budget: u32,
}

pub fn groups() -> impl Strategy<Value = Group> {
    let hardware = (
        prop::sample::select(MODELS.to_vec()),
        prop::sample::select(HARDWARE.to_vec()),
        prop_oneof![3 => Just(1_u32), 1 => Just(2_u32)],
        1_u32..=3,
        any::<bool>(),
    );
    let limits = (
        prop_oneof![3 => (4_u32..60).prop_map(Some), 1 => (60_u32..600).prop_map(Some), 1 => Just(None)],
        prop::sample::select(vec![1_u32, 8, 16, 32]),
        prop_oneof![1 => 1_u32..8, 2 => 8_u32..64],
        prop_oneof![3 => Just(None), 1 => (16_u32..400).prop_map(Some)],
        prop_oneof![3 => Just(None), 1 => (1_u32..500).prop_map(Some)],
    );
    let budget = prop_oneof![1_u32..100, 100_u32..2048];
    (hardware, limits, policies(), budget).prop_map(|(hardware, limits, policies, budget)| {
        let (model, hardware, tensor_parallel, count, together) = hardware;
        let (blocks, block_size, max_num_seqs, max_model_len, front_end) = limits;
        Group {
            model,
            hardware,
            tensor_parallel,
            count,
            together,
            blocks: blocks.map(|blocks| blocks.max(80 / block_size)),
            block_size,
            max_num_seqs,
            max_model_len,
            front_end,
            policies,
            budget,
        }
    })
}

impl Group {
    pub fn model(&self) -> &str {
        self.model
    }

    pub fn has_front_end(&self) -> bool {
        self.front_end.is_some()
    }

    pub fn platform(&self, at: usize) -> String {
        let Self { hardware, tensor_parallel, count, together, .. } = self;
        let (machines, nodes) =
            if *together { (1, tensor_parallel * count) } else { (*count, *tensor_parallel) };
        format!(
            "(name: \"p{at}\", count: {machines}, \
             nodes: [(name: \"gpu\", hardware: \"{hardware}\", count: {nodes})], usd_per_hour: 12.5),"
        )
    }

    pub fn client(&self, at: usize, runtime: &str) -> String {
        let Self { model, tensor_parallel, count, block_size, max_num_seqs, max_model_len, .. } = self;
        let utilization = self.utilization();
        let length = max_model_len.map_or(String::new(), |length| format!("max_model_len: {length}, "));
        let front_end = self.front_end.map_or(String::new(), |us| format!("front_end: (token: us({us})), "));
        let policies = self.policies.ron(self.step_tokens());
        format!(
            "(name: \"g{at}\", count: {count}, \
             cluster: Take(platform: \"p{at}\", nodes: [(\"gpu\", {tensor_parallel})]), \
             runs: Llm(model: \"{model}\", tensor_parallel: {tensor_parallel}, block_size: {block_size}, \
             gpu_memory_utilization: {utilization:?}, max_num_seqs: {max_num_seqs}, {length}{front_end}\
             {policies}, runtime: {runtime})),"
        )
    }

    fn step_tokens(&self) -> u32 {
        self.max_num_seqs + self.budget
    }

    /// The memory utilisation at which there are the KV blocks wanted.
    fn utilization(&self) -> f64 {
        let server = Server {
            model: self.model,
            hardware: self.hardware,
            tensor_parallel: self.tensor_parallel,
            max_num_batched_tokens: self.step_tokens(),
            max_num_seqs: self.max_num_seqs,
            block_size: self.block_size,
        };
        let in_full = self.policies.mode().2.caches();
        self.blocks.map_or(0.9, |blocks| server.utilization(blocks, in_full))
    }
}

/// What the size of a server's KV cache depends on.
pub struct Server {
    pub model: &'static str,
    pub hardware: &'static str,
    pub tensor_parallel: u32,
    pub max_num_batched_tokens: u32,
    pub max_num_seqs: u32,
    pub block_size: u32,
}

impl Server {
    /// The memory utilisation at which it has so many KV blocks.
    pub fn utilization_for(&self, blocks: u32) -> f64 {
        self.utilization(blocks, false)
    }

    /// The same; `in_full`: layers with a window keep all KV, too, as with prefix caching.
    fn utilization(&self, blocks: u32, in_full: bool) -> f64 {
        let catalog = Catalog::embedded();
        let model = catalog.model(self.model).unwrap();
        let device_memory = catalog.accelerator(self.hardware).unwrap().memory_bytes();
        let all = KvSizing {
            device_memory,
            utilization: 1.0,
            tensor_parallel: self.tensor_parallel,
            spread: Spread::NONE,
            parameters: model.parameters() as f64,
            weight_bytes: Precision::Bf16.bytes(),
            offloaded_bytes: 0.0,
            kv_bytes_per_token: model.kv_bytes_per_token(Precision::Bf16),
            groups: if in_full { KvGroups::ONE } else { KvGroups::of_model(model) },
            heads: model.attention.heads,
            kv_heads: model.attention.kv_heads,
            hidden: model.hidden,
            ffn: model.ffn.size,
            vocab: model.vocab,
            max_num_batched_tokens: self.max_num_batched_tokens,
            max_num_seqs: self.max_num_seqs,
            block_size: self.block_size,
        };
        let all = all.capacity().unwrap();
        1.0 - (all.kv - (f64::from(blocks) + 0.5) * all.block_bytes) / device_memory
    }
}
