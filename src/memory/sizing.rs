//! How many KV blocks a client has, as an engine works it out when it starts.
//!
//! ```text
//! blocks = floor( (M·u − W − A − R) / (block_size · κ · g / min(p, K)) )      per accelerator
//! W = parameters · bytes per weight / p
//! A = 2·T·2h + max( 2·T·3f/p , 40·min(S, T)·V )
//! ```
//! M device memory (bytes), u utilisation, p tensor parallelism, κ KV bytes per token of the whole
//! model, g the share of its layers in a group that has blocks of its own (see [`KvGroups`]), K KV heads, T `max_num_batched_tokens`, S `max_num_seqs`, h hidden, f feed-forward width of
//! a token, V vocabulary, R = 0.3 GiB.
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
//! Left out: embeddings and LM head that a quantised checkpoint keeps in 16 bit, scales of quantised
//! weights, KV heads' weights replicated when p > K, padding of the vocabulary, multimodal encoders,
//! `--kv-cache-memory`; groups of layers where prefixes are cached or KV is handed on (all layers count in full).

use std::fmt;

use super::KvGroups;
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
    /// Weights of the model, embeddings included.
    pub parameters: f64,
    /// Bytes of one weight: 2 for bf16, 1 for fp8, 0.5 for 4 bits.
    pub weight_bytes: f64,
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

/// Where the memory of one accelerator goes, and the KV blocks that come of it.
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
    /// KV blocks of the client.
    pub blocks: u64,
    /// Tokens those blocks hold, in all groups of layers and in full, as vLLM reports them.
    pub tokens: u64,
    /// How the layers share the blocks.
    pub groups: KvGroups,
}

/// Why there are no KV blocks.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SizingError {
    /// A number that makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The model does not leave room for a single KV block.
    #[error(transparent)]
    DoesNotFit(Box<DoesNotFit>),
}

/// A model that does not leave room for a single KV block, and what would.
#[derive(Clone, Debug, PartialEq)]
pub struct DoesNotFit {
    /// Where the memory would go.
    pub capacity: KvCapacity,
    /// Bytes missing on each accelerator for one block.
    pub short_by: f64,
    /// The smallest larger tensor parallelism that fits on the same accelerators, if one does.
    pub tensor_parallel: Option<u32>,
    /// The widest narrower weights that fit as deployed (bytes a weight), if any do.
    pub weight_bytes: Option<f64>,
}

