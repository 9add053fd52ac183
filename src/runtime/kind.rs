//! Kinds of runtime model, as a scenario names them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Analytical, DecoderShape, Deployment, Device, Mla, Moe, StepModel, Window};
use crate::catalog::{Accelerator, Model, Precision};
use crate::engine::SimBuilder;
use crate::scenario::Registry;

/// A deployment of a model that is to be priced.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The model.
    pub model: &'a Model,
    /// The accelerator, of which there are `tensor_parallel`.
    pub accelerator: &'a Accelerator,
    /// Accelerators that share every layer.
    pub tensor_parallel: u32,
    /// Precision of weights and arithmetic.
    pub weights: Precision,
    /// Precision of the KV cache.
    pub kv_cache: Precision,
    /// Most tokens a step computes.
    pub max_step_tokens: u32,
}

/// A runtime model before it knows what to price: the parameters a scenario gives.
pub trait RuntimeKind: Send + Sync + 'static {
    /// The model compiled for `target`.
    ///
    /// # Errors
    /// What does not make sense, in a sentence for the user. One that begins with a setting of the client
    /// and `: `, such as `tensor_parallel: `, is shown at that setting.
    fn compile(&self, target: &Target<'_>) -> Result<Arc<dyn StepModel>, String>;
}

/// The runtime models a scenario may name.
pub type RuntimeRegistry = Registry<Box<dyn RuntimeKind>>;

/// Adds runtime models by name.
pub trait RuntimeExt {
    /// Lets scenarios name the runtime model `K`, whose fields are its parameters.
    fn runtime_model<K>(&mut self, name: &'static str) -> &mut Self
    where
        K: RuntimeKind + DeserializeOwned + Serialize + JsonSchema;
}

impl RuntimeExt for SimBuilder {
    fn runtime_model<K>(&mut self, name: &'static str) -> &mut Self
    where
        K: RuntimeKind + DeserializeOwned + Serialize + JsonSchema,
    {
        let mut registry = self.world().get_resource_or_insert_with(|| RuntimeRegistry::new("runtime model"));
        registry.register(name, |kind: K| Ok(Box::new(kind) as Box<dyn RuntimeKind>));
        self
    }
}

/// The built-in runtime models.
pub fn built_in(sim: &mut SimBuilder) {
    sim.runtime_model::<Analytical>("Analytical");
}

impl RuntimeKind for Analytical {
    fn compile(&self, target: &Target<'_>) -> Result<Arc<dyn StepModel>, String> {
        let device = target.device()?;
        let model = self.build(&target.shape(), &device, &target.deployment())?;
        Ok(Arc::new(model))
    }
}

impl Target<'_> {
    /// The data-sheet figures that bound a step.
    ///
    /// # Errors
    /// A figure the catalog does not know, after the setting that asks for it.
    pub fn device(&self) -> Result<Device, String> {
        let link = (self.tensor_parallel > 1).then(|| self.accelerator.scaleup_bandwidth()).transpose();
        Ok(Device {
            peak_flops: self.accelerator.flops(self.weights).map_err(|why| format!("weights: {why}"))?,
            memory_bandwidth: self.accelerator.memory_bandwidth(),
            link_bandwidth: link.map_err(|why| format!("tensor_parallel: {why}"))?,
        })
    }

    /// How the model is put on the accelerators.
    pub fn deployment(&self) -> Deployment {
        Deployment {
            tensor_parallel: self.tensor_parallel,
            weight_bytes: self.weights.bytes(),
            kv_bytes: self.kv_cache.bytes(),
            max_tokens: self.max_step_tokens,
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
        }
    }
}
