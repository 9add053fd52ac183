//! Number formats.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number format of weights, activations or KV cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 16-bit brain float.
    Bf16,
    /// 16-bit IEEE float; runs at the rate of `bf16` on every device of the catalog.
    Fp16,
    /// 8-bit float, any split of exponent and mantissa.
    Fp8,
    /// 8-bit integer.
    Int8,
    /// 4-bit float, without the scales that block formats add.
    Fp4,
    /// 4-bit integer, without the scales of its groups: a format of weights alone (AWQ, GPTQ), which are
    /// expanded to 16 bit before they are multiplied.
    Int4,
}

impl Precision {
    /// Every precision.
    pub const ALL: [Self; 6] = [Self::Bf16, Self::Fp16, Self::Fp8, Self::Int8, Self::Fp4, Self::Int4];

    /// Those in which engines keep a KV cache.
    pub const KV_CACHES: [Self; 4] = [Self::Bf16, Self::Fp16, Self::Fp8, Self::Int8];

    /// Bytes a number takes; half a byte for `fp4` and `int4`.
    pub const fn bytes(self) -> f64 {
        match self {
            Self::Bf16 | Self::Fp16 => 2.0,
            Self::Fp8 | Self::Int8 => 1.0,
            Self::Fp4 | Self::Int4 => 0.5,
        }
    }

    /// Bytes a weight takes with its share of the scales: `fp4` has one byte for 16 numbers (NVFP4), `int4` a
    /// 16-bit scale and a 4-bit zero for 128 (AWQ).
    pub const fn weight_bytes(self) -> f64 {
        match self {
            Self::Fp4 => 0.5 + 1.0 / 16.0,
            Self::Int4 => 0.5 + 2.5 / 128.0,
            other => other.bytes(),
        }
    }

    /// What numbers in this format are multiplied in unless said otherwise: themselves, but 16 bit for `int4`.
    #[must_use]
    pub const fn arithmetic(self) -> Self {
        match self {
            Self::Int4 => Self::Bf16,
            other => other,
        }
    }

    /// The name a scenario uses: `bf16`, `fp16`, `fp8`, `int8`, `fp4`, `int4`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::Fp16 => "fp16",
            Self::Fp8 => "fp8",
            Self::Int8 => "int8",
            Self::Fp4 => "fp4",
            Self::Int4 => "int4",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_ron_reads_and_writes() {
        for precision in Precision::ALL {
            assert_eq!(ron::from_str::<Precision>(precision.name()).unwrap(), precision);
            assert_eq!(ron::to_string(&precision).unwrap(), precision.name());
        }
    }
}
