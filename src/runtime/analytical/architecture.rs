//! What fraction of its data sheet a device reaches, by architecture.
//!
//! Each set was read off the operator tables of NVIDIA aiconfigurator (Apache-2.0, vLLM 0.14 to 0.24) by least
//! squares on the logarithm of the time, large and small operators alike; rows that lie in the L2 cache of GDDR
//! devices are left out. Errors are medians of the absolute error over all rows of a table, (bf16, fp8 products;
//! prefill, decode attention at head size 128).
//!
//! | set | measured on | products | attention |
//! |---|---|---|---|
//! | Ampere | A100 SXM | 6.8 % | 9 %, 15 % |
//! | Ada | L40S | 6.8, 6.4 % | 10 %, 15 % |
//! | Hopper | H100, H200 SXM | 6.5, 7.5 % | 6 %, 5 % |
//! | Blackwell | B200 SXM | 7.7, 10 % | 11 %, 6 % |
//! | `BlackwellGddr` | RTX PRO 6000 | 3.2, 4.9 % | 9 %, 14 % |
//!
//! Any other device has the set `Other`, which nobody measured: what the five have in common. Announced devices
//! of NVIDIA have that of the last architecture they resemble.

/// Devices that reach alike fractions of their data sheets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// NVIDIA A100, A30, A10.
    Ampere,
    /// NVIDIA L40S, L4.
    Ada,
    /// NVIDIA H100, H200, GH200.
    Hopper,
    /// NVIDIA B200 and its kin; Rubin for want of measurements.
    Blackwell,
    /// NVIDIA RTX PRO 6000.
    BlackwellGddr,
    /// Anything else.
    #[default]
    Other,
}

/// By width of the numbers multiplied: 16, 8 and 4 bits.
pub(super) type ByWidth = [f64; 3];

/// Fractions of the data sheet, and times that do not shrink with the operator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Efficiencies {
    /// Of peak arithmetic, in large matrix products.
    pub compute: ByWidth,
    /// Of peak bandwidth, streaming weights.
    pub weights: ByWidth,
    /// A product of no size (s).
    pub product: ByWidth,
    /// A wave of tiles walks all k of a product however few columns it has: seconds per element of k.
    pub walk: ByWidth,
    /// Of peak 16-bit arithmetic, in prefill attention.
    pub attention: f64,
    /// Keys past the causal diagonal that a tile of prefill attention computes in vain.
    pub tile_keys: f64,
    /// Rows of queries, over all heads, that fill all cores: tiles of 64 rows on each.
    pub full_rows: f64,
    /// Attention of one layer of no size (s).
    pub attend: f64,
    /// Of peak bandwidth, reading KV: in 16 and in 8 bits.
    pub kv: [f64; 2],
    /// Of peak arithmetic, in grouped products of routed experts.
    pub experts: f64,
    /// Of peak bandwidth, moving the rows that are routed.
    pub rows: f64,
    /// Routed experts of one layer, which are several kernels (s).
    pub route: f64,
}

const US: f64 = 1e-6;
const NS: f64 = 1e-9;

const AMPERE: Efficiencies = Efficiencies {
    compute: [0.83, 0.60, 0.60],
    weights: [0.75, 0.72, 0.60],
    product: [5.5 * US, 6.0 * US, 7.0 * US],
    walk: [0.8 * NS, 3.0 * NS, 3.0 * NS],
    attention: 0.56,
    tile_keys: 150.0,
    full_rows: 64.0 * 108.0,
    attend: 12.0 * US,
    kv: [0.70, 0.65],
    experts: 0.34,
    rows: 0.19,
    route: 60.0 * US,
};

const ADA: Efficiencies = Efficiencies {
    compute: [0.655, 0.545, 0.50],
    weights: [0.78, 0.71, 0.60],
    product: [1.5 * US, 4.2 * US, 5.0 * US],
    walk: [0.0, 3.7 * NS, 3.7 * NS],
    attention: 0.50,
    tile_keys: 150.0,
    full_rows: 64.0 * 142.0,
    attend: 8.0 * US,
    kv: [0.79, 0.78],
    experts: 0.69,
    rows: 0.45,
    route: 11.0 * US,
};

const HOPPER: Efficiencies = Efficiencies {
    compute: [0.82, 0.70, 0.60],
    weights: [0.86, 0.84, 0.70],
    product: [3.5 * US, 5.0 * US, 7.0 * US],
    walk: [0.1 * NS, 2.9 * NS, 2.9 * NS],
    attention: 0.67,
    tile_keys: 300.0,
    full_rows: 64.0 * 132.0,
    attend: 10.5 * US,
    kv: [0.83, 0.66],
    experts: 0.56,
    rows: 0.30,
    route: 35.0 * US,
};

