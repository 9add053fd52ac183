//! The physical lower bound of a step, from first principles and apart from the operators' code.
//!
//! ```text
//! seconds ≥ max( FLOPs / (p·P), (weights touched + KV read and written) / (p·B) )
//! ```
//! over all p accelerators at their data sheet's peak P and bandwidth B. Nothing in it is an
//! estimate but the number of distinct experts, which assumes uniform routing. Counted are only
//! matrix products and attention over exactly the keys the mask leaves; the LM head in 16 bit.

use super::attention::windowed_pairs;
use super::rates::ACTIVATION_BYTES;
use super::shape::{DecoderShape, Deployment, Device};
use crate::runtime::StepShape;

/// The least a step can take on a deployment.
#[derive(Clone, Copy, Debug)]
pub struct LowerBound {
    shape: DecoderShape,
    device: Device,
    deployment: Deployment,
}

impl LowerBound {
    /// The bound for `shape` on `device`s deployed so; they must make a valid
    /// [`AnalyticalModel`](super::AnalyticalModel).
    pub fn new(shape: &DecoderShape, device: &Device, deployment: &Deployment) -> Self {
        Self { shape: *shape, device: *device, deployment: *deployment }
    }

    /// The bound (s). Stages of a pipeline run one after another, so a step has no more than one stage's devices at a
    /// time.
    pub fn seconds(&self, step: &StepShape<'_>) -> f64 {
        let ranks = f64::from(self.deployment.tensor_parallel);
        let compute = self.products(step) / (ranks * self.device.peak_flops)
            + self.sixteen_bit(step) / (ranks * self.device.peak_flops_16bit.max(self.device.peak_flops));
        let memory = self.bytes(step) / (ranks * self.device.memory_bandwidth);
        compute.max(memory)
    }

    /// Arithmetic of the step on all accelerators of one copy (FLOP).
    pub fn flops(&self, step: &StepShape<'_>) -> f64 {
        self.products(step) + self.sixteen_bit(step)
    }

    /// Products with the layers' weights (FLOP).
    fn products(&self, step: &StepShape<'_>) -> f64 {
        2.0 * step.tokens() as f64 * self.weights(|moe| f64::from(moe.active))
    }

    /// LM head and attention, which are computed in 16 bit, or faster (FLOP).
    fn sixteen_bit(&self, step: &StepShape<'_>) -> f64 {
        let head = f64::from(self.shape.hidden) * f64::from(self.shape.vocab);
        let per_pair = f64::from(self.shape.heads)
            * match self.shape.mla {
                None => 4.0 * f64::from(self.shape.head_dim),
                Some(mla) => 2.0 * f64::from(mla.qk_nope + mla.qk_rope + mla.v),
            };
        let mut pairs = self.attended(step.decode_seqs, step.decode_context);
        for chunk in step.prefill {
            pairs += self.over_layers(|window| {
                let (tokens, context) = (u64::from(chunk.tokens), u64::from(chunk.context));
                if self.shape.bidirectional {
                    tokens as f64 * (context + tokens).min(window) as f64
                } else {
                    windowed_pairs(tokens, context, window)
                }
            });
        }
        2.0 * step.sampled() as f64 * head + per_pair * pairs
    }

    /// Weights and KV the step touches, on all accelerators of one copy (bytes); of experts that several copies share,
    /// each copy's part.
    pub fn bytes(&self, step: &StepShape<'_>) -> f64 {
        let copies = f64::from(self.deployment.data_parallel);
        let tokens = step.tokens() as f64 * copies;
        let mut weights = 0.0;
        if step.tokens() > 0 {
            weights +=
                self.deployment.weight_bytes * self.weights(|moe| moe.distinct_experts(tokens) / copies);
        }
        if step.sampled() > 0 {
            let head = f64::from(self.shape.hidden) * f64::from(self.shape.vocab);
            weights += head * self.deployment.weight_bytes.max(ACTIVATION_BYTES);
        }
        let mut entries = self.attended(step.decode_seqs, step.decode_context);
        for chunk in step.prefill {
            entries += self.over_layers(|window| {
                u64::from(chunk.context).min(window - 1) as f64 + f64::from(chunk.tokens)
            });
        }
        weights + entries * self.shape.kv_elements() * self.deployment.kv_bytes
    }

    /// Elements of all layers' weights, with `experts` routed experts in each layer that has any.
    fn weights(&self, experts: impl Fn(&super::Moe) -> f64) -> f64 {
        let shape = &self.shape;
        let (hidden, heads) = (f64::from(shape.hidden), f64::from(shape.heads));
        let attention = match shape.mla {
            None => {
                let (kv, dim) = (f64::from(shape.kv_heads), f64::from(shape.head_dim));
                hidden * dim * (heads + 2.0 * kv) + heads * dim * hidden
            }
            Some(mla) => {
                let [q, kv, nope, rope, v] =
                    [mla.q_lora, mla.kv_lora, mla.qk_nope, mla.qk_rope, mla.v].map(f64::from);
                let queries = heads * (nope + rope);
                let query = if q > 0.0 { hidden * q + q * queries } else { hidden * queries };
                query + hidden * (kv + rope) + kv * heads * (nope + v) + heads * v * hidden
            }
        };
        let matrices = if shape.gated { 3.0 } else { 2.0 };
        let layers = f64::from(shape.layers);
        let feed_forward = match &shape.moe {
            None => layers * f64::from(shape.ffn),
            Some(moe) => {
                let dense = f64::from(moe.dense_layers);
                let routed = experts(moe) * f64::from(moe.moe_ffn);
                dense * f64::from(shape.ffn) + (layers - dense) * (routed + f64::from(moe.shared_ffn))
            }
        };
        layers * attention + matrices * hidden * feed_forward
    }

    /// Keys that `sequences` decoding sequences with `context` tokens in all attend to, over all
    /// layers. Under a window the least there can be: one sequence has all the context.
    fn attended(&self, sequences: u32, context: u64) -> f64 {
        let others = u64::from(sequences).saturating_sub(1);
        self.over_layers(|window| {
            let longest = context.saturating_sub(others).min(window);
            (longest + others.min(context)) as f64
        })
    }

    /// Σ over layers of what `count` finds within each layer's window.
    fn over_layers(&self, count: impl Fn(u64) -> f64) -> f64 {
        let windowed = self.shape.window.map_or(0, |window| window.layers);
        let full = f64::from(self.shape.layers - windowed) * count(u64::MAX);
        match self.shape.window {
            Some(window) if windowed > 0 => full + f64::from(windowed) * count(u64::from(window.tokens)),
            _ => full,
        }
    }
}
