//! The operators of one forward pass, and what each costs.
//!
//! Per accelerator, with T tokens in the step, h hidden, d head size, f feed-forward width, H query
//! and K key-value heads on this accelerator (K at least 1: vLLM replicates a head rather than
//! split it), b bytes per weight, P peak FLOP/s, B memory bytes/s, e efficiencies:
//!
//! ```text
//! GEMM (T×k)·(k×n)   t = t_gemm + √( (2Tnk/(e_c·P))² + ((b·nk + 2T(n+k))/(e_m·B))² )
//!   every layer      (n,k) = ((H+2K)d, h), (h, Hd), (2f/p, h), (h, f/p)
//! elementwise        Σ max(t_kernel, bytes/(e_m·B)): two norms with residual, rotary, KV write, activation
//! routed experts     t_moe + √( (2·Tk·m·h·i/p/(e_x·P))² + (b·D·m·h·i/p/(e_m·B))² ) + 10·Tk·h/(e_m·B)
//!                    k of E experts of width i and m matrices; D = E(1 − (1 − k/E)^T) distinct ones
//! LM head            GEMM (V/p, h) in 16 bit over the sequences that sample, then the logits' gather
//! all-reduce         two per layer, of 2Th bytes
//! prefill attention  t_attn + √( (φ·Σ(pairs + δ·chunk)/(e_a·P))² + (κ·Σ(context + chunk)/(e_m·B))² )
//!                    φ = 4Hd FLOPs per query-key pair, pairs = c·p + c(c+1)/2 (causal), δ = 300 keys;
//!                    pairs = c(p + c), δ = 0 in an encoder, whose tokens see each other both ways
//! decode attention   t_attn + √( (φ/(e_a·P))² + (κ/(e_m·B))² ) · Σcontext,  κ = 2Kd·(bytes of KV)
//! ```
//! √(a² + b²) is never below either roofline. δ is the work a tile kernel does past the diagonal:
//! 300–400 keys fit H100, H200, L40S, A100 and RTX PRO 6000 tables (aiconfigurator).
//!
//! Latent attention (MLA) decodes in the compressed space ("absorbed"): `φ = 2H(2·kv_lora +
//! rope)` and `κ = kv_lora + rope` elements, on every accelerator; prefill expands it: `φ = 2H(nope +
//! rope + v)`, plus `2·kv_lora·H(nope + v)` FLOPs for each context token that is expanded again.
//!
//! Left out: embeddings, biases, query and key norms, sampling kernels, quantisation padding, waves
//! of tiles over a small number of cores, and that prefill and decode in one launch cost 1.0–2.4
//! times their sum.

use super::Analytical;
use super::collectives::Collectives;
use super::shape::{DecoderShape, Deployment, Device, Mla, Moe};
use super::shares::Shares;
use crate::runtime::{Bound, Chunk, StepShape};

/// Bytes of an activation, of logits as they are gathered, and of LM head weights: 16-bit floats.
pub(super) const ACTIVATION_BYTES: f64 = 2.0;

/// δ: keys past the causal diagonal that a tile of prefill attention computes in vain.
const TILE_KEYS: f64 = 300.0;

/// A matrix product whose weights lie in device memory.
#[derive(Clone, Copy, Debug)]
struct Gemm {
    /// How often a step runs it.
    count: f64,
    /// Columns of the weights.
    n: f64,
    /// Rows of the weights.
    k: f64,
}

/// An elementwise kernel.
#[derive(Clone, Copy, Debug)]
struct Elementwise {
    /// How often a step runs it.
    count: f64,
    /// Bytes moved per token.
    bytes: f64,
}

/// The routed experts of one layer.
#[derive(Clone, Copy, Debug)]
struct Experts {
    /// Layers that have them.
    count: f64,
    /// The model's routing.
    moe: Moe,
    /// Weights of one expert on this accelerator.
    weights: f64,
}

/// What attention does on one accelerator, in one layer.
#[derive(Clone, Copy, Debug)]
struct Attention {
    /// FLOPs per query-key pair in prefill.
    prefill_flops: f64,
    /// FLOPs per context token of prefill, to expand compressed keys and values.
    expand_flops: f64,
    /// FLOPs per query-key pair in decode.
    decode_flops: f64,
    /// Bytes read per cached token.
    kv_bytes: f64,
    /// Query and output bytes per decoding sequence.
    query_bytes: f64,
}

/// Everything one accelerator of a deployment computes in a step.
#[derive(Clone, Debug)]
pub(super) struct Operators {
    params: Analytical,
    device: Device,
    collectives: Collectives,
    weight_bytes: f64,
    gemm_efficiency: f64,
    hidden: f64,
    vocab: f64,
    ranks: f64,
    layers: f64,
    full_layers: f64,
    windowed_layers: f64,
    window: u64,
    bidirectional: bool,
    gemms: Vec<Gemm>,
    elementwise: Vec<Elementwise>,
    experts: Option<Experts>,
    attention: Attention,
}

