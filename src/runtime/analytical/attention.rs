//! Attention over keys and values.
//!
//! Per device: H query heads, φ FLOPs per query-key pair over all of them, κ bytes of KV per token, q bytes of queries
//! and outputs per token; at F FLOP/s and B bytes/s:
//!
//! ```text
//! prefill  t = t_attend + √( max(C, C_longest)² + ((κ·Σ(context + chunk) + q·Σchunk)/B)² )
//!            C = φ·Σ(pairs + δ·chunk)/F           pairs = c·p + c(c + 1)/2 (causal), c(p + c) in an encoder
//!            C_longest = φ/H·rows·max(p + c/2)/F   rows: 64 on every core
//! decode   t = t_attend + q·sequences/B + √( (φ/F)² + (κ/B)² )·Σcontext
//! ```
//! δ is the work that a tile does past the diagonal. A tile walks its keys one after another, so a step takes as long
//! as its longest tile even where tiles are too few for all cores: a chunk of 16 tokens behind 16,000 costs
//! much more than its pairs.
//!
//! | | φ | κ (elements) |
//! |---|---|---|
//! | multi-head, grouped-query | 4Hd | 2Kd, K at least 1: a head is copied rather than split |
//! | latent, decode | 2H(2·`kv_rank` + rope) | `kv_rank` + rope, on every device |
//! | latent, prefill | 2H(nope + rope + v), and 2·`kv_rank`·H(nope + v) for each cached token | the same |
//!
//! A layer with a window attends to no more than its tokens. Unfused, all pairs are scored, masked or not, and every
//! score is written, read, normalised and read again (8 bytes a head) by three kernels instead of one.
//!
//! In one launch with prompts (`FlashAttention` 2), each head of a decoding sequence walks all its keys with a tile of
//! 64 rows, of which it fills one, and half of what its KV takes from memory is not hidden behind that:
//!
//! ```text
//! t = C + 64·φ·(Σcontext + 225·sequences)/F + 0.53·κ·Σcontext/B, where that is longer than both apart
//! ```
//! 225 keys and 0.53 are fitted to 75,840 mixed launches on RTX PRO 6000 (`LLMServingSim`, vLLM 0.19).
//!
//! Left out: KV that lies in a cache on the chip.

use super::line::{Line, Sink};
use super::rates::{ACTIVATION_BYTES, ON_CHIP, Rates};
use super::shape::{DecoderShape, Deployment};
use super::shares::Shares;
use crate::runtime::{Bound, Chunk, Part, StepShape};

/// Bytes that a score takes on its way through memory, unfused: written, read, written normalised, read.
const SCORE_BYTES: f64 = 4.0 * ACTIVATION_BYTES;

/// Rows of queries in a tile.
const TILE: f64 = 64.0;
/// What a decoding head costs a launch with prompts beside its keys (keys).
const DECODE_KEYS: f64 = 225.0;
/// Share of the time of reading KV that such a launch does not hide.
const EXPOSED: f64 = 0.53;

/// Attention of one layer on one device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attention {
    heads: f64,
    /// φ of prefill.
    prefill_flops: f64,
    /// FLOPs per cached token of prefill, to expand latent keys and values.
    expand_flops: f64,
    /// φ of decode.
    decode_flops: f64,
    /// κ, in bytes.
    kv_bytes: f64,
    /// q.
    query_bytes: f64,
    full_layers: f64,
    windowed_layers: f64,
    window: u64,
    bidirectional: bool,
    fused: bool,
    /// Whether prompts and decoding sequences share a launch that splits no sequence.
    pub one_launch: bool,
}

/// The price of decode attention, linear in the tokens attended to.
#[derive(Clone, Copy, Debug)]
pub(super) struct DecodeAttention {
    /// What bounds it.
    pub bound: Bound,
    /// Seconds per token of Σ context, over the layers without a window.
    pub per_token: f64,
    /// Seconds per token of Σ min(context, window), over the layers with one.
    pub per_windowed_token: f64,
    /// Tokens of the window.
    pub window: u64,
}

impl DecodeAttention {
    /// The part that grows with the context (s).
    ///
    /// Only Σ context is known, so windowed layers are taken to read min(Σ context, sequences ·
    /// window): what equally long sequences read, and never less than unequal ones do.
    pub fn seconds(&self, sequences: u32, context: u64) -> f64 {
        let windowed = self.windowed(sequences, context);
        context as f64 * self.per_token + windowed as f64 * self.per_windowed_token
    }

    fn windowed(&self, sequences: u32, context: u64) -> u64 {
        context.min(u64::from(sequences).saturating_mul(self.window))
    }
}

