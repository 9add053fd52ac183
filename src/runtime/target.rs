//! What is to be priced: a model, an accelerator, and how the one lies on so many of the other.

use super::{Architecture, CollectiveFits, DecoderShape, Deployment, Device, Mla, Moe, Window};
use crate::catalog::{Accelerator, Model, Precision};

/// A deployment of a model that is to be priced. [`Target::new`] has the plainest of them:
///
/// ```
/// use mist::catalog::Catalog;
/// use mist::runtime::Target;
///
/// let catalog = Catalog::embedded();
/// let model = catalog.model("Llama-3.1-70B")?;
/// let target = Target { tensor_parallel: 4, ..Target::new(model, catalog.accelerator("H100-SXM5-80GB")?) };
/// assert_eq!(target.devices(), 4);
/// # Ok::<(), mist::catalog::UnknownName>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The model.
    pub model: &'a Model,
    /// The accelerator.
    pub accelerator: &'a Accelerator,
    /// Accelerators that share every layer (vLLM `--tensor-parallel-size`).
    pub tensor_parallel: u32,
    /// Stages of consecutive layers (vLLM `--pipeline-parallel-size`).
    pub pipeline_parallel: u32,
    /// Copies of the attention layers, each with sequences of its own, that share the routed experts (vLLM
    /// `--data-parallel-size` of a mixture of experts). A step is what one of the copies computes; the others are
    /// taken to be as busy.
    pub data_parallel: u32,
    /// Whether whole routed experts lie on the ranks, not a slice of each (vLLM `--enable-expert-parallel`).
    pub expert_parallel: bool,
    /// Precision of the weights.
    pub weights: Precision,
    /// Precision of the activations, in which weights are multiplied if theirs is narrower; `None` for the
    /// precision that [goes with](Precision::arithmetic) the weights.
    pub activations: Option<Precision>,
    /// Precision of the KV cache.
    pub kv_cache: Precision,
    /// Most tokens a step computes.
    pub max_step_tokens: u32,
    /// Weights of each accelerator that stay in the host's memory (bytes; vLLM `--cpu-offload-gb`).
    pub offloaded_bytes: f64,
}

impl<'a> Target<'a> {
    /// `model` on one `accelerator`, all in 16 bit, 8,192 tokens a step.
    pub fn new(model: &'a Model, accelerator: &'a Accelerator) -> Self {
        Self {
            model,
            accelerator,
            tensor_parallel: 1,
            pipeline_parallel: 1,
            data_parallel: 1,
            expert_parallel: false,
            weights: Precision::Bf16,
            activations: None,
            kv_cache: Precision::Bf16,
            max_step_tokens: 8192,
            offloaded_bytes: 0.0,
        }
    }

    /// Accelerators in all.
    pub fn devices(&self) -> u32 {
        self.tensor_parallel * self.pipeline_parallel * self.data_parallel
    }

    /// Precision in which weights and activations are multiplied: that of the activations if it is the wider.
    pub fn arithmetic(&self) -> Precision {
        match self.activations {
            Some(activations) if activations.bytes() > self.weights.bytes() => activations,
            Some(activations) if activations.bytes() == self.weights.bytes() => activations.arithmetic(),
            _ => self.weights.arithmetic(),
        }
    }

    /// The data-sheet figures that bound a step.
    ///
    /// # Errors
    /// A figure the catalog does not know, after the setting that asks for it.
    pub fn device(&self) -> Result<Device, String> {
        let Accelerator { name, scale_up, .. } = self.accelerator;
        // Stages of a pipeline send to each other, too.
        let link = (self.devices() > 1).then(|| self.accelerator.scaleup_bandwidth()).transpose();
        let setting = match (self.tensor_parallel, self.data_parallel) {
            (1, 1) => "pipeline_parallel",
            (1, _) => "data_parallel",
            _ => "tensor_parallel",
        };
        let arithmetic = self.arithmetic();
        let peak_flops =
            self.accelerator.flops(arithmetic).map_err(|missing| format!("weights: {missing}"))?;
        Ok(Device {
            peak_flops,
            // What has no rate in 16 bit computes everything at the rate it has.
            peak_flops_16bit: self.accelerator.flops(Precision::Bf16).unwrap_or(peak_flops),
            memory_bandwidth: self.accelerator.memory_bandwidth(),
            link_bandwidth: link.map_err(|why| format!("{setting}: {why}"))?,
            host_bandwidth: self.accelerator.host_link_bandwidth().ok(),
            architecture: Architecture::of(name),
            through_host: scale_up.as_ref().is_some_and(|links| links.kind.starts_with("PCIe")),
            collectives: CollectiveFits::of(name),
        })
    }

    /// How the model is put on the accelerators.
    pub fn deployment(&self) -> Deployment {
        Deployment {
            tensor_parallel: self.tensor_parallel,
            pipeline_parallel: self.pipeline_parallel,
            data_parallel: self.data_parallel,
            expert_parallel: self.expert_parallel,
            weight_bytes: self.weights.weight_bytes(),
            activation_bytes: self.arithmetic().weight_bytes(),
            kv_bytes: self.kv_cache.bytes(),
            max_tokens: self.max_step_tokens,
            offloaded_bytes: self.offloaded_bytes,
        }
    }

    /// The shapes of the model's operators.
    pub fn shape(&self) -> DecoderShape {
        let Model { layers, hidden, vocab, attention, ffn, experts, .. } = self.model;
        DecoderShape {
            layers: *layers,
            hidden: *hidden,
            heads: attention.heads,
            kv_heads: attention.kv_heads,
            head_dim: attention.head_dim,
            ffn: ffn.size,
            gated: ffn.gated,
            vocab: *vocab,
            moe: experts.as_ref().map(|experts| Moe {
                experts: experts.routed,
                active: experts.active,
                moe_ffn: experts.size,
                shared_ffn: experts.shared * experts.shared_size,
                dense_layers: experts.dense_layers,
            }),
            mla: attention.latent.as_ref().map(|latent| Mla {
                q_lora: latent.query_rank,
                kv_lora: latent.kv_rank,
                qk_nope: latent.nope_dim,
                qk_rope: latent.rope_dim,
                v: latent.value_dim,
            }),
            window: attention
                .window
                .as_ref()
                .map(|window| Window { tokens: window.tokens, layers: self.model.windowed_layers() }),
            bidirectional: self.model.bidirectional,
            parallel: self.model.parallel,
            query_norm: attention.query_norm,
        }
    }
}
