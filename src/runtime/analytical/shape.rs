//! What the analytical model needs to know of a model, an accelerator and a deployment.
//!
//! Plain numbers: `Target` takes them from the catalog, tests make them up.

/// A transformer of one stack: a decoder, or an encoder. All sizes are of the whole model, before it is sharded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DecoderShape {
    /// Transformer layers.
    pub layers: u32,
    /// Width of the residual stream (elements).
    pub hidden: u32,
    /// Query heads.
    pub heads: u32,
    /// Key and value heads; fewer than `heads` under grouped-query attention. Ignored with `mla`.
    pub kv_heads: u32,
    /// Elements of one head. Ignored with `mla`.
    pub head_dim: u32,
    /// Width of the feed-forward network of dense layers (elements).
    pub ffn: u32,
    /// Whether feed-forward networks, experts included, are gated (three matrices, not two).
    pub gated: bool,
    /// Entries of the vocabulary.
    pub vocab: u32,
    /// Routed experts, if it is a mixture of experts.
    pub moe: Option<Moe>,
    /// Multi-head latent attention, if it uses that.
    pub mla: Option<Mla>,
    /// Sliding-window attention, if some layers use it.
    pub window: Option<Window>,
    /// Whether the tokens of a prompt attend to all of it, as in an encoder, and not only to those
    /// before them. What an encoder makes of a text takes no LM head: none of its chunks is the last.
    pub bidirectional: bool,
}

/// The mixture-of-experts part of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moe {
    /// Routed experts per layer.
    pub experts: u32,
    /// Routed experts each token visits.
    pub active: u32,
    /// Width of one routed expert (elements).
    pub moe_ffn: u32,
    /// Summed width of the experts that every token visits (elements); 0 if there are none.
    pub shared_ffn: u32,
    /// First layers that are dense, of width [`DecoderShape::ffn`].
    pub dense_layers: u32,
}

/// Multi-head latent attention (`DeepSeek` V2 and V3): keys and values are one compressed vector per token, shared by all
/// heads, plus one rotary key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mla {
    /// Rank of the query compression (elements); 0 if queries are not compressed.
    pub q_lora: u32,
    /// Rank of the key-value compression: what is cached, besides the rotary key (elements).
    pub kv_lora: u32,
    /// Elements of a query or key head without rotary position.
    pub qk_nope: u32,
    /// Elements of a query or key head with rotary position.
    pub qk_rope: u32,
    /// Elements of a value head.
    pub v: u32,
}

/// Sliding-window attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Latest tokens, its own included, that a token attends to.
    pub tokens: u32,
    /// How many of the layers use the window; the others attend to everything.
    pub layers: u32,
}

/// One accelerator, by its data sheet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Device {
    /// Peak dense arithmetic at the weights' precision (FLOP/s).
    pub peak_flops: f64,
    /// Peak bandwidth of device memory (bytes/s).
    pub memory_bandwidth: f64,
    /// Scale-up link of one accelerator, per direction (bytes/s); needed for tensor parallelism only.
    pub link_bandwidth: Option<f64>,
}

/// How the model is put on accelerators.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Deployment {
    /// Accelerators that share every layer (vLLM `--tensor-parallel-size`).
    pub tensor_parallel: u32,
    /// Bytes of one weight: 2 for bf16, 1 for fp8, 0.5 for 4 bits.
    pub weight_bytes: f64,
    /// Bytes of one element of the KV cache: 2 for bf16, 1 for fp8.
    pub kv_bytes: f64,
    /// Most tokens one step computes (vLLM `--max-num-batched-tokens`): sizes the tables. Larger
    /// steps are priced too, only more slowly.
    pub max_tokens: u32,
}

impl DecoderShape {
    /// Matrices in one feed-forward network.
    pub(super) fn ffn_matrices(&self) -> f64 {
        if self.gated { 3.0 } else { 2.0 }
    }

    /// Layers whose feed-forward network is dense.
    pub(super) fn dense_layers(&self) -> u32 {
        self.moe.map_or(self.layers, |moe| moe.dense_layers)
    }

