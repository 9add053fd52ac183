//! The retrieval of one context.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::MemoryTier;
use crate::engine::{Stream, uniform};

/// Tiers in the order in which they are asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Hierarchy {
    /// The tiers.
    pub tiers: Vec<MemoryTier>,
    /// What a look-up costs that finds nothing.
    pub missed: MissedLookups,
}

/// What a look-up costs that finds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MissedLookups {
    /// Nothing, as in the formula of the MIST paper, §IV-A3.
    #[default]
    Free,
    /// The look-up latency of the tier that was asked in vain.
    Paid,
}

/// What a retrieval comes to on average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// Its duration (s).
    pub seconds: f64,
    /// The probability that no tier has the context.
    pub miss_frac: f64,
}

/// What one retrieval came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Its duration (s).
    pub seconds: f64,
    /// The tier that had the context, from 0; `None` if none had.
    pub tier: Option<usize>,
}

impl Hierarchy {
    /// f: the mean over all that may happen to a retrieval of `bytes`.
    pub fn expected(&self, bytes: f64) -> Expected {
        let nowhere = Expected { seconds: 0.0, miss_frac: 1.0 };
        self.tiers.iter().rev().fold(nowhere, |beyond, tier| {
            let hit = tier.hit_frac(bytes);
            let in_vain = match self.missed {
                MissedLookups::Free => 0.0,
                MissedLookups::Paid => tier.lookup_s,
            };
            Expected {
                seconds: hit * tier.read_s(bytes) + (1.0 - hit) * (in_vain + beyond.seconds),
                miss_frac: (1.0 - hit) * beyond.miss_frac,
            }
        })
    }

    /// One retrieval of `bytes`, with a draw for each tier that is asked.
    pub fn sample(&self, bytes: f64, draws: &mut Stream) -> Found {
        let mut in_vain = 0.0;
        for (at, tier) in self.tiers.iter().enumerate() {
            if uniform(draws) < tier.hit_frac(bytes) {
                return Found { seconds: in_vain + tier.read_s(bytes), tier: Some(at) };
            }
            if self.missed == MissedLookups::Paid {
                in_vain += tier.lookup_s;
            }
        }
        Found { seconds: in_vain, tier: None }
    }
}
