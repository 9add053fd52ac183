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
    copies: f64,
    weight_bytes: f64,
    /// Bytes of a token in the KV cache of a layer.
    kv_bytes: f64,
    /// Elements of all layers' weights but routed experts, and of one routed expert of every layer that has any.
    weights: (f64, f64),
    /// Elements of the LM head.
    head: f64,
    /// FLOP of a query and a key over all heads.
    per_pair: f64,
    /// FLOP/s of products and in 16 bit, and bytes/s, of all devices of a stage.
    rates: (f64, f64, f64),
}

/// What of the bound depends on the number of tokens alone: computing and streaming (s).
pub(crate) type TokenBound = [f64; 2];

impl LowerBound {
    /// The bound for `shape` on `device`s deployed so; they must make a valid
    /// [`AnalyticalModel`](super::AnalyticalModel).
    pub fn new(shape: &DecoderShape, device: &Device, deployment: &Deployment) -> Self {
        // Stages of a pipeline run one after another, so a step has no more than one stage's devices at a time.
        let ranks = f64::from(deployment.tensor_parallel);
        let per_head = match shape.mla {
            None => 4.0 * f64::from(shape.head_dim),
            Some(mla) => 2.0 * f64::from(mla.qk_nope + mla.qk_rope + mla.v),
        };
        Self {
            shape: *shape,
            copies: f64::from(deployment.data_parallel),
            weight_bytes: deployment.weight_bytes,
            kv_bytes: shape.kv_elements() * deployment.kv_bytes,
            weights: weights(shape),
            head: f64::from(shape.hidden) * f64::from(shape.vocab),
            per_pair: f64::from(shape.heads) * per_head,
            rates: (
                ranks * device.peak_flops,
                ranks * device.peak_flops_16bit.max(device.peak_flops),
                ranks * device.memory_bandwidth,
            ),
        }
    }

    /// The bound (s).
    pub fn seconds(&self, step: &StepShape<'_>) -> f64 {
        self.seconds_over(self.of_tokens(step.tokens()), step)
    }

    /// What so many tokens take whatever they attend to.
    pub(crate) fn of_tokens(&self, tokens: u64) -> TokenBound {
        let (products, _, memory) = self.rates;
        [self.products(tokens) / products, self.layer_bytes(tokens) / memory]
    }

    /// The bound of a step whose tokens have theirs (s).
    pub(crate) fn seconds_over(&self, [computing, streaming]: TokenBound, step: &StepShape<'_>) -> f64 {
        let (_, sixteen_bit, memory) = self.rates;
        let compute = computing + self.sixteen_bit(step) / sixteen_bit;
        compute.max(streaming + self.other_bytes(step) / memory)
    }

    /// Arithmetic of the step on all accelerators of one copy (FLOP).
    pub fn flops(&self, step: &StepShape<'_>) -> f64 {
        self.products(step.tokens()) + self.sixteen_bit(step)
    }

    /// Products with the layers' weights (FLOP).
    fn products(&self, tokens: u64) -> f64 {
        let active = self.shape.moe.map_or(0.0, |moe| f64::from(moe.active));
        2.0 * tokens as f64 * (self.weights.0 + active * self.weights.1)
    }

    /// LM head and attention, which are computed in 16 bit, or faster (FLOP).
    fn sixteen_bit(&self, step: &StepShape<'_>) -> f64 {
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
        2.0 * step.sampled() as f64 * self.head + self.per_pair * pairs
    }

    /// Weights and KV the step touches, on all accelerators of one copy (bytes); of experts that several copies share,
    /// each copy's part.
    pub fn bytes(&self, step: &StepShape<'_>) -> f64 {
        self.layer_bytes(step.tokens()) + self.other_bytes(step)
    }

    /// Weights of layers that so many tokens of each copy touch (bytes).
    fn layer_bytes(&self, tokens: u64) -> f64 {
        if tokens == 0 {
            return 0.0;
        }
        let distinct = |moe: super::Moe| moe.distinct_experts(tokens as f64 * self.copies) / self.copies;
        let experts = self.shape.moe.map_or(0.0, distinct);
        self.weight_bytes * (self.weights.0 + experts * self.weights.1)
    }

    /// The LM head and KV (bytes).
    fn other_bytes(&self, step: &StepShape<'_>) -> f64 {
        let sampling = if step.sampled() > 0 { 1.0 } else { 0.0 };
        let mut entries = self.attended(step.decode_seqs, step.decode_context);
        for chunk in step.prefill {
            entries += self.over_layers(|window| {
                u64::from(chunk.context).min(window - 1) as f64 + f64::from(chunk.tokens)
            });
        }
        sampling * self.head * self.weight_bytes.max(ACTIVATION_BYTES) + entries * self.kv_bytes
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

/// Elements of all layers' weights but routed experts, and of one routed expert of every layer that has any.
fn weights(shape: &DecoderShape) -> (f64, f64) {
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
    let (feed_forward, routed) = match &shape.moe {
        None => (layers * f64::from(shape.ffn), 0.0),
        Some(moe) => {
            let (dense, sparse) = (f64::from(moe.dense_layers), f64::from(shape.layers - moe.dense_layers));
            (
                dense * f64::from(shape.ffn) + sparse * f64::from(moe.shared_ffn),
                sparse * f64::from(moe.moe_ffn),
            )
        }
    };
    (layers * attention + matrices * hidden * feed_forward, matrices * hidden * routed)
}
