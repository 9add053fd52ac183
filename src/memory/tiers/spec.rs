//! A tier as a scenario writes it.

#![allow(clippy::doc_markdown)] // product names are not code, and users read these comments

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::MemoryTier;
use crate::scenario::Problem;
use crate::units::{Bandwidth, ByteSize, Fraction, Span};

/// A tier of memory that holds KV.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TierSpec {
    /// What it is called in results; unique in its hierarchy.
    pub name: String,
    /// How long it takes from asking to the first byte, such as `ns(80)` for DDR4 or `us(50)` for NVMe.
    pub lookup: Span,
    /// How fast it is read, such as `gb_per_s(150)` for DDR4 or `gb_per_s(7)` for NVMe.
    pub bandwidth: Bandwidth,
    /// The share of look-ups that find the context here, 0 to 1, among those that come this far.
    /// Default: 1, so that no tier behind this one is ever asked.
    #[serde(default = "always")]
    pub hit_rate: Fraction,
    /// What it holds at most, such as `gib(512)`: a larger context cannot be here. Default: none, it
    /// holds any.
    #[serde(default)]
    pub capacity: Option<ByteSize>,
}

const fn always() -> Fraction {
    Fraction::ONE
}

impl TierSpec {
    /// Effective figures of eight channels of DDR4-2666 and of an NVMe drive on PCIe 4.0 ×4, as the MIST
    /// paper's §IV-B5 has them, each holding everything.
    pub fn of_the_paper() -> [Self; 2] {
        let tier = |name: &str, lookup_s, gb_per_s| Self {
            name: name.to_owned(),
            lookup: Span::from_secs(lookup_s),
            bandwidth: Bandwidth::gb_per_s(gb_per_s),
            hit_rate: always(),
            capacity: None,
        };
        [tier("DDR4", 80e-9, 150.0), tier("NVMe", 50e-6, 7.0)]
    }

    /// The tier itself.
    pub fn tier(&self) -> MemoryTier {
        MemoryTier {
            lookup_s: self.lookup.as_secs(),
            bytes_per_s: self.bandwidth.bytes_per_s(),
            hit_rate: self.hit_rate.get(),
            capacity_bytes: self.capacity.map_or(f64::INFINITY, ByteSize::bytes),
        }
    }

    /// What is wrong with `tiers` as a hierarchy, in the field `tiers`.
    pub fn check(tiers: &[Self]) -> Vec<Problem> {
        if tiers.is_empty() {
            return vec![Problem::new("tiers", "a hierarchy needs at least one tier")];
        }
        let mut problems = Vec::new();
        for (at, tier) in tiers.iter().enumerate() {
            if tiers[..at].iter().any(|other| other.name == tier.name) {
                let message = format!("`{}` is the name of two tiers", tier.name);
                problems.push(Problem::new(format!("tiers[{at}].name"), message));
            }
        }
        let full = |tier: &Self| tier.hit_rate == Fraction::ONE && tier.capacity.is_none();
        if let Some(at) = tiers.iter().position(full).filter(|at| at + 1 < tiers.len()) {
            let last = &tiers[at];
            let message = format!(
                "`{}` is never asked: `{}` before it has every context",
                tiers[at + 1].name,
                last.name
            );
            let help = format!(
                "give `{}` a hit_rate below 1 or a capacity, or leave out what follows it",
                last.name
            );
            problems.push(Problem::new(format!("tiers[{}]", at + 1), message).help(help));
        }
        problems
    }
}