impl KvCapacity {
    /// The same with so many blocks, whatever memory there is.
    #[must_use]
    pub fn with_blocks(self, blocks: u64, block_size: u32) -> Self {
        let kv = blocks as f64 * self.block_bytes;
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
            weight_bytes: [1.0, 0.5]
                .into_iter()
                .filter(|&bytes| bytes < self.weight_bytes)
                .find(|&weight_bytes| fits(&Self { weight_bytes, ..*self })),
        })))
    }

    /// Whether the heads divide over `ranks` accelerators, KV heads replicated if need be.
    fn splits(&self, ranks: u32) -> bool {
        self.heads.is_multiple_of(ranks)
            && (self.kv_heads.is_multiple_of(ranks) || ranks.is_multiple_of(self.kv_heads))
    }

    fn divide(&self) -> KvCapacity {
        let ranks = f64::from(self.tensor_parallel);
        let budget = self.device_memory * self.utilization;
        let weights = self.parameters * self.weight_bytes / ranks;
        let activations = self.activations();
        let kv = budget - weights - activations - RUNTIME_BYTES;
        let shards = f64::from(self.tensor_parallel.min(self.kv_heads));
        let block_bytes = f64::from(self.block_size) * self.kv_bytes_per_token * self.groups.share() / shards;
        let blocks = (kv / block_bytes).floor().max(0.0) as u64;
        KvCapacity {
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
    fn activations(&self) -> f64 {
        let tokens = f64::from(self.max_num_batched_tokens);
        let sampled = f64::from(self.max_num_seqs.min(self.max_num_batched_tokens));
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

impl fmt::Display for DoesNotFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let capacity = &self.capacity;
        write!(
            f,
            "the model does not fit: {:.1} GiB of weights and {:.1} GiB of activations and runtime on each \
             accelerator leave no KV block in the {:.1} of {:.1} GiB it may use; short by {:.1} GiB",
            capacity.weights / GIB,
            (capacity.activations + capacity.runtime) / GIB,
            capacity.budget / GIB,
            capacity.device_memory / GIB,
            (self.short_by / GIB).max(0.1),
        )?;
        let wider = self.tensor_parallel.map(|tp| format!("tensor_parallel: {tp}"));
        let narrower = self.weight_bytes.map(|bytes| format!("{}-bit weights", bytes * 8.0));
        match (wider, narrower) {
            (Some(wider), Some(narrower)) => write!(f, "; {wider} or {narrower} would fit"),
            (Some(one), None) | (None, Some(one)) => write!(f, "; {one} would fit"),
            (None, None) => write!(f, "; no tensor_parallel up to 16 and no narrower weights would fit"),
        }
    }
}

impl std::error::Error for DoesNotFit {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::{Catalog, Precision};

    /// As vLLM 0.6.4 ran it: 256 sequences, 8,192 tokens.
    fn llama_8b() -> KvSizing {
        KvSizing {
            device_memory: 79.22 * GIB,
            utilization: 0.9,
            tensor_parallel: 1,
            parameters: 8.0303e9,
            weight_bytes: 2.0,
            kv_bytes_per_token: 131_072.0,
            groups: KvGroups::ONE,
            heads: 32,
            kv_heads: 8,
            hidden: 4096,
            ffn: 14336,
            vocab: 128_256,
            max_num_batched_tokens: 8192,
            max_num_seqs: 256,
            block_size: 16,
        }
    }

    fn llama_70b() -> KvSizing {
        KvSizing {
            device_memory: 79.6 * GIB,
            parameters: 70.5537e9,
            kv_bytes_per_token: 327_680.0,
            heads: 64,
            hidden: 8192,
            ffn: 28672,
            ..llama_8b()
        }
    }

    #[test]
    fn vllm_measured_nearly_the_same() {
        let capacity = llama_8b().capacity().unwrap();
        assert!((capacity.weights / GIB - 14.96).abs() < 0.01);
        assert!((capacity.activations / GIB - 1.26).abs() < 0.15, "{}", capacity.activations / GIB);
        assert!((capacity.kv / GIB / 53.29 - 1.0).abs() < 0.03, "{}", capacity.kv / GIB);
        assert_eq!(capacity.tokens, capacity.blocks * 16);
    }

    #[test]
    fn what_does_not_fit_says_by_how_much_and_what_would() {
        let Err(SizingError::DoesNotFit(error)) = llama_70b().capacity() else { panic!("it fits") };
        assert_eq!(error.tensor_parallel, Some(2));
        assert_eq!(error.weight_bytes, Some(1.0));
        assert_eq!(
            error.to_string(),
            "the model does not fit: 131.4 GiB of weights and 1.9 GiB of activations and runtime on each \
             accelerator leave no KV block in the 71.6 of 79.6 GiB it may use; short by 61.6 GiB; \
             tensor_parallel: 2 or 8-bit weights would fit"
        );
        let huge = KvSizing { parameters: 1e13, ..llama_70b() };
        assert!(huge.capacity().unwrap_err().to_string().contains("no tensor_parallel up to 16"));
    }

    #[test]
    fn llama_70b_on_two_h100_is_tight() {
        let capacity = KvSizing { tensor_parallel: 2, ..llama_70b() }.capacity().unwrap();
        assert!((20_000..32_000).contains(&capacity.tokens), "{}", capacity.tokens);
    }

    #[test]
    fn kv_heads_are_replicated_rather_than_split() {
        let block = |tensor_parallel, kv_heads| {
            KvSizing { tensor_parallel, kv_heads, ..llama_8b() }.capacity().unwrap().block_bytes
        };
        assert_eq!(block(8, 8), block(16, 8));
        assert_eq!(block(1, 8), 8.0 * block(8, 8));
        assert_eq!(block(1, 1), block(8, 1));
    }

    /// KV of a token as the models' makers publish it: DeepSeek-V3 70.272 kB, Qwen2.5-72B 327.680 kB and Llama-3.1-405B
    /// 516.096 kB in 16 bit (table 1 of "Insights into DeepSeek-V3", <https://arxiv.org/abs/2505.09343>); half of that
    /// in FP8. Latent KV is on every accelerator, heads are split.
    #[test]
    fn blocks_are_as_large_as_published() {
        let block = |name: &str, precision, tensor_parallel| {
            let model = Catalog::embedded().model(name).unwrap();
            let latent = model.attention.latent.is_some();
            let sizing = KvSizing {
                device_memory: 1e13,
                parameters: 1e9,
                tensor_parallel,
                kv_bytes_per_token: model.kv_bytes_per_token(precision),
                groups: model.kv_groups(),
                kv_heads: if latent { 1 } else { model.attention.kv_heads },
                ..llama_8b()
            };
            sizing.capacity().unwrap().block_bytes / 16.0
        };
        for (name, bytes) in
            [("DeepSeek-V3", 70_272.0), ("Qwen2.5-72B", 327_680.0), ("Llama-3.1-405B", 516_096.0)]
        {
            assert_eq!(block(name, Precision::Bf16, 1), bytes, "{name}");
            assert_eq!(block(name, Precision::Fp8, 1), bytes / 2.0, "{name}");
        }
        assert_eq!(block("DeepSeek-V3", Precision::Bf16, 8), 70_272.0);
        assert_eq!(block("Llama-3.1-405B", Precision::Fp8, 8), 516_096.0 / 16.0);
        // Ten layers of 62 with 16 heads of 128 a block.
        assert_eq!(block("Gemma-3-27B", Precision::Bf16, 1), 10.0 * 2.0 * 16.0 * 128.0 * 2.0);
    }

    #[test]
    fn windowed_layers_share_the_pool_in_groups() {
        let model = Catalog::embedded().model("gpt-oss-120b").unwrap();
        let kv_bytes_per_token = model.kv_bytes_per_token(Precision::Bf16);
        let sizing = |groups| KvSizing { kv_bytes_per_token, groups, ..llama_8b() }.capacity().unwrap();
        let (full, grouped) = (sizing(KvGroups::ONE), sizing(model.kv_groups()));
        assert!(grouped.blocks.abs_diff(2 * full.blocks) <= 1, "half of the layers a block");
        assert_eq!(grouped.tokens, grouped.blocks / 2 * 16, "as vLLM reports it, windows or not");
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused() {
        let message = |sizing: KvSizing| sizing.capacity().unwrap_err().to_string();
        assert_eq!(
            message(KvSizing { utilization: 1.1, ..llama_8b() }),
            "gpu_memory_utilization must be above 0 and at most 1, found 1.1"
        );
        assert_eq!(message(KvSizing { block_size: 0, ..llama_8b() }), "block_size must be above 0, found 0");
        assert!(message(KvSizing { parameters: f64::NAN, ..llama_8b() }).contains("parameters"));
    }

    proptest! {
        #[test]
        fn the_parts_fill_the_budget(memory in 1.0..400.0, utilization in 0.05..1.0, billions in 0.1..500.0,
                                     tp in 0u32..5, weights in 0usize..3, kv in 1e3..1e6, tokens in 1u32..20_000,
                                     seqs in 1u32..2000, block_size in 1u32..128) {
            let sizing = KvSizing {
                device_memory: memory * GIB,
                utilization,
                tensor_parallel: 1 << tp,
                parameters: billions * 1e9,
                weight_bytes: [2.0, 1.0, 0.5][weights],
                kv_bytes_per_token: kv,
                max_num_batched_tokens: tokens,
                max_num_seqs: seqs,
                block_size,
                ..llama_8b()
            };
            match sizing.capacity() {
                Ok(fit) => {
                    let fixed = fit.weights + fit.activations + fit.runtime;
                    let used = fixed + fit.blocks as f64 * fit.block_bytes;
                    prop_assert!(used <= fit.budget * (1.0 + 1e-12));
                    prop_assert!(used + fit.block_bytes > fit.budget * (1.0 - 1e-12));
                }
                Err(SizingError::DoesNotFit(error)) => {
                    prop_assert!(error.short_by > 0.0);
                    // What it suggests does fit, and exactly what it lacks would do.
                    if let Some(tensor_parallel) = error.tensor_parallel {
                        let capacity = KvSizing { tensor_parallel, ..sizing }.capacity();
                        prop_assert!(capacity.is_ok());
                    }
                    if let Some(weight_bytes) = error.weight_bytes {
                        let capacity = KvSizing { weight_bytes, ..sizing }.capacity();
                        prop_assert!(capacity.is_ok());
                    }
                    let enough = error.short_by / utilization * (1.0 + 1e-9) + 1.0;
                    let device_memory = sizing.device_memory + enough;
                    let larger = KvSizing { device_memory, ..sizing };
                    prop_assert!(larger.capacity().is_ok());
                }
                Err(invalid) => prop_assert!(false, "{invalid}"),
            }
        }
    }
}
