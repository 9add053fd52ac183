//! How many KV blocks a client has, as an engine works it out when it starts.
//!
//! ```text
//! blocks = floor( (M·u − W − A − R) / (block_size · κ · g / min(p, K)) )      per accelerator
//! W = parameters · bytes per weight / p − those that stay in the host's memory
//! A = 2·T·2h + max( 2·T·3f/p , 40·min(S, T)·V )
//! ```
//! M device memory (bytes), u utilisation, p tensor parallelism, κ KV bytes per token of the whole model, g the share
//! of its layers in a group that has blocks of its own (see [`KvGroups`]), K KV heads, T `max_num_batched_tokens`, S
//! `max_num_seqs`, h hidden, f feed-forward width of a token, V vocabulary, R = 0.3 GiB.
//!
//! Over the stages of a pipeline κ and W are those of a stage's layers (see [`Spread`]); every stage has as many blocks
//! as the one with least room, as in vLLM, and only the last one samples. Copies of attention have blocks each. No
//! sequence can have more than those of one copy, but the client takes them from one pool: a copy may hold more than its
//! part while others hold less, and all find prefixes that any of them has cached.
//!
//! A stands for vLLM's profile run, which computes T tokens at once, samples for S sequences and
//! takes the peak (`determine_available_memory` in `vllm/v1/worker/gpu_worker.py`, `profile_run` and
//! `_dummy_sampler_run` in `gpu_model_runner.py`, <https://github.com/vllm-project/vllm>): the residual
//! stream and its norm, then either the widest feed-forward network (gate and up, then their product)
//! or the sampler, whichever is larger. A sampler takes ten 4-byte numbers a logit: logits in
//! 32 bit, sorted, their 64-bit indices, probabilities, cumulative sums. That is what the 1.26 GiB peak
//! of Llama-3-8B shows, the same on one GPU and on two (vLLM pull request 10511: 256 sequences, V =
//! 128,256, 41 bytes a logit). R is memory outside the tensors: vLLM V1 start-up logs show 0.07 to
//! 0.34 GiB. CUDA graphs are not in it: vLLM captures them afterwards in what u leaves free.
//!
//! # How good it is
//! Llama-3-8B on a GPU of 79.22 GiB (the same pull request): 54.7 GiB for KV against 53.29 measured,
//! 2.6 % more. NVIDIA NIM with Llama-3-8B, from saturated batches: 410,000 tokens on one H100, where
//! this says 451,000 (10 % more), and 367,000 to 402,000 on one A100-80, where it says 454,000 (13 to
//! 24 % more); TensorRT-LLM reserves more than vLLM.
//!
//! Left out: what a quantised checkpoint keeps in 16 bit (embeddings and LM head; in gpt-oss all but the experts), that
//! MXFP4 has half of NVFP4's scales, scales of 8-bit
//! weights, KV heads' weights replicated when p > K, padding of the vocabulary, multimodal encoders,
//! `--kv-cache-memory`, buffers of what stages and experts exchange; groups of layers where prefixes are cached or KV
//! is handed on (all layers count in full).

mod error;
mod spread;
#[cfg(test)]
mod tests;

pub use error::{DoesNotFit, SizingError};
pub use spread::Spread;

use super::KvGroups;
use crate::catalog::Precision;
use crate::units::GIB;

/// Bytes of an activation: 16-bit floats.
const ACTIVATION_BYTES: f64 = 2.0;

/// Bytes the sampler holds per logit at its peak.
const SAMPLER_BYTES_PER_LOGIT: f64 = 40.0;

/// R: memory that is neither weights, activations nor KV (bytes).
const RUNTIME_BYTES: f64 = 0.3 * GIB;