impl Attention {
    /// Of a model deployed so; also the elements a token adds to the cache and those that are rotated.
    pub fn new(shape: &DecoderShape, deployment: &Deployment, fused: bool) -> (Self, f64, f64) {
        let ranks = f64::from(deployment.tensor_parallel);
        let heads = f64::from(shape.heads) / ranks;
        let (full_layers, windowed_layers) = shape.attention_layers();
        let of = |prefill_flops, expand_flops, decode_flops, kv_elements, query_elements| Self {
            heads,
            prefill_flops,
            expand_flops,
            decode_flops,
            kv_bytes: kv_elements * deployment.kv_bytes,
            query_bytes: query_elements * ACTIVATION_BYTES,
            full_layers,
            windowed_layers,
            window: shape.window_tokens(),
            bidirectional: shape.bidirectional,
            fused,
            // Latent attention decodes with a kernel of its own.
            one_launch: fused && shape.mla.is_none(),
        };
        match shape.mla {
            None => {
                let kv_heads = (f64::from(shape.kv_heads) / ranks).max(1.0);
                let head_dim = f64::from(shape.head_dim);
                let (pair, kv) = (4.0 * heads * head_dim, 2.0 * kv_heads * head_dim);
                let attention = of(pair, 0.0, pair, kv, 2.0 * heads * head_dim);
                (attention, kv, (heads + kv_heads) * head_dim)
            }
            Some(mla) => {
                let [kv, nope, rope, v] = [mla.kv_lora, mla.qk_nope, mla.qk_rope, mla.v].map(f64::from);
                let prefill = 2.0 * heads * (nope + rope + v);
                let expand = 2.0 * kv * heads * (nope + v);
                let decode = 2.0 * heads * (2.0 * kv + rope);
                let attention = of(prefill, expand, decode, kv + rope, heads * (2.0 * kv + rope));
                (attention, kv + rope, (heads + 1.0) * rope)
            }
        }
    }

    fn layers(&self) -> f64 {
        self.full_layers + self.windowed_layers
    }

    /// Kernels of one layer.
    fn ramp(&self, rates: &Rates) -> f64 {
        if self.fused { rates.attend } else { 2.0 * rates.product.ramp + rates.kernel }
    }

    /// Decode attention without the part that grows with the context, into `sink`.
    pub fn add_queries(&self, sequences: u32, rates: &Rates, sink: &mut impl Sink) {
        if sequences > 0 {
            let bytes = if rates.genz() { 0.0 } else { f64::from(sequences) * self.query_bytes };
            let near = if rates.genz() { f64::from(sequences) * self.query_bytes / ON_CHIP } else { 0.0 };
            let one = Shares::of(Bound::Memory, self.ramp(rates) + bytes / rates.kv + near);
            sink.take(Line::new(
                "decode attention: queries",
                Part::Attention,
                self.layers(),
                one,
                0.0,
                bytes,
            ));
        }
    }

    /// The part of decode attention that grows with the context.
    pub fn decode(&self, rates: &Rates) -> DecodeAttention {
        let scores = if self.fused { 0.0 } else { SCORE_BYTES * self.heads };
        // GenZ writes and reads each score, on the chip.
        let near = if rates.genz() { 2.0 * ACTIVATION_BYTES * self.heads / ON_CHIP } else { 0.0 };
        let (compute, memory) =
            (self.decode_flops / rates.attention, (self.kv_bytes + scores) / rates.kv + near);
        let per_token = rates.roofline(compute, memory);
        DecodeAttention {
            bound: per_token.largest(),
            per_token: self.full_layers * per_token.seconds(),
            per_windowed_token: self.windowed_layers * per_token.seconds(),
            window: self.window,
        }
    }

    /// The part of decode attention that grows with the context, into `sink`.
    pub fn add_decode(&self, shape: &StepShape<'_>, rates: &Rates, sink: &mut impl Sink) {
        if shape.decode_seqs > 0 {
            let price = self.decode(rates);
            let (sequences, context) = (shape.decode_seqs, shape.decode_context);
            let shares = Shares::of(price.bound, price.seconds(sequences, context));
            let windowed = price.windowed(sequences, context) as f64;
            let tokens = self.full_layers * context as f64 + self.windowed_layers * windowed;
            sink.take(Line {
                operator: "decode attention: keys and values",
                part: Part::Attention,
                calls: self.layers(),
                shares,
                flops: tokens * self.decode_flops,
                bytes: tokens * self.kv_bytes,
            });
        }
    }

