//! Attention: surfaces over batch and length for each head size, KV format and window, compiled for the
//! heads of one model on one device.
//!
//! ```text
//! t(b, s)    = max( R , (t0 + R)·exp(r(b, s)) )            r: on a grid of heads, heads a KV head, b, s
//! t(b, c, p) = t(b, c) + τ·( (p − p₀)₊ + λ·(w − 1)·p )      a chunk of c tokens behind p cached ones
//!              w = ceil( ceil(c/64)·b·h / SM )
//! ```
//!
//! A chunk behind a cached prefix walks the prefix once for each wave of tiles of 64 rows, one key every
//! `τ`, but for the first `p₀`, which hide behind the launch; waves after the first take the share λ of it, as
//! they start where tiles end. Nothing splits the keys of a prompt. That rule was measured on one device (RTX PRO 6000,
//! `FlashAttention` 2); on others `τ` comes from their plain prompts, and the rule is carried over.
//!
//! Decode tables that were measured with the KV left in the cache are held to what a cold one takes, and where
//! the cache holds only a part of it, what a fifth of a cache takes from memory is added.
//! A model with more KV heads than were measured is priced as so many more sequences with fewer heads:
//! kernels do not tell a sequence from a head. A head size that was not measured borrows the residual of
//! the next larger one. Where a window was not measured, a prompt costs what it would without up to the
//! window, and from there on as much a token as at its end; a decoding sequence what its window costs.

use serde::{Deserialize, Serialize};

use super::curve::Surface;
use super::device::Silicon;
use super::grid::{Residuals, between, check_above_zero, check_axis, check_not_negative};
use super::kinds::AttentionShape;
use crate::catalog::Precision;

/// Share of the cache that a benchmark which repeats a kernel finds its KV in, where there is more KV than cache:
/// what RTX PRO 6000 shows between tables of repeated kernels and the same kernel inside vLLM (288 rows, four
/// shapes of heads; without it the tables are 7 % too fast).
const KEPT: f64 = 0.2;

/// Which tokens attend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Whole prompts, causally.
    Prefill,
    /// Single tokens, to all before them.
    Decode,
}

/// Measured attention of one head size, KV format and window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionTable {
    /// Which tokens attend.
    pub phase: Phase,
    /// Numbers in a head.
    pub head_dim: u32,
    /// Format of the KV cache.
    pub kv_cache: Precision,
    /// Keys a token sees at most; absent where it sees all before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u32>,
    /// The engine and version whose kernels were measured.
    pub table: String,
    /// Least time (µs).
    pub floor_us: f64,
    /// Share of the memory bandwidth at which large KV streams; for decode only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold: Option<f64>,
    /// Whether KV that fits was left in the cache between repetitions.
    pub hot: bool,
    /// Heads of keys and of values.
    pub kv_heads: Vec<f64>,
    /// Query heads a KV head.
    pub group: Vec<f64>,
    /// Sequences.
    pub batch: Vec<f64>,
    /// Tokens of a prompt, or keys of a decoding sequence.
    pub length: Vec<f64>,
    /// By `kv_heads`, `group`, `batch`, `length`.
    pub residual: Residuals,
}

/// What a prefix costs a chunk behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrefixRule {
    /// Rows of a tile.
    pub tile: u32,
    /// A key of the prefix, a wave of tiles (ns).
    pub ns_per_key: f64,
    /// Keys that the first wave walks in the time that a launch takes anyway, such as the rest of a tile of keys.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub free_keys: f64,
    /// What a key costs in each wave after the first, as a share: tiles of the next start where others end.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub later_waves: f64,
    /// What it was fitted to.
    pub fitted_to: String,
}