const BLACKWELL: Efficiencies = Efficiencies {
    compute: [0.75, 0.34, 0.47],
    weights: [0.80, 0.64, 0.70],
    product: [3.1 * US, 5.6 * US, 7.2 * US],
    walk: [0.4 * NS, 0.9 * NS, 0.9 * NS],
    attention: 0.51,
    tile_keys: 150.0,
    full_rows: 64.0 * 148.0,
    attend: 10.0 * US,
    kv: [0.86, 0.84],
    experts: 0.48,
    rows: 0.145,
    route: 38.0 * US,
};

const BLACKWELL_GDDR: Efficiencies = Efficiencies {
    compute: [0.845, 0.78, 0.71],
    weights: [0.84, 0.82, 0.59],
    product: [4.0 * US, 4.6 * US, 6.0 * US],
    walk: [0.0, 3.4 * NS, 4.2 * NS],
    attention: 0.56,
    tile_keys: 120.0,
    full_rows: 64.0 * 188.0,
    attend: 9.0 * US,
    kv: [0.81, 0.82],
    experts: 0.35,
    rows: 0.70,
    route: 27.0 * US,
};

const OTHER: Efficiencies = Efficiencies {
    compute: [0.78, 0.60, 0.50],
    weights: [0.81, 0.75, 0.65],
    product: [4.0 * US, 5.0 * US, 6.0 * US],
    walk: [0.3 * NS, 2.5 * NS, 2.5 * NS],
    attention: 0.56,
    tile_keys: 200.0,
    full_rows: 64.0 * 132.0,
    attend: 10.0 * US,
    kv: [0.80, 0.75],
    experts: 0.48,
    rows: 0.30,
    route: 35.0 * US,
};

/// Starts of names in the catalog.
const NAMES: [(&str, Architecture); 15] = [
    ("A100", Architecture::Ampere),
    ("A30", Architecture::Ampere),
    ("A10", Architecture::Ampere),
    ("L40", Architecture::Ada),
    ("L4", Architecture::Ada),
    ("H100", Architecture::Hopper),
    ("H200", Architecture::Hopper),
    ("GH200", Architecture::Hopper),
    ("B100", Architecture::Blackwell),
    ("B200", Architecture::Blackwell),
    ("B300", Architecture::Blackwell),
    ("GB200", Architecture::Blackwell),
    ("GB300", Architecture::Blackwell),
    ("Rubin", Architecture::Blackwell),
    ("RTX-PRO-6000", Architecture::BlackwellGddr),
];

impl Architecture {
    /// That of the device of this name.
    pub fn of(name: &str) -> Self {
        let known = NAMES.iter().find(|(start, _)| name.starts_with(start));
        known.map_or(Self::Other, |(_, architecture)| *architecture)
    }

    /// Whether vLLM attends with `FlashAttention` 2 on it: to prompts and decoding sequences in one launch, in which
    /// nothing splits the keys of a sequence, and a token that decodes takes a tile of queries to itself.
    pub const fn attends_in_one_launch(self) -> bool {
        matches!(self, Self::Ampere | Self::Ada | Self::BlackwellGddr)
    }

    /// How well devices of it do.
    pub(super) const fn efficiencies(self) -> &'static Efficiencies {
        match self {
            Self::Ampere => &AMPERE,
            Self::Ada => &ADA,
            Self::Hopper => &HOPPER,
            Self::Blackwell => &BLACKWELL,
            Self::BlackwellGddr => &BLACKWELL_GDDR,
            Self::Other => &OTHER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    #[test]
    fn devices_of_the_catalog_have_the_set_of_their_kin() {
        let of = |name: &str| Architecture::of(&Catalog::embedded().accelerator(name).unwrap().name);
        assert_eq!(of("A100-80GB-PCIe"), Architecture::Ampere);
        assert_eq!(of("H200-SXM-141GB"), Architecture::Hopper);
        assert_eq!(of("L40S"), Architecture::Ada);
        assert_eq!(of("GB300 (per GPU)"), Architecture::Blackwell);
        assert_eq!(of("RTX-PRO-6000-Server"), Architecture::BlackwellGddr);
        assert_eq!(of("MI300X"), Architecture::Other);
    }
}
