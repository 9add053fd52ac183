//! What a profile's tables tell apart: number formats of weights and of the KV cache, shapes of attention.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::catalog::Precision;

/// How weights are stored, which decides the kernels that multiply them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WeightKind {
    /// 16 bits.
    Bf16,
    /// 8-bit floats with a scale a tensor or a channel.
    Fp8,
    /// 8-bit floats with a scale a block of 128 × 128.
    Fp8Block,
    /// 4-bit floats with a scale of 8 bits every 16.
    Nvfp4,
    /// 4-bit integers that are multiplied in 16 bits.
    Int4,
    /// 4-bit floats with a scale of 8 bits every 32, multiplied in 16 bits.
    Mxfp4,
}

impl WeightKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [Self::Bf16, Self::Fp8, Self::Fp8Block, Self::Nvfp4, Self::Int4, Self::Mxfp4];

    /// The kind a precision stands for, unless more is known; none for `int8`, which was never measured.
    pub const fn of(precision: Precision) -> Option<Self> {
        match precision {
            Precision::Bf16 | Precision::Fp16 => Some(Self::Bf16),
            Precision::Fp8 => Some(Self::Fp8),
            Precision::Fp4 => Some(Self::Nvfp4),
            Precision::Int4 => Some(Self::Int4),
            Precision::Int8 => None,
        }
    }

    /// Bytes of a weight, scales of 4-bit blocks included.
    pub const fn bytes(self) -> f64 {
        match self {
            Self::Bf16 => 2.0,
            Self::Fp8 | Self::Fp8Block => 1.0,
            Self::Nvfp4 | Self::Int4 => 0.5625,
            Self::Mxfp4 => 0.53125,
        }
    }

    /// Whether so many tokens are cut into tiles without a remainder that costs extra: fp8 kernels pay
    /// for one of 16 above 256 tokens, block-scaled ones for one of 4.
    pub fn aligned(self, tokens: u32) -> bool {
        match self {
            Self::Fp8Block => tokens.is_multiple_of(4),
            _ => tokens <= 256 || tokens.is_multiple_of(16),
        }
    }

    /// Its name: `bf16`, `fp8`, `fp8_block`, `nvfp4`, `int4`, `mxfp4`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::Fp8 => "fp8",
            Self::Fp8Block => "fp8_block",
            Self::Nvfp4 => "nvfp4",
            Self::Int4 => "int4",
            Self::Mxfp4 => "mxfp4",
        }
    }
}

impl fmt::Display for WeightKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The attention of a layer, or of its share on one device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: u32,
    /// Heads of keys and of values.
    pub kv_heads: u32,
    /// Numbers in a head.
    pub head_dim: u32,
    /// Format of the KV cache.
    pub kv_cache: Precision,
    /// Keys a token sees at most; absent where it sees all before it.
    pub window: Option<u32>,
}

impl AttentionShape {
    /// Query heads, KV heads, numbers in a head.
    pub(super) fn figures(&self) -> (f64, f64, f64) {
        (f64::from(self.heads), f64::from(self.kv_heads), f64::from(self.head_dim))
    }

    pub(super) fn window_tokens(&self) -> f64 {
        self.window.map_or(f64::INFINITY, f64::from)
    }
}
