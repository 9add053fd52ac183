//! Kernels of experts whose tiles are known: what a device computes, tile by tile.
//!
//! A kernel cuts the rows of an expert into tiles of `m` and multiplies whole tiles, and an engine pads what the
//! kernel cannot cut. `m` is the smallest of a list that the mean rows of an expert, `T·k/El`, fill no more than
//! `fill` times; shards are padded to a multiple of `shard`, tokens to one of `hidden`:
//!
//! | kernel | `m` | `fill` | `shard` | `hidden` | source |
//! |---|---|---|---|---|---|
//! | `Marlin` | 8, 16, 32, 48, 64 | 0.9 | 128 | 256, `int4` neither | vLLM, `fused_marlin_moe.py`, `mxfp4.py` |
//! | `Triton` | 16, 32, 64, 128 | 1 | 128 | 1 | `triton_kernels`, `opt_flags.py`; the padding is seen in its times |
//! | `TrtLlm` | 8, 16, 32 | 2 | 256 | 256 | vLLM, `mxfp4.py`; the tiles are seen in its times |
//!
//! ```text
//! rows n_e of the device's experts      distinct D = Σ min(n_e, 1)      tiles B = Σ ⌈n_e/m⌉, and n_e where n_e < 1
//! ```
//!
//! Round robin: all `n_e` alike. Skewed: as the benchmark draws them (aiconfigurator, `power_law_logits_v3`): shares
//! by a power law of exponent 1.2 between 1 and 0.8·T, between 0.01 and 2 where there are fewer rows than experts, and
//! the device is that of the most popular expert. Here every expert has the share that is in the middle of its rank,
//! and the device every `ep`-th rank. Nothing of this is fitted.

use serde::{Deserialize, Serialize};

use super::kinds::WeightKind;
use super::moe::{MoeShape, Routing};

/// A kernel of experts whose tiles are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MoeKernel {
    /// 4-bit weights of any format, expanded to 16 bit in registers.
    Marlin,
    /// `OpenAI`'s own for `gpt-oss`.
    Triton,
    /// NVIDIA's for Blackwell.
    TrtLlm,
}

/// What a device computes in a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Load {
    /// Experts that have rows.
    pub distinct: f64,
    /// Tiles of rows.
    pub tiles: f64,
    /// Rows of a tile.
    pub tile: f64,
}

/// Exponent of the power law.
const SKEW: f64 = 1.2;
/// Experts that are counted one by one, the most popular first.
const ALONE: usize = 8;
/// Groups that the others are counted in.
const GROUPS: usize = 24;

impl MoeKernel {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Marlin => "Marlin",
            Self::Triton => "Triton",
            Self::TrtLlm => "TensorRT-LLM",
        }
    }

    const fn tiles(self) -> (&'static [f64], f64) {
        match self {
            Self::Marlin => (&[8.0, 16.0, 32.0, 48.0, 64.0], 0.9),
            Self::Triton => (&[16.0, 32.0, 64.0, 128.0], 1.0),
            Self::TrtLlm => (&[8.0, 16.0, 32.0], 2.0),
        }
    }

    /// The size of a token and of a shard of an expert, as they are multiplied.
    pub(crate) fn padded(self, kind: WeightKind, hidden: f64, shard: f64) -> (f64, f64) {
        let (shards, widths) = match self {
            // Integers that it cannot cut go through another kernel.
            Self::Marlin if kind == WeightKind::Int4 => return (hidden, shard),
            Self::Marlin => (128.0, 256.0),
            Self::Triton => (128.0, 1.0),
            Self::TrtLlm => (256.0, 256.0),
        };
        ((hidden / widths).ceil() * widths, (shard / shards).ceil() * shards)
    }

    /// What a device computes of so many tokens.
    pub(crate) fn load(self, routing: Routing, shape: &MoeShape, tokens: f64) -> Load {
        let (top_k, experts, ep) = (f64::from(shape.top_k), f64::from(shape.experts), f64::from(shape.ep));
        let local = (experts / ep).max(1.0);
        let (sizes, fill) = self.tiles();
        let mean = tokens * top_k / local;
        let tile = sizes.iter().copied().find(|size| mean <= fill * size).unwrap_or(sizes[sizes.len() - 1]);
        let (mut distinct, mut tiles) = (0.0, 0.0);
        let mut add = |rows: f64, count: f64| {
            distinct += count * rows.min(1.0);
            tiles += count * if rows < 1.0 { rows } else { (rows / tile).ceil() };
        };
        match routing {
            Routing::RoundRobin => add((tokens * top_k / ep).max(1.0) / local, local),
            Routing::Skewed => {
                let all: f64 = shares(tokens, top_k, experts, 1.0).map(|(share, count)| share * count).sum();
                for (share, count) in shares(tokens, top_k, experts, ep) {
                    add(tokens * top_k * share / all, count);
                }
            }
        }
        Load { distinct: distinct.max(1.0), tiles: tiles.max(1.0), tile }
    }
}