    /// Layers that attend to everything, and layers that attend to a window.
    pub(super) fn attention_layers(&self) -> (f64, f64) {
        let windowed = self.window.map_or(0, |window| window.layers);
        (f64::from(self.layers - windowed), f64::from(windowed))
    }

    /// Tokens of the window; endless if there is none.
    pub(super) fn window_tokens(&self) -> u64 {
        self.window.map_or(u64::MAX, |window| u64::from(window.tokens))
    }

    /// Elements cached per token and layer, before sharding: K and V, or the latent vector.
    pub(super) fn kv_elements(&self) -> f64 {
        match self.mla {
            Some(mla) => f64::from(mla.kv_lora + mla.qk_rope),
            None => 2.0 * f64::from(self.kv_heads) * f64::from(self.head_dim),
        }
    }

    /// Checks that the numbers are those of a decoder that can be split `tensor_parallel` ways.
    ///
    /// # Errors
    /// What is wrong, for the user.
    pub(super) fn check(&self, tensor_parallel: u32) -> Result<(), String> {
        let sizes = [
            ("layers", self.layers),
            ("hidden", self.hidden),
            ("heads", self.heads),
            ("vocab", self.vocab),
            ("tensor_parallel", tensor_parallel),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(format!("{name} must be at least 1"));
        }
        if !self.heads.is_multiple_of(tensor_parallel) {
            return Err(format!(
                "tensor_parallel: {} attention heads do not divide over {tensor_parallel} accelerators",
                self.heads
            ));
        }
        if self.mla.is_none() {
            let (kv, tp) = (self.kv_heads, tensor_parallel);
            if kv == 0 || self.head_dim == 0 {
                return Err("kv_heads and head_dim must be at least 1".into());
            }
            if !kv.is_multiple_of(tp) && !tp.is_multiple_of(kv) {
                return Err(format!(
                    "tensor_parallel: {kv} KV heads neither divide over nor into {tp} accelerators"
                ));
            }
        }
        if self.dense_layers() > 0 && self.ffn == 0 {
            return Err("ffn must be at least 1 in a model with dense layers".into());
        }
        if let Some(moe) = self.moe {
            if moe.active == 0 || moe.active > moe.experts || moe.moe_ffn == 0 {
                return Err(format!(
                    "a mixture of experts needs moe_ffn above 0 and 1 to {} active experts, found {}",
                    moe.experts, moe.active
                ));
            }
            if moe.dense_layers > self.layers {
                return Err(format!("{} dense layers in a model of {}", moe.dense_layers, self.layers));
            }
        }
        if let Some(window) = self.window
            && (window.layers > self.layers || window.tokens == 0)
        {
            return Err(format!(
                "a window of {} tokens on {} of {} layers makes no sense",
                window.tokens, window.layers, self.layers
            ));
        }
        Ok(())
    }
}

impl Moe {
    /// Distinct experts that `tokens` tokens visit, on average: E·(1 − (1 − k/E)^T), which is k for
    /// one token and tends to all E. Assumes that routing is uniform and independent between tokens;
    /// real routers are skewed and touch a little less.
    pub(super) fn distinct_experts(&self, tokens: f64) -> f64 {
        let experts = f64::from(self.experts);
        let miss = 1.0 - f64::from(self.active) / experts;
        experts * (1.0 - libm::pow(miss, tokens))
    }
}

impl Device {
    /// Checks the data sheet.
    ///
    /// # Errors
    /// What is wrong, for the user.
    pub(super) fn check(&self, tensor_parallel: u32) -> Result<(), String> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        if !positive(self.peak_flops) || !positive(self.memory_bandwidth) {
            return Err(format!(
                "an accelerator needs peak FLOP/s and memory bandwidth above zero, found {} and {}",
                self.peak_flops, self.memory_bandwidth
            ));
        }
        match self.link_bandwidth {
            None if tensor_parallel > 1 => Err("tensor_parallel: needs the accelerator's scale-up \
                                                bandwidth, which is not known"
                .into()),
            Some(link) if !positive(link) => {
                Err(format!("the scale-up bandwidth must be above zero, found {link}"))
            }
            _ => Ok(()),
        }
    }
}
