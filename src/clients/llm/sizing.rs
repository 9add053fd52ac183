//! The KV blocks of a deployment: what [`KvSizing`] needs to know of it.

use crate::memory::{KvGroups, KvSizing, Spread};
use crate::runtime::Target;

/// What a server is started with, as far as its memory goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Fraction of device memory it may fill.
    pub utilization: f64,
    /// Most sequences in a batch.
    pub max_num_seqs: u32,
    /// Tokens in a KV block.
    pub block_size: u32,
    /// Whether layers with a window keep all KV, too.
    pub in_full: bool,
}

/// The sizing of `target`; its most tokens in a step are those that activations are for.
pub(crate) fn sizing(target: &Target<'_>, limits: &Limits) -> KvSizing {
    let model = target.model;
    let experts = model.experts.as_ref();
    let matrix = f64::from(model.vocab) * f64::from(model.hidden);
    let spread = Spread {
        layers: model.layers,
        stages: target.pipeline_parallel,
        copies: target.data_parallel,
        routed: experts.map_or(0, |moe| u64::from(moe.routed) * model.expert_parameters()) as f64
            * f64::from(model.moe_layers()),
        whole_experts: experts.filter(|_| target.expert_parallel).map(|moe| moe.routed),
        embedding: matrix,
        head: matrix,
        tied: model.tied_embeddings,
    };
    KvSizing {
        device_memory: target.accelerator.memory_bytes(),
        utilization: limits.utilization,
        tensor_parallel: target.tensor_parallel,
        spread,
        parameters: model.parameters() as f64,
        weight_bytes: target.weights.weight_bytes(),
        offloaded_bytes: target.offloaded_bytes,
        kv_bytes_per_token: model.kv_bytes_per_token(target.kv_cache),
        groups: if limits.in_full { KvGroups::ONE } else { KvGroups::of_model(model) },
        heads: model.attention.heads,
        kv_heads: if model.attention.latent.is_some() { 1 } else { model.attention.kv_heads },
        hidden: model.hidden,
        ffn: experts.map_or(model.ffn.size, |moe| moe.active * moe.size + moe.shared * moe.shared_size),
        vocab: model.vocab,
        max_num_batched_tokens: target.max_step_tokens,
        max_num_seqs: limits.max_num_seqs,
        block_size: limits.block_size,
    }
}