/// Shares of every `stride`-th expert by popularity, not normalised, and how many have each.
fn shares(tokens: f64, top_k: f64, experts: f64, stride: f64) -> impl Iterator<Item = (f64, f64)> {
    let (least, most): (f64, f64) =
        if tokens * top_k > experts { (1.0, (0.8 * tokens).max(1.0001)) } else { (0.01, 2.0) };
    let (low, high) = (libm::pow(least, 1.0 - SKEW), libm::pow(most, 1.0 - SKEW));
    let count = (experts / stride).max(1.0) as usize;
    let size = count.saturating_sub(ALONE).div_ceil(GROUPS).max(1);
    let rest = (ALONE..count).step_by(size).map(move |first| (first, size.min(count - first)));
    (0..count.min(ALONE)).map(|rank| (rank, 1)).chain(rest).map(move |(first, together)| {
        let rank = first as f64 + (together - 1) as f64 / 2.0;
        let below = 1.0 - (rank * stride + 0.5) / experts;
        (libm::pow((high - low) * below + low, 1.0 / (1.0 - SKEW)), together as f64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYER: MoeShape = MoeShape { hidden: 2880, inter: 2880, top_k: 4, experts: 128, tp: 1, ep: 1 };

    #[test]
    fn round_robin_fills_tiles_evenly() {
        let load = |tokens| MoeKernel::Marlin.load(Routing::RoundRobin, &LAYER, tokens);
        assert_eq!(load(1.0), Load { distinct: 4.0, tiles: 4.0, tile: 8.0 });
        assert_eq!(load(32.0), Load { distinct: 128.0, tiles: 128.0, tile: 8.0 });
        // 64 rows an expert are one tile, 96 are two.
        assert_eq!(load(2048.0), Load { distinct: 128.0, tiles: 128.0, tile: 64.0 });
        assert_eq!(load(3072.0), Load { distinct: 128.0, tiles: 256.0, tile: 64.0 });
    }

    #[test]
    fn skewed_rows_meet_fewer_experts_and_the_hottest_device_has_more() {
        let load = |ep, tokens| MoeKernel::TrtLlm.load(Routing::Skewed, &MoeShape { ep, ..LAYER }, tokens);
        assert!((load(1, 1.0).distinct - 4.0).abs() < 1e-9);
        let some = load(1, 64.0);
        assert!(some.distinct > 40.0 && some.distinct < 128.0, "{some:?}");
        // Of eight devices the hottest has more than an eighth of the tiles.
        assert!(8.0 * load(8, 8192.0).tiles > 1.2 * load(1, 8192.0).tiles);
    }

    #[test]
    fn what_cannot_be_cut_is_padded() {
        let padded = |kernel: MoeKernel, kind, shard| kernel.padded(kind, 2880.0, shard);
        assert_eq!(padded(MoeKernel::Marlin, WeightKind::Mxfp4, 360.0), (3072.0, 384.0));
        assert_eq!(padded(MoeKernel::Marlin, WeightKind::Int4, 360.0), (2880.0, 360.0));
        assert_eq!(padded(MoeKernel::Triton, WeightKind::Mxfp4, 90.0), (2880.0, 128.0));
        assert_eq!(padded(MoeKernel::TrtLlm, WeightKind::Mxfp4, 360.0), (3072.0, 512.0));
    }
}