/// The price of decode attention, linear in the tokens attended to.
#[derive(Clone, Copy, Debug)]
pub(super) struct DecodeAttention {
    /// What bounds it.
    pub(super) bound: Bound,
    /// Seconds per token of Σ context, over the layers without a window.
    pub(super) per_token: f64,
    /// Seconds per token of Σ min(context, window), over the layers with one.
    pub(super) per_windowed_token: f64,
    /// Tokens of the window.
    pub(super) window: u64,
}

impl DecodeAttention {
    /// The part that grows with the context (s).
    ///
    /// Only Σ context is known, so windowed layers are taken to read min(Σ context, sequences ·
    /// window): what equally long sequences read, and never less than unequal ones do.
    pub(super) fn seconds(&self, sequences: u32, context: u64) -> f64 {
        let windowed = context.min(u64::from(sequences).saturating_mul(self.window));
        context as f64 * self.per_token + windowed as f64 * self.per_windowed_token
    }
}

impl Operators {
    /// All arguments are checked before.
    pub(super) fn new(
        params: &Analytical,
        shape: &DecoderShape,
        device: &Device,
        deployment: &Deployment,
    ) -> Self {
        let ranks = f64::from(deployment.tensor_parallel);
        let layers = f64::from(shape.layers);
        let hidden = f64::from(shape.hidden);
        let heads = f64::from(shape.heads) / ranks;
        let mut gemms = Vec::new();
        let mut elementwise = vec![
            // Residual add and norm, twice: both read two streams and write two.
            Elementwise { count: 2.0 * layers, bytes: 4.0 * hidden * ACTIVATION_BYTES },
        ];

        let (attention, kv_written, rotary) = match shape.mla {
            None => {
                let kv_heads = (f64::from(shape.kv_heads) / ranks).max(1.0);
                let head_dim = f64::from(shape.head_dim);
                gemms.push(Gemm { count: layers, n: (heads + 2.0 * kv_heads) * head_dim, k: hidden });
                gemms.push(Gemm { count: layers, n: hidden, k: heads * head_dim });
                let pair_flops = 4.0 * heads * head_dim;
                let kv_elements = 2.0 * kv_heads * head_dim;
                let attention = Attention {
                    prefill_flops: pair_flops,
                    expand_flops: 0.0,
                    decode_flops: pair_flops,
                    kv_bytes: kv_elements * deployment.kv_bytes,
                    query_bytes: 2.0 * heads * head_dim * ACTIVATION_BYTES,
                };
                (attention, kv_elements, (heads + kv_heads) * head_dim)
            }
            Some(mla) => {
                latent_gemms(&mut gemms, &mla, layers, hidden, heads);
                let [kv, nope, rope, v] = [mla.kv_lora, mla.qk_nope, mla.qk_rope, mla.v].map(f64::from);
                let attention = Attention {
                    prefill_flops: 2.0 * heads * (nope + rope + v),
                    expand_flops: 2.0 * kv * heads * (nope + v),
                    decode_flops: 2.0 * heads * (2.0 * kv + rope),
                    kv_bytes: (kv + rope) * deployment.kv_bytes,
                    query_bytes: heads * (2.0 * kv + rope) * ACTIVATION_BYTES,
                };
                (attention, kv + rope, (heads + 1.0) * rope)
            }
        };
        elementwise.push(Elementwise { count: layers, bytes: 2.0 * rotary * ACTIVATION_BYTES });
        elementwise.push(Elementwise {
            count: layers,
            bytes: kv_written * (ACTIVATION_BYTES + deployment.kv_bytes),
        });

        let mut feed_forward = |count: f64, width: f64| {
            if count > 0.0 && width > 0.0 {
                let (up, streams) = if shape.gated { (2.0, 3.0) } else { (1.0, 2.0) };
                gemms.push(Gemm { count, n: up * width / ranks, k: hidden });
                gemms.push(Gemm { count, n: hidden, k: width / ranks });
                elementwise.push(Elementwise { count, bytes: streams * width / ranks * ACTIVATION_BYTES });
            }
        };
        feed_forward(f64::from(shape.dense_layers()), f64::from(shape.ffn));
        let experts = shape.moe.map(|moe| {
            let count = f64::from(shape.layers - moe.dense_layers);
            feed_forward(count, f64::from(moe.shared_ffn));
            Experts { count, moe, weights: shape.ffn_matrices() * hidden * f64::from(moe.moe_ffn) / ranks }
        });
        if let Some(Experts { count, moe, .. }) = experts {
            gemms.push(Gemm { count, n: f64::from(moe.experts), k: hidden });
        }
        if deployment.weight_bytes <= 1.0 {
            // Activations are quantised before each of the four GEMMs: read 2 bytes, write 1.
            let width = f64::from(shape.ffn) / ranks;
            for elements in [hidden, hidden, heads * f64::from(shape.head_dim), width] {
                elementwise.push(Elementwise { count: layers, bytes: 3.0 * elements });
            }
        }

        let (full_layers, windowed_layers) = shape.attention_layers();
        Self {
            params: params.clone(),
            device: *device,
            collectives: Collectives::new(params, device, deployment),
            weight_bytes: deployment.weight_bytes,
            gemm_efficiency: if deployment.weight_bytes <= 1.0 {
                params.compute_efficiency_8bit
            } else {
                params.compute_efficiency
            },
            hidden,
            vocab: f64::from(shape.vocab),
            ranks,
            layers,
            full_layers,
            windowed_layers,
            window: shape.window_tokens(),
            bidirectional: shape.bidirectional,
            gemms,
            elementwise,
            experts,
            attention,
        }
    }