/// What decides how much KV fits. All sizes of the model are before it is sharded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KvSizing {
    /// Memory of one accelerator, as its driver reports it (bytes).
    pub device_memory: f64,
    /// Fraction of it the engine may use (vLLM `--gpu-memory-utilization`), above 0 and at most 1.
    pub utilization: f64,
    /// Accelerators that share the model (vLLM `--tensor-parallel-size`).
    pub tensor_parallel: u32,
    /// How it lies on more accelerators than those.
    pub spread: Spread,
    /// Weights of the model, embeddings included.
    pub parameters: f64,
    /// Bytes of one weight with its share of the scales: 2 for bf16, 1 for fp8, a little over 0.5 for 4 bits.
    pub weight_bytes: f64,
    /// Weights of each accelerator that stay in the host's memory (bytes; vLLM `--cpu-offload-gb`).
    pub offloaded_bytes: f64,
    /// KV of one token in all layers (bytes), at the precision of the cache.
    pub kv_bytes_per_token: f64,
    /// How the layers share the blocks.
    pub groups: KvGroups,
    /// Query heads: tensor parallelism must divide them.
    pub heads: u32,
    /// Heads the KV can be split by; 1 with latent attention, whose KV is on every accelerator.
    pub kv_heads: u32,
    /// Width of the residual stream (elements).
    pub hidden: u32,
    /// Feed-forward width one token goes through at most in a layer (elements): the dense width, or
    /// active experts times theirs plus the shared experts'.
    pub ffn: u32,
    /// Entries of the vocabulary.
    pub vocab: u32,
    /// Most tokens in a step (vLLM `--max-num-batched-tokens`).
    pub max_num_batched_tokens: u32,
    /// Most sequences in a step (vLLM `--max-num-seqs`).
    pub max_num_seqs: u32,
    /// Tokens in a KV block (vLLM `--block-size`).
    pub block_size: u32,
}

/// Where the memory of one accelerator goes, that of the stage with least room for KV, and the blocks that come of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KvCapacity {
    /// M: memory of the accelerator (bytes).
    pub device_memory: f64,
    /// M·u: what the engine may use (bytes).
    pub budget: f64,
    /// W: weights (bytes).
    pub weights: f64,
    /// A: peak of activations and sampling (bytes).
    pub activations: f64,
    /// R: memory outside the tensors (bytes).
    pub runtime: f64,
    /// What is left for KV (bytes); negative if the rest does not fit.
    pub kv: f64,
    /// One KV block on one accelerator (bytes).
    pub block_bytes: f64,
    /// Copies of attention, which have blocks each.
    pub copies: u32,
    /// KV blocks of the client, over all copies.
    pub blocks: u64,
    /// Tokens those blocks hold, in all groups of layers and in full, as vLLM reports them.
    pub tokens: u64,
    /// How the layers share the blocks.
    pub groups: KvGroups,
}

impl KvCapacity {
    /// KV blocks of one copy: most that one sequence can have.
    pub fn of_one_copy(&self) -> u64 {
        self.blocks / u64::from(self.copies)
    }

    /// The same with so many blocks, whatever memory there is.
    #[must_use]
    pub fn with_blocks(self, blocks: u64, block_size: u32) -> Self {
        let kv = blocks as f64 * self.block_bytes / f64::from(self.copies);
        let tokens = (blocks / u64::from(self.groups.count())).saturating_mul(block_size.into());
        Self { kv, blocks, tokens, ..self }
    }
}

impl KvSizing {
    /// Works out the KV blocks.
    ///
    /// # Errors
    /// [`SizingError::DoesNotFit`] if there is not room for one block, [`SizingError::Invalid`] if a
    /// number makes no sense.
    pub fn capacity(&self) -> Result<KvCapacity, SizingError> {
        self.check().map_err(SizingError::Invalid)?;
        let capacity = self.divide();
        if capacity.blocks > 0 {
            return Ok(capacity);
        }
        let fits = |other: &Self| other.divide().blocks > 0;
        Err(SizingError::DoesNotFit(Box::new(DoesNotFit {
            capacity,
            short_by: capacity.block_bytes - capacity.kv,
            tensor_parallel: [2, 4, 8, 16]
                .into_iter()
                .filter(|&tp| tp > self.tensor_parallel && self.splits(tp))
                .find(|&tensor_parallel| fits(&Self { tensor_parallel, ..*self })),
            weight_bytes: [Precision::Fp8, Precision::Fp4]
                .into_iter()
                // Of fewer bits, not of fewer scales.
                .filter(|narrower| narrower.bytes() < self.weight_bytes.floor().max(0.5))
                .map(Precision::weight_bytes)
                .find(|&weight_bytes| fits(&Self { weight_bytes, ..*self })),
        })))
    }

