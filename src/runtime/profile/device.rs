//! The device a profile is of, and the least time that operators can take on it.
//!
//! With `P` the peak rate [FLOP/s] at the weights' precision, `BW` the memory bandwidth [B/s] and `b` the
//! bytes of a weight:
//!
//! ```text
//! gemm     R(m)      = max( 2mnk/P , (b·nk + b·mk + 2mn)/BW )
//! prefill  R(b, s)   = max( 4·b·h·d·(s(s+1)/2)/P , 4·b·s·(h+kv)·d/BW )      keys behind a prefix p: s·p more pairs
//! decode   R(b, S)   = max( 4·b·h·d·S/P , (2e·b·S·kv·d + 4·b·h·d)/BW )      e: bytes of a KV number
//! ```
//!
//! Peaks are the maker's, dense: no kernel can be faster, unless its operands were left in the cache by
//! the one before, which a benchmark that repeats a kernel does and an engine does not.

use serde::{Deserialize, Serialize};

use super::AttentionShape;
use super::grid::{check_above_zero, check_not_negative};
use super::kinds::WeightKind;

/// What bounds a kernel from below.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Silicon {
    /// Memory bandwidth [GB/s = 10⁹ B/s].
    pub gb_per_s: f64,
    /// Dense peak rate at `bf16` [TFLOP/s].
    pub bf16_tflops: f64,
    /// Dense peak rate at `fp8` [TFLOP/s], if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fp8_tflops: Option<f64>,
    /// Dense peak rate at `fp4` [TFLOP/s], if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fp4_tflops: Option<f64>,
    /// Streaming multiprocessors: how many tiles run side by side.
    pub multiprocessors: u32,
    /// Second-level cache (MB = 10⁶ B).
    pub cache_mb: f64,
}

impl Silicon {
    pub(super) fn check(&self) -> Result<(), String> {
        check_above_zero(&[
            ("gb_per_s", self.gb_per_s),
            ("bf16_tflops", self.bf16_tflops),
            ("fp8_tflops", self.fp8_tflops.unwrap_or(1.0)),
            ("fp4_tflops", self.fp4_tflops.unwrap_or(1.0)),
            ("multiprocessors", self.multiprocessors.into()),
        ])?;
        check_not_negative(&[("cache_mb", self.cache_mb)])
    }

    /// Memory bandwidth [B/s].
    pub fn bandwidth(&self) -> f64 {
        self.gb_per_s * 1e9
    }

    /// Second-level cache (bytes).
    pub fn cache_bytes(&self) -> f64 {
        self.cache_mb * 1e6
    }

    /// Peak rate [FLOP/s] of arithmetic on weights of this kind; of `bf16` where the device does not
    /// accelerate the kind's own.
    pub fn peak(&self, kind: WeightKind) -> f64 {
        let own = match kind {
            WeightKind::Bf16 | WeightKind::Int4 | WeightKind::Mxfp4 => None,
            WeightKind::Fp8 | WeightKind::Fp8Block => self.fp8_tflops,
            WeightKind::Nvfp4 => self.fp4_tflops,
        };
        own.unwrap_or(self.bf16_tflops) * 1e12
    }

    /// Least seconds of a product of `m` rows with an `n` × `k` matrix.
    pub fn gemm(&self, kind: WeightKind, m: f64, n: f64, k: f64) -> f64 {
        let bytes = kind.bytes() * (n * k + m * k) + 2.0 * m * n;
        (2.0 * m * n * k / self.peak(kind)).max(bytes / self.bandwidth())
    }

    /// Least seconds of causal attention in `batch` prompts of `tokens`, each behind `context` cached ones,
    /// where each token sees `window` keys at most.
    pub fn prefill(&self, shape: &AttentionShape, batch: f64, tokens: f64, context: f64) -> f64 {
        let (h, kv, d) = shape.figures();
        let pairs = pairs(tokens, context, shape.window_tokens());
        let flops = 4.0 * batch * h * d * pairs;
        let bytes = 4.0 * batch * tokens * (h + kv) * d;
        (flops / self.peak(WeightKind::Bf16)).max(bytes / self.bandwidth())
    }

    /// Least seconds of attention of `batch` single tokens, each to `context` keys.
    pub fn decode(&self, shape: &AttentionShape, batch: f64, context: f64) -> f64 {
        let (h, kv, d) = shape.figures();
        let context = context.min(shape.window_tokens());
        let flops = 4.0 * batch * h * d * context;
        let bytes = 2.0 * shape.kv_cache.bytes() * batch * context * kv * d + 4.0 * batch * h * d;
        (flops / self.peak(WeightKind::Bf16)).max(bytes / self.bandwidth())
    }
}

/// Query-key pairs of a causal chunk of `c` tokens behind `p` cached ones, where a token sees `window`
/// keys at most, itself included.
fn pairs(c: f64, p: f64, window: f64) -> f64 {
    // So many tokens see all keys before them.
    let free = (window - p).clamp(0.0, c);
    let within = free * p + free * (free + 1.0) / 2.0;
    if free < c { within + (c - free) * window } else { within }
}