    /// What depends on the number of tokens alone: GEMMs, experts, elementwise kernels, all-reduces.
    pub(super) fn per_token(&self, tokens: u64) -> Shares {
        if tokens == 0 {
            return Shares::default();
        }
        let tokens = tokens as f64;
        let mut shares = Shares::default();
        for gemm in &self.gemms {
            shares = shares + self.gemm(gemm, tokens, self.weight_bytes);
        }
        let floor = self.params.kernel_overhead.as_secs();
        for kernel in &self.elementwise {
            let seconds = self.memory_seconds(tokens * kernel.bytes).max(floor);
            shares = shares + Shares::of(Bound::Memory, kernel.count * seconds);
        }
        if let Some(experts) = &self.experts {
            shares = shares + self.experts(experts, tokens);
        }
        let reduce = self.collectives.all_reduce(tokens * self.hidden * ACTIVATION_BYTES);
        shares + Shares::of(Bound::Communication, 2.0 * self.layers * reduce)
    }

    /// The LM head over `sampled` sequences, and the gather of their logits.
    pub(super) fn head(&self, sampled: u64) -> Shares {
        if sampled == 0 {
            return Shares::default();
        }
        let sampled = sampled as f64;
        let gemm = Gemm { count: 1.0, n: self.vocab / self.ranks, k: self.hidden };
        // Engines leave the LM head unquantised.
        let bytes = self.weight_bytes.max(ACTIVATION_BYTES);
        let gather = self.collectives.gather(sampled * self.vocab * ACTIVATION_BYTES);
        self.gemm(&gemm, sampled, bytes) + Shares::of(Bound::Communication, gather)
    }

    /// Decode attention without the part that grows with the context.
    pub(super) fn decode_queries(&self, sequences: u32) -> Shares {
        if sequences == 0 {
            return Shares::default();
        }
        let queries = self.memory_seconds(f64::from(sequences) * self.attention.query_bytes);
        Shares::of(Bound::Memory, self.layers * (self.params.attention_overhead.as_secs() + queries))
    }

    /// The part of decode attention that grows with the context.
    pub(super) fn decode_attention(&self) -> DecodeAttention {
        let per_token = Shares::roofline(
            self.attention_seconds(self.attention.decode_flops),
            self.memory_seconds(self.attention.kv_bytes),
        );
        DecodeAttention {
            bound: per_token.largest(),
            per_token: self.full_layers * per_token.seconds(),
            per_windowed_token: self.windowed_layers * per_token.seconds(),
            window: self.window,
        }
    }

    /// Prefill attention of all chunks of a step.
    pub(super) fn prefill_attention(&self, shape: &StepShape<'_>) -> Shares {
        let tokens = shape.prefill_tokens();
        if tokens == 0 {
            return Shares::default();
        }
        // Without a mask no tile reaches past the diagonal.
        let wasted = if self.bidirectional { 0.0 } else { tokens as f64 * TILE_KEYS };
        let mut shares = Shares::of(Bound::Memory, self.layers * self.params.attention_overhead.as_secs());
        if self.full_layers > 0.0 {
            let kv = shape.prefill_context();
            let pairs =
                if self.bidirectional { Self::mutual_pairs(shape, u64::MAX) } else { shape.prefill_pairs() };
            let layer = self.prefill_layer(pairs + wasted, kv, kv - tokens);
            shares = shares + layer.times(self.full_layers);
        }
        if self.windowed_layers > 0.0 {
            let (mut pairs, mut context) = (0.0, 0);
            for chunk in shape.prefill {
                pairs += windowed_pairs(u64::from(chunk.tokens), u64::from(chunk.context), self.window);
                context += u64::from(chunk.context).min(self.window);
            }
            if self.bidirectional {
                pairs = Self::mutual_pairs(shape, self.window);
            }
            let layer = self.prefill_layer(pairs + wasted, context + tokens, context);
            shares = shares + layer.times(self.windowed_layers);
        }
        shares
    }

