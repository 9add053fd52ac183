//! What the analytical model needs to know of a model, an accelerator and a deployment.
//!
//! Plain numbers: `Target` takes them from the catalog, tests make them up.

use super::architecture::Architecture;
use super::collectives::CollectiveFits;

/// A transformer of one stack: a decoder, or an encoder. All sizes are of the whole model, before it is sharded.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, true or not")]
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
    /// Whether every query and key head is normalised (Qwen3), which is a kernel more in each layer.
    pub query_norm: bool,
    /// Whether attention and feed-forward run side by side on one input: one norm and one all-reduce a layer.
    pub parallel: bool,
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

/// One accelerator: its data sheet, and what is known of devices like it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Device {
    /// Peak dense arithmetic at the precision in which weights and activations are multiplied (FLOP/s).
    pub peak_flops: f64,
    /// The same in 16 bit, in which attention and the LM head are computed (FLOP/s).
    pub peak_flops_16bit: f64,
    /// Peak bandwidth of device memory (bytes/s).
    pub memory_bandwidth: f64,
    /// Scale-up link of one accelerator, per direction (bytes/s); needed by several devices only.
    pub link_bandwidth: Option<f64>,
    /// Link to the host, per direction (bytes/s); needed by offloaded weights only.
    pub host_bandwidth: Option<f64>,
    /// Whose efficiencies it has.
    pub architecture: Architecture,
    /// Whether the scale-up link is the host's PCI Express.
    pub through_host: bool,
    /// Collectives as measured on such devices, if they were.
    pub collectives: Option<CollectiveFits>,
}

/// How the model is put on accelerators.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Deployment {
    /// Accelerators that share every layer (vLLM `--tensor-parallel-size`).
    pub tensor_parallel: u32,
    /// Stages of consecutive layers (vLLM `--pipeline-parallel-size`).
    pub pipeline_parallel: u32,
    /// Copies of the attention layers that share the routed experts.
    pub data_parallel: u32,
    /// Whether whole experts lie on the ranks, not a slice of each.
    pub expert_parallel: bool,
    /// Bytes of one weight: 2 for bf16, 1 for fp8, a little over 0.5 for 4 bits.
    pub weight_bytes: f64,
    /// Bytes of one activation as it enters a product: 2 in 16 bit, 1 in fp8.
    pub activation_bytes: f64,
    /// Bytes of one element of the KV cache: 2 for bf16, 1 for fp8.
    pub kv_bytes: f64,
    /// Most tokens one step computes (vLLM `--max-num-batched-tokens`): sizes the tables. Larger
    /// steps are priced too, only more slowly.
    pub max_tokens: u32,
    /// Weights of each accelerator that stay in the host's memory (bytes).
    pub offloaded_bytes: f64,
}

impl Deployment {
    /// One accelerator, all in 16 bit.
    pub const fn single(max_tokens: u32) -> Self {
        Self {
            tensor_parallel: 1,
            pipeline_parallel: 1,
            data_parallel: 1,
            expert_parallel: false,
            weight_bytes: 2.0,
            activation_bytes: 2.0,
            kv_bytes: 2.0,
            max_tokens,
            offloaded_bytes: 0.0,
        }
    }

    /// Accelerators among which the routed experts lie.
    pub(super) fn expert_ranks(&self) -> u32 {
        self.tensor_parallel * self.data_parallel
    }

    /// Whether tokens are sent to where their experts lie, and only there.
    pub(crate) fn dispatches(&self) -> bool {
        self.expert_parallel && self.data_parallel > 1
    }

    /// Accelerators in all.
    fn devices(&self) -> u32 {
        self.expert_ranks() * self.pipeline_parallel
    }

    /// Checks it against the model it is of and the accelerators it is on.
    ///
    /// # Errors
    /// What is wrong, for the user.
    pub(super) fn check(&self, shape: &DecoderShape, device: &Device) -> Result<(), String> {
        let sizes = [
            ("weight", self.weight_bytes),
            ("activation", self.activation_bytes),
            ("KV element", self.kv_bytes),
        ];
        for (name, bytes) in sizes {
            if !(bytes.is_finite() && bytes > 0.0) {
                return Err(format!("a {name} must take more than 0 bytes, found {bytes}"));
            }
        }
        if self.pipeline_parallel == 0 || self.pipeline_parallel > shape.layers {
            return Err(format!(
                "pipeline_parallel: {} layers do not make {} stages",
                shape.layers, self.pipeline_parallel
            ));
        }
        if self.data_parallel == 0 {
            return Err("data_parallel: must be at least 1".into());
        }
        match shape.moe {
            None if self.data_parallel > 1 => {
                return Err(
                    "data_parallel: only shares routed experts, and the model has none; use as many \
                            clients instead"
                        .into(),
                );
            }
            None if self.expert_parallel => {
                return Err("expert_parallel: the model has no routed experts".into());
            }
            Some(moe) if self.expert_parallel && self.expert_ranks() > moe.experts => {
                return Err(format!(
                    "expert_parallel: {} experts do not spread over {} accelerators",
                    moe.experts,
                    self.expert_ranks()
                ));
            }
            _ => {}
        }
        if !(self.offloaded_bytes >= 0.0 && self.offloaded_bytes.is_finite()) {
            return Err(format!("offloaded_bytes: must not be negative, found {}", self.offloaded_bytes));
        }
        if self.offloaded_bytes > 0.0 && device.host_bandwidth.is_none() {
            return Err("offloaded_bytes: the accelerator's link to the host is not known".into());
        }
        Ok(())
    }
}

impl DecoderShape {
    /// Blocks of a layer that run one after another, each with a norm before and an all-reduce behind it.
    pub(super) fn blocks(&self) -> f64 {
        if self.parallel { 1.0 } else { 2.0 }
    }

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

impl Device {
    /// Checks the data sheet for what the deployment asks of it.
    ///
    /// # Errors
    /// What is wrong, for the user.
    pub(super) fn check(&self, deployment: &Deployment) -> Result<(), String> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        if !positive(self.peak_flops.min(self.peak_flops_16bit)) || !positive(self.memory_bandwidth) {
            return Err(format!(
                "an accelerator needs peak FLOP/s and memory bandwidth above zero, found {} and {}",
                self.peak_flops, self.memory_bandwidth
            ));
        }
        match self.link_bandwidth {
            None if deployment.devices() > 1 => {
                let setting = match (deployment.tensor_parallel, deployment.data_parallel) {
                    (1, 1) => "pipeline_parallel",
                    (1, _) => "data_parallel",
                    _ => "tensor_parallel",
                };
                Err(format!("{setting}: needs the accelerator's scale-up bandwidth, which is not known"))
            }
            Some(link) if !positive(link) => {
                Err(format!("the scale-up bandwidth must be above zero, found {link}"))
            }
            _ => Ok(()),
        }
    }
}
