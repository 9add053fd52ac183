//! Attention of steps with prompts and decoding sequences both: one launch for all, or one after the other.

use serde::{Deserialize, Serialize};

use super::attention::{DecodeCurve, PrefillCurve};
use super::grid::{check_above_zero, check_not_negative};

/// How prompts and decoding sequences share a launch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MixedRule {
    /// They are launched one after the other.
    Apart {
        /// Why that is assumed.
        because: String,
    },
    /// One launch for both, in which nothing splits the keys of a sequence:
    /// `t² = (τ·(max L + δ))² + (τ·Σ tiles·(L + δ)/SM + exposed·KV bytes of decode/BW)²`.
    Together {
        /// Rows of a tile of prompts.
        tile: u32,
        /// A key of a tile (ns).
        ns_per_key: f64,
        /// What a tile of prompts costs beside its keys (keys).
        prefill_keys: f64,
        /// What a decoding head costs beside its keys (keys).
        decode_keys: f64,
        /// Share of the time in which KV streams at the full bandwidth that walking it does not hide.
        exposed: f64,
        /// What it was fitted to.
        fitted_to: String,
    },
}

impl MixedRule {
    pub(super) fn check(&self) -> Result<(), String> {
        let Self::Together { tile, ns_per_key, prefill_keys, decode_keys, exposed, .. } = self else {
            return Ok(());
        };
        check_above_zero(&[("tile", f64::from(*tile))])?;
        check_not_negative(&[
            ("ns_per_key", *ns_per_key),
            ("prefill_keys", *prefill_keys),
            ("decode_keys", *decode_keys),
            ("exposed", *exposed),
        ])
    }
}

/// Seconds of attention in a step with prompts and decoding sequences.
#[derive(Clone, Debug)]
pub struct MixedCurve {
    /// Its prompts by themselves.
    pub prefill: PrefillCurve,
    /// Its decoding sequences by themselves.
    pub decode: DecodeCurve,
    rule: MixedRule,
}

impl MixedCurve {
    pub(super) fn new(prefill: PrefillCurve, decode: DecodeCurve, rule: &MixedRule) -> Self {
        Self { prefill, decode, rule: rule.clone() }
    }

    /// Seconds of pieces of prompts `(tokens, context)` and of `batch` decoding sequences that attend to
    /// `context` keys each, on average. Never less than either alone.
    pub fn seconds(&self, chunks: impl Iterator<Item = (f64, f64)> + Clone, batch: f64, context: f64) -> f64 {
        let prompts: f64 =
            chunks.clone().map(|(tokens, context)| self.prefill.seconds(1.0, tokens, context)).sum();
        if batch <= 0.0 {
            return prompts;
        }
        let decode = self.decode.seconds(batch, context);
        if prompts <= 0.0 {
            return decode;
        }
        match &self.rule {
            MixedRule::Apart { .. } => prompts + decode,
            MixedRule::Together { .. } => {
                self.together(&self.rule, chunks, batch, context).max(prompts).max(decode)
            }
        }
    }

    /// Seconds of one launch by a rule, without regard to what its parts take alone.
    pub(crate) fn together(
        &self,
        rule: &MixedRule,
        chunks: impl Iterator<Item = (f64, f64)>,
        batch: f64,
        context: f64,
    ) -> f64 {
        let MixedRule::Together { tile, ns_per_key, prefill_keys, decode_keys, exposed, .. } = rule else {
            return 0.0;
        };
        let shape = &self.prefill.shape;
        let (heads, kv_heads, head_dim) = shape.figures();
        let window = shape.window_tokens();
        let keys = context.min(window);
        let tile = f64::from(*tile);
        let mut longest = keys + decode_keys;
        let mut work = batch * heads * (keys + decode_keys);
        for (tokens, context) in chunks {
            let most = window + tile;
            let mean = (context + tokens / 2.0).min(most);
            longest = longest.max((context + tokens).min(most) + prefill_keys);
            work += (tokens / tile).ceil() * heads * (mean + prefill_keys);
        }
        let silicon = &self.prefill.silicon;
        work /= f64::from(silicon.multiprocessors);
        let bytes = 2.0 * shape.kv_cache.bytes() * batch * keys * kv_heads * head_dim;
        let memory = exposed * bytes / silicon.bandwidth();
        let tau = ns_per_key * 1e-9;
        libm::hypot(tau * longest, tau * work + memory)
    }
}