    /// Query-key pairs where every token of a text attends to all of it, or to `window` tokens of it.
    fn mutual_pairs(shape: &StepShape<'_>, window: u64) -> f64 {
        let seen = |chunk: &Chunk| (u64::from(chunk.context) + u64::from(chunk.tokens)).min(window);
        shape.prefill.iter().map(|chunk| f64::from(chunk.tokens) * seen(chunk) as f64).sum()
    }

    /// One layer: `pairs` scored, `kv` entries read, of which `context` are from before the step.
    fn prefill_layer(&self, pairs: f64, kv: u64, context: u64) -> Shares {
        let flops = pairs * self.attention.prefill_flops + context as f64 * self.attention.expand_flops;
        Shares::roofline(
            self.attention_seconds(flops),
            self.memory_seconds(kv as f64 * self.attention.kv_bytes),
        )
    }

    fn gemm(&self, gemm: &Gemm, tokens: f64, weight_bytes: f64) -> Shares {
        let flops = 2.0 * tokens * gemm.n * gemm.k;
        let bytes = weight_bytes * gemm.n * gemm.k + ACTIVATION_BYTES * tokens * (gemm.n + gemm.k);
        let roofline = Shares::roofline(
            flops / (self.gemm_efficiency * self.device.peak_flops),
            self.memory_seconds(bytes),
        );
        // The launch is charged to what bounds the operator: it is the ramp of the same kernel.
        let ramp = Shares::of(roofline.largest(), self.params.gemm_overhead.as_secs());
        (roofline + ramp).times(gemm.count)
    }

    fn experts(&self, experts: &Experts, tokens: f64) -> Shares {
        let rows = tokens * f64::from(experts.moe.active);
        let flops = 2.0 * rows * experts.weights;
        let bytes = self.weight_bytes * experts.moe.distinct_experts(tokens) * experts.weights;
        let roofline = Shares::roofline(
            flops / (self.params.moe_efficiency * self.device.peak_flops),
            self.memory_seconds(bytes),
        );
        // Every routed row is written, read, weighted and summed on every accelerator.
        let rows_moved = self.memory_seconds(10.0 * rows * self.hidden);
        let overhead = self.params.moe_overhead.as_secs();
        (roofline + Shares::of(Bound::Memory, rows_moved + overhead)).times(experts.count)
    }

    fn memory_seconds(&self, bytes: f64) -> f64 {
        bytes / (self.params.memory_efficiency * self.device.memory_bandwidth)
    }

    fn attention_seconds(&self, flops: f64) -> f64 {
        flops / (self.params.attention_efficiency * self.device.peak_flops)
    }
}

/// The projections of latent attention. Compressions are computed on every accelerator; expansions
/// and the output are split by heads.
fn latent_gemms(gemms: &mut Vec<Gemm>, mla: &Mla, layers: f64, hidden: f64, heads: f64) {
    let [q, kv, nope, rope, v] = [mla.q_lora, mla.kv_lora, mla.qk_nope, mla.qk_rope, mla.v].map(f64::from);
    let mut push = |n: f64, k: f64| gemms.push(Gemm { count: layers, n, k });
    if q > 0.0 {
        push(q + kv + rope, hidden);
        push(heads * (nope + rope), q);
    } else {
        push(kv + rope, hidden);
        push(heads * (nope + rope), hidden);
    }
    push(heads * (nope + v), kv);
    push(hidden, heads * v);
}

/// Σ over i = 1..=tokens of min(context + i, window): query-key pairs of a chunk under a window.
pub(super) fn windowed_pairs(tokens: u64, context: u64, window: u64) -> f64 {
    let below = window.saturating_sub(context).min(tokens);
    let (growing, full) = (below as f64, (tokens - below) as f64);
    // Either part may be empty, and an endless window is never multiplied.
    let growing = growing * (context as f64 + (growing + 1.0) / 2.0);
    if full > 0.0 { growing + full * window as f64 } else { growing }
}

#[cfg(test)]
mod tests {
    use super::windowed_pairs;

    #[test]
    fn windowed_pairs_count_what_each_token_sees() {
        for (tokens, context, window) in [(5, 0, 3), (5, 10, 3), (4, 2, 5), (7, 0, 100), (0, 9, 4), (6, 4, 4)]
        {
            let counted: u64 = (1..=tokens).map(|i| (context + i).min(window)).sum();
            assert_eq!(windowed_pairs(tokens, context, window), counted as f64);
        }
        assert_eq!(windowed_pairs(4, 1, u64::MAX), 2.0 + 3.0 + 4.0 + 5.0);
    }
}