impl PrefixRule {
    pub(super) fn check(&self) -> Result<(), String> {
        check_above_zero(&[("tile", self.tile.into())])?;
        check_not_negative(&[
            ("ns_per_key", self.ns_per_key),
            ("free_keys", self.free_keys),
            ("later_waves", self.later_waves),
        ])
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

fn one() -> f64 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_one(number: &f64) -> bool {
    *number == 1.0
}

impl AttentionTable {
    pub(super) fn check(&self) -> Result<(), String> {
        let axes = [
            ("kv_heads", &self.kv_heads),
            ("group", &self.group),
            ("batch", &self.batch),
            ("length", &self.length),
        ];
        for (name, axis) in axes {
            check_axis(name, axis)?;
        }
        let expected: usize = axes.iter().map(|(_, axis)| axis.len()).product();
        if self.residual.len() != expected {
            return Err(format!("`residual` has {} numbers, expected {expected}", self.residual.len()));
        }
        if !(self.floor_us > 0.0 && self.cold.is_none_or(|cold| cold > 0.0)) {
            return Err("`floor_us` and `cold` must be above 0".to_owned());
        }
        Ok(())
    }

    /// Seconds by batch and length for these heads, as they were measured or `cold`.
    pub(crate) fn surface(&self, silicon: &Silicon, shape: &AttentionShape, cold: bool) -> Surface {
        let (heads, kv_heads, _) = shape.figures();
        let most = self.kv_heads.last().copied().unwrap_or(kv_heads);
        let fold = (kv_heads / most).max(1.0);
        let flat = self.flatten(kv_heads / fold, heads / kv_heads);
        let cold = self.cold.filter(|_| cold && self.hot);
        Surface::new(|batch, length| self.seconds(silicon, shape, &flat, fold, cold, batch, length))
    }

    /// Residuals by batch and length for these heads.
    fn flatten(&self, kv_heads: f64, group: f64) -> Vec<f64> {
        let size = self.batch.len() * self.length.len();
        let mut flat = vec![0.0; size];
        for (row, by_heads) in between(&self.kv_heads, kv_heads) {
            for (column, by_group) in between(&self.group, group) {
                let first = (row * self.group.len() + column) * size;
                for (at, residual) in flat.iter_mut().enumerate() {
                    *residual += by_heads * by_group * self.residual.at(first + at);
                }
            }
        }
        flat
    }

    fn seconds(
        &self,
        silicon: &Silicon,
        shape: &AttentionShape,
        flat: &[f64],
        fold: f64,
        cold: Option<f64>,
        batch: f64,
        length: f64,
    ) -> f64 {
        let mut residual = 0.0;
        for (row, by_batch) in between(&self.batch, batch * fold) {
            for (column, by_length) in between(&self.length, length) {
                residual += by_batch * by_length * flat[row * self.length.len() + column];
            }
        }
        let floor = self.floor_us * 1e-6;
        let bound = match self.phase {
            Phase::Prefill => silicon.prefill(shape, batch, length, 0.0),
            Phase::Decode => silicon.decode(shape, batch, length),
        };
        let seconds = ((floor + bound) * libm::exp(residual)).max(bound);
        let (_, kv_heads, head_dim) = shape.figures();
        let bytes = 2.0 * shape.kv_cache.bytes() * batch * length * kv_heads * head_dim;
        let Some(cold) = cold else { return seconds };
        let rate = silicon.bandwidth() * cold;
        let found = seconds + bytes.min(KEPT * silicon.cache_bytes()) / rate;
        if bytes <= 2.0 * silicon.cache_bytes() { found.max(floor + bytes / rate) } else { found }
    }
}

/// Seconds of causal attention in prompts.
#[derive(Clone, Debug)]
pub struct PrefillCurve {
    plain: Surface,
    rule: PrefixRule,
    pub(super) shape: AttentionShape,
    pub(super) silicon: Silicon,
    /// The window, where `plain` was not measured with it.
    bent: Option<f64>,
    /// The head size whose kernel stands in for one that was not measured.
    pub borrowed_head_dim: Option<u32>,
}

impl PrefillCurve {
    pub(super) fn new(
        silicon: &Silicon,
        table: &AttentionTable,
        rule: &PrefixRule,
        shape: &AttentionShape,
    ) -> Self {
        let measured = AttentionShape { window: table.window, ..*shape };
        Self {
            plain: table.surface(silicon, &measured, true),
            rule: rule.clone(),
            shape: *shape,
            silicon: silicon.clone(),
            bent: shape.window.filter(|_| table.window != shape.window).map(f64::from),
            borrowed_head_dim: Some(table.head_dim).filter(|dim| *dim != shape.head_dim),
        }
    }

    /// Seconds of `batch` prompts, or pieces of prompts, of `tokens` each behind `context` cached ones.
    #[inline]
    pub fn seconds(&self, batch: f64, tokens: f64, context: f64) -> f64 {
        let plain = match self.bent {
            // A tile at the window's edge walks one more of keys and one of rows.
            Some(window) if tokens > window + 2.0 * f64::from(self.rule.tile) => {
                let edge = window + 2.0 * f64::from(self.rule.tile);
                let (at_edge, full) = (self.plain.at(batch, edge), self.plain.at(batch, tokens));
                full.min(at_edge * (1.0 + 2.0 * (tokens - edge) / edge))
            }
            _ => self.plain.at(batch, tokens),
        };
        if context <= 0.0 {
            return plain;
        }
        (plain + self.prefix(batch, tokens, context)).max(self.least(batch, tokens, context))
    }

    /// The physical bound (s).
    pub(crate) fn least(&self, batch: f64, tokens: f64, context: f64) -> f64 {
        self.silicon.prefill(&self.shape, batch, tokens, context)
    }

    /// What the cached tokens add to `batch` pieces behind them (s); never falls along either.
    pub(crate) fn prefix(&self, batch: f64, tokens: f64, context: f64) -> f64 {
        let tile = f64::from(self.rule.tile);
        // Rows beyond the window see nothing of the prefix.
        let most = self.shape.window_tokens() + tile;
        let heads = batch * f64::from(self.shape.heads);
        let multiprocessors = f64::from(self.silicon.multiprocessors);
        let waves = ((tokens.min(most) / tile).ceil() * heads / multiprocessors).ceil();
        let keys = if most.is_finite() {
            // Those within the window of a row, on average over as many rows as these waves have at most:
            // within a wave more rows cost no less.
            let rows = (waves * multiprocessors * tile / heads).min(most);
            context.min(most - rows / 2.0)
        } else {
            context
        };
        let first = (keys - self.rule.free_keys).max(0.0);
        let later = self.rule.later_waves * (waves - 1.0) * keys;
        self.rule.ns_per_key * 1e-9 * (first + later)
    }
}

/// Seconds of attention of single tokens.
#[derive(Clone, Debug)]
pub struct DecodeCurve {
    surface: Surface,
    /// Keys beyond which nothing is read.
    window: f64,
    /// The head size whose kernel stands in for one that was not measured.
    pub borrowed_head_dim: Option<u32>,
}

impl DecodeCurve {
    pub(super) fn new(silicon: &Silicon, table: &AttentionTable, shape: &AttentionShape) -> Self {
        let measured = AttentionShape { window: table.window, ..*shape };
        Self {
            surface: table.surface(silicon, &measured, true),
            window: if table.window == shape.window { f64::INFINITY } else { shape.window_tokens() },
            borrowed_head_dim: Some(table.head_dim).filter(|dim| *dim != shape.head_dim),
        }
    }

    /// Seconds of `batch` tokens that attend to `context` keys each, on average.
    #[inline]
    pub fn seconds(&self, batch: f64, context: f64) -> f64 {
        self.surface.at(batch, context.min(self.window))
    }
}