    /// Weights of each accelerator of the stage with most of them, wherever they lie (bytes).
    pub fn most_weights(&self) -> f64 {
        let stages = (0..).zip(self.spread.layers_of_stages());
        stages.map(|(stage, layers)| self.weights_on(stage, layers)).fold(0.0, f64::max)
    }

    fn weights_on(&self, stage: u32, layers: u32) -> f64 {
        let ranks = f64::from(self.tensor_parallel);
        self.spread.weights(self.parameters, ranks, stage, layers) * self.weight_bytes / ranks
    }

    /// Whether the heads divide over `ranks` accelerators, KV heads replicated if need be.
    fn splits(&self, ranks: u32) -> bool {
        self.heads.is_multiple_of(ranks)
            && (self.kv_heads.is_multiple_of(ranks) || ranks.is_multiple_of(self.kv_heads))
    }

    /// The stage with least room.
    fn divide(&self) -> KvCapacity {
        let stages = (0..).zip(self.spread.layers_of_stages());
        let least = stages.map(|(stage, layers)| self.on_stage(stage, layers)).reduce(|least, other| {
            let less =
                (other.blocks, other.kv / other.block_bytes) < (least.blocks, least.kv / least.block_bytes);
            if less { other } else { least }
        });
        least.expect("there is a stage, which is checked before")
    }

    fn on_stage(&self, stage: u32, layers: u32) -> KvCapacity {
        let budget = self.device_memory * self.utilization;
        let weights = (self.weights_on(stage, layers) - self.offloaded_bytes).max(0.0);
        let activations = self.activations(stage + 1 == self.spread.stages);
        let kv = budget - weights - activations - RUNTIME_BYTES;
        let shards = f64::from(self.tensor_parallel.min(self.kv_heads));
        let all = f64::from(self.block_size) * self.kv_bytes_per_token * self.groups.share();
        let block_bytes = all * f64::from(layers) / f64::from(self.spread.layers) / shards;
        let blocks = (kv / block_bytes).floor().max(0.0) as u64 * u64::from(self.spread.copies);
        KvCapacity {
            copies: self.spread.copies,
            device_memory: self.device_memory,
            budget,
            weights,
            activations,
            runtime: RUNTIME_BYTES,
            kv,
            block_bytes,
            blocks,
            tokens: blocks / u64::from(self.groups.count()) * u64::from(self.block_size),
            groups: self.groups,
        }
    }

    /// A: the peak of the profile run on one accelerator (bytes).
    fn activations(&self, samples: bool) -> f64 {
        let tokens = f64::from(self.max_num_batched_tokens);
        let sampled = if samples { self.max_num_seqs.min(self.max_num_batched_tokens) } else { 0 };
        let sampled = f64::from(sampled);
        let residual = ACTIVATION_BYTES * tokens * 2.0 * f64::from(self.hidden);
        let feed_forward =
            ACTIVATION_BYTES * tokens * 3.0 * f64::from(self.ffn) / f64::from(self.tensor_parallel);
        // Every rank gathers the whole vocabulary.
        let sampler = SAMPLER_BYTES_PER_LOGIT * sampled * f64::from(self.vocab);
        residual + feed_forward.max(sampler)
    }

    fn check(&self) -> Result<(), String> {
        if !(self.utilization > 0.0 && self.utilization <= 1.0) {
            return Err(format!(
                "gpu_memory_utilization must be above 0 and at most 1, found {}",
                self.utilization
            ));
        }
        let amounts = [
            ("device memory", self.device_memory),
            ("parameters", self.parameters),
            ("bytes per weight", self.weight_bytes),
            ("KV bytes per token", self.kv_bytes_per_token),
            ("tensor_parallel", f64::from(self.tensor_parallel)),
            ("kv_heads", f64::from(self.kv_heads)),
            ("layers", f64::from(self.spread.layers)),
            ("pipeline_parallel", f64::from(self.spread.stages)),
            ("data_parallel", f64::from(self.spread.copies)),
            ("block_size", f64::from(self.block_size)),
            ("max_num_batched_tokens", f64::from(self.max_num_batched_tokens)),
            ("max_num_seqs", f64::from(self.max_num_seqs)),
        ];
        match amounts.iter().find(|(_, amount)| !(amount.is_finite() && *amount > 0.0)) {
            Some((name, amount)) => Err(format!("{name} must be above 0, found {amount}")),
            None => Ok(()),
        }
    }
}
