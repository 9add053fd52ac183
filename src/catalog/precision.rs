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
}

impl Precision {
    /// Every precision.
    pub const ALL: [Self; 5] = [Self::Bf16, Self::Fp16, Self::Fp8, Self::Int8, Self::Fp4];

    /// Bytes a number takes; half a byte for `fp4`.
    pub const fn bytes(self) -> f64 {
        match self {
            Self::Bf16 | Self::Fp16 => 2.0,
            Self::Fp8 | Self::Int8 => 1.0,
            Self::Fp4 => 0.5,
        }
    }

    /// The name a scenario uses: `bf16`, `fp16`, `fp8`, `int8`, `fp4`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::Fp16 => "fp16",
            Self::Fp8 => "fp8",
            Self::Int8 => "int8",
            Self::Fp4 => "fp4",
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