    /// Prefill attention of all chunks of a step, into `sink`.
    pub fn add_prefill(&self, shape: &StepShape<'_>, rates: &Rates, sink: &mut impl Sink) {
        if shape.prefill_tokens() == 0 {
            return;
        }
        let ramp = Shares::of(Bound::Memory, self.ramp(rates));
        if self.full_layers > 0.0 {
            let (one, flops, bytes) = self.prefill_layer(shape, u64::MAX, rates);
            let line = Line::new(PREFILL, Part::Attention, self.full_layers, one + ramp, flops, bytes);
            sink.take(line);
        }
        if self.windowed_layers > 0.0 {
            let (one, flops, bytes) = self.prefill_layer(shape, self.window, rates);
            let name = "prefill attention: window";
            sink.take(Line::new(name, Part::Attention, self.windowed_layers, one + ramp, flops, bytes));
        }
    }

    /// What prompts and decoding sequences take longer in one launch than apart, into `sink`.
    pub fn add_mixed(&self, shape: &StepShape<'_>, rates: &Rates, sink: &mut impl Sink) {
        if !self.one_launch || shape.decode_seqs == 0 || shape.prefill_tokens() == 0 {
            return;
        }
        let decode = self.decode(rates);
        let sequences = f64::from(shape.decode_seqs);
        let queries = self.ramp(rates) + sequences * self.query_bytes / rates.kv;
        let mut longer = 0.0;
        for (layers, per_token, windowed) in [
            (self.full_layers, decode.per_token, false),
            (self.windowed_layers, decode.per_windowed_token, true),
        ] {
            if layers == 0.0 {
                continue;
            }
            let (context, window) = if windowed {
                (decode.windowed(shape.decode_seqs, shape.decode_context) as f64, self.window)
            } else {
                (shape.decode_context as f64, u64::MAX)
            };
            let (prompts, flops, _) = self.prefill_layer(shape, window, rates);
            let walked = TILE * self.decode_flops * (context + DECODE_KEYS * sequences);
            let together = (flops + walked) / rates.attention + EXPOSED * context * self.kv_bytes / rates.kv;
            let apart = prompts.seconds() + queries + context * per_token / layers;
            longer += layers * (together - apart).max(0.0);
        }
        let one = Shares::of(Bound::Compute, longer / self.layers());
        sink.take(Line::new("attention in one launch", Part::Attention, self.layers(), one, 0.0, 0.0));
    }

    /// One layer of it: time, FLOPs, bytes.
    fn prefill_layer(&self, shape: &StepShape<'_>, window: u64, rates: &Rates) -> (Shares, f64, f64) {
        let all_pairs = self.bidirectional || !self.fused || rates.genz();
        let (mut pairs, mut kept, mut longest) = (0.0, 0_u64, 0.0_f64);
        for chunk in shape.prefill {
            let (tokens, context) = (u64::from(chunk.tokens), u64::from(chunk.context));
            pairs += if all_pairs { mutual_pairs(chunk, window) } else { causal_pairs(chunk, window) };
            kept += context.min(window);
            longest = longest.max((context as f64 + tokens as f64 / 2.0).min(window as f64));
        }
        let tokens = shape.prefill_tokens() as f64;
        // Without a mask no tile reaches past the diagonal.
        let computed = if all_pairs { pairs } else { pairs + tokens * rates.tile_keys };
        let flops = computed * self.prefill_flops + kept as f64 * self.expand_flops;
        let bytes = (kept as f64 + tokens) * self.kv_bytes + tokens * self.query_bytes;
        if !self.fused {
            return self.unfused_layer(pairs, flops, bytes, rates);
        }
        let walk = longest * rates.full_rows * self.prefill_flops / self.heads;
        let compute = flops.max(walk) / rates.attention;
        let near = if rates.genz() { 2.0 * ACTIVATION_BYTES * pairs * self.heads / ON_CHIP } else { 0.0 };
        (rates.roofline(compute, bytes / rates.kv + near), flops, bytes)
    }

    /// Two products of half the arithmetic each, and a softmax between them.
    fn unfused_layer(&self, pairs: f64, flops: f64, bytes: f64, rates: &Rates) -> (Shares, f64, f64) {
        let scores = pairs * self.heads * ACTIVATION_BYTES;
        let product =
            rates.roofline(0.5 * flops / rates.head.flops, (0.5 * bytes + scores) / rates.head.memory);
        let softmax = Shares::of(Bound::Memory, 2.0 * scores / rates.elementwise);
        (product.times(2.0) + softmax, flops, bytes + 4.0 * scores)
    }
}

const PREFILL: &str = "prefill attention";

/// Query-key pairs of a chunk, each token seeing those before it, no more than `window` of them.
fn causal_pairs(chunk: &Chunk, window: u64) -> f64 {
    windowed_pairs(u64::from(chunk.tokens), u64::from(chunk.context), window)
}

/// Query-key pairs where every token of a text sees all of it, or `window` tokens of it.
fn mutual_pairs(chunk: &Chunk, window: u64) -> f64 {
    let seen = (u64::from(chunk.context) + u64::from(chunk.tokens)).min(window);
    f64::from(chunk.tokens) * seen as f64
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
