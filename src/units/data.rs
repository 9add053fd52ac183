//! Amounts of data, rates at which it moves, and fractions, as a scenario writes them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::GIB;

/// An amount of memory: `gib(128)`, `mib(64)` or `tib(1)`, or in powers of ten `gb(128)`, `mb(64)` or
/// `tb(1)`; finite and above zero.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "SizeText", into = "SizeText")]
#[schemars(with = "SizeText")]
pub struct ByteSize {
    written: SizeText,
}

/// How a [`ByteSize`] is written; kept, so that it is written back as it was.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(rename = "ByteSize", rename_all = "lowercase")]
#[schemars(extend("x-what" = "an amount of memory"))]
enum SizeText {
    /// Megabytes, of 10⁶ bytes.
    Mb(f64),
    /// Gigabytes, of 10⁹ bytes.
    Gb(f64),
    /// Terabytes, of 10¹² bytes.
    Tb(f64),
    /// Mebibytes, of 2²⁰ bytes.
    Mib(f64),
    /// Gibibytes, of 2³⁰ bytes.
    Gib(f64),
    /// Tebibytes, of 2⁴⁰ bytes.
    Tib(f64),
}

impl SizeText {
    fn bytes(self) -> f64 {
        match self {
            Self::Mb(v) => v * 1e6,
            Self::Gb(v) => v * 1e9,
            Self::Tb(v) => v * 1e12,
            Self::Mib(v) => v * GIB / 1024.0,
            Self::Gib(v) => v * GIB,
            Self::Tib(v) => v * GIB * 1024.0,
        }
    }
}

impl TryFrom<SizeText> for ByteSize {
    type Error = String;

    fn try_from(written: SizeText) -> Result<Self, String> {
        let bytes = written.bytes();
        if bytes.is_finite() && bytes > 0.0 {
            Ok(Self { written })
        } else {
            Err(format!("an amount of memory must be finite and above zero, found {bytes} bytes"))
        }
    }
}

impl From<ByteSize> for SizeText {
    fn from(size: ByteSize) -> Self {
        size.written
    }
}

impl ByteSize {
    /// Bytes.
    pub fn bytes(self) -> f64 {
        self.written.bytes()
    }
}

/// How fast data moves: `gb_per_s(150)`, `mb_per_s(500)` or `tb_per_s(3.35)`, in powers of ten; finite
/// and above zero.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "BandwidthText", into = "BandwidthText")]
#[schemars(with = "BandwidthText")]
pub struct Bandwidth {
    written: BandwidthText,
}

/// How a [`Bandwidth`] is written; kept, so that it is written back as it was.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(rename = "Bandwidth", rename_all = "snake_case")]
#[schemars(extend("x-what" = "a bandwidth"))]
enum BandwidthText {
    /// Gigabytes a second, of 10⁹ bytes.
    GbPerS(f64),
    /// Megabytes a second, of 10⁶ bytes.
    MbPerS(f64),
    /// Terabytes a second, of 10¹² bytes.
    TbPerS(f64),
}

impl BandwidthText {
    fn bytes_per_s(self) -> f64 {
        match self {
            Self::GbPerS(v) => v * 1e9,
            Self::MbPerS(v) => v * 1e6,
            Self::TbPerS(v) => v * 1e12,
        }
    }
}

impl TryFrom<BandwidthText> for Bandwidth {
    type Error = String;

    fn try_from(written: BandwidthText) -> Result<Self, String> {
        let rate = written.bytes_per_s();
        if rate.is_finite() && rate > 0.0 {
            Ok(Self { written })
        } else {
            Err(format!("a bandwidth must be finite and above zero, found {rate} bytes a second"))
        }
    }
}

impl From<Bandwidth> for BandwidthText {
    fn from(bandwidth: Bandwidth) -> Self {
        bandwidth.written
    }
}

impl Bandwidth {
    /// A bandwidth of `gb` gigabytes a second, which must be finite and above zero.
    pub const fn gb_per_s(gb: f64) -> Self {
        Self { written: BandwidthText::GbPerS(gb) }
    }

    /// Bytes a second.
    pub fn bytes_per_s(self) -> f64 {
        self.written.bytes_per_s()
    }
}

/// A share of the whole, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(with = "f64")]
pub struct Fraction(f64);

impl Fraction {
    /// All of it.
    pub const ONE: Self = Self(1.0);

    /// The share, from 0 to 1.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Fraction {
    type Error = String;

    fn try_from(share: f64) -> Result<Self, String> {
        if (0.0..=1.0).contains(&share) {
            Ok(Self(share))
        } else {
            Err(format!("a fraction must be from 0 to 1, found {share}"))
        }
    }
}

impl From<Fraction> for f64 {
    fn from(fraction: Fraction) -> Self {
        fraction.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_part_of_the_value() {
        let size = |text: &str| ron::from_str::<ByteSize>(text).map(ByteSize::bytes);
        assert_eq!(size("gib(2)").unwrap(), 2_147_483_648.0);
        assert_eq!(size("mib(64)").unwrap(), 67_108_864.0);
        assert_eq!(size("tib(1)").unwrap(), 1024.0 * GIB);
        assert_eq!([size("mb(1)"), size("gb(1)"), size("tb(1)")].map(Result::unwrap), [1e6, 1e9, 1e12]);
        let rate = |text: &str| ron::from_str::<Bandwidth>(text).map(Bandwidth::bytes_per_s);
        assert_eq!(
            [rate("mb_per_s(500)"), rate("gb_per_s(150)"), rate("tb_per_s(2)")].map(Result::unwrap),
            [5e8, 1.5e11, 2e12]
        );
        for bad in ["gib(0)", "gib(-1)", "gb(NaN)", "tb(inf)", "3", "ms(3)"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        for bad in ["gb_per_s(0)", "gb_per_s(-2)", "gb_per_s(inf)", "gb(3)"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
        for bad in ["1.01", "-0.1", "NaN"] {
            assert!(ron::from_str::<Fraction>(bad).is_err(), "{bad}");
        }
        assert_eq!(ron::from_str::<Fraction>("0.25").unwrap().get(), 0.25);
    }

    #[test]
    fn quantities_are_written_back_as_they_were() {
        for text in ["gib(128.0)", "tb(1.0)", "mb(0.3)"] {
            assert_eq!(ron::to_string(&ron::from_str::<ByteSize>(text).unwrap()).unwrap(), text);
        }
        let text = "gb_per_s(3.35)";
        assert_eq!(ron::to_string(&ron::from_str::<Bandwidth>(text).unwrap()).unwrap(), text);
    }
}
