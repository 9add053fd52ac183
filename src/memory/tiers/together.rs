//! The retrievals of a batch, which begin together and share the bandwidth of the tiers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Hierarchy, MissedLookups};
use crate::engine::{Stream, uniform};

/// How hits and misses become time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// Every retrieval takes the time it would on average; whether the context is found is drawn.
    #[default]
    Expected,
    /// A draw a tier: the same on average, with the tails of slow tiers.
    Sampled,
}

/// What became of one retrieval of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Retrieval {
    /// Time in look-ups (s).
    pub lookup_s: f64,
    /// Time in reading (s).
    pub read_s: f64,
    /// Whether a tier had the context; if not, it is to be computed anew.
    pub hit: bool,
}

impl Retrieval {
    /// From the batch's beginning to the end of this retrieval (s).
    pub fn seconds(&self) -> f64 {
        self.lookup_s + self.read_s
    }
}

impl Hierarchy {
    /// Retrieves contexts of so many `bytes` together: one [`Retrieval`] each, in the same order.
    pub fn retrieve(&self, bytes: &[f64], mode: Mode, draws: &mut Stream) -> Vec<Retrieval> {
        let tiers = self.tiers.len();
        let mut done = vec![Retrieval::default(); bytes.len()];
        // The probability with which each retrieval comes from each tier: 0 or 1 once it is drawn.
        let mut from = vec![0.0; bytes.len() * tiers];
        for (at, &size) in bytes.iter().enumerate() {
            let from = &mut from[at * tiers..][..tiers];
            done[at] = match mode {
                Mode::Expected => self.expect(size, from, draws),
                Mode::Sampled => self.draw(size, from, draws),
            };
        }
        // Smallest first: the read of s beside those of sⱼ ends after Σ min(s, sⱼ)/BW.
        let mut order: Vec<usize> = (0..bytes.len()).collect();
        order.sort_by(|&a, &b| bytes[a].total_cmp(&bytes[b]));
        for (level, tier) in self.tiers.iter().enumerate() {
            let share = |at: usize| from[at * tiers + level];
            let mut smaller_bytes = 0.0;
            let mut larger: f64 = order.iter().map(|&at| share(at)).sum();
            for &at in &order {
                larger -= share(at);
                let moved = bytes[at] + smaller_bytes + larger.max(0.0) * bytes[at];
                done[at].read_s += share(at) * moved / tier.bytes_per_s;
                smaller_bytes += share(at) * bytes[at];
            }
        }
        done
    }

    /// Where a context of `bytes` comes from with which probability, and the look-ups that takes on average.
    fn expect(&self, bytes: f64, from: &mut [f64], draws: &mut Stream) -> Retrieval {
        let mut reached = 1.0;
        let mut lookup_s = 0.0;
        for (tier, from) in self.tiers.iter().zip(from) {
            *from = reached * tier.hit_frac(bytes);
            lookup_s += tier.lookup_s
                * match self.missed {
                    MissedLookups::Free => *from,
                    MissedLookups::Paid => reached,
                };
            reached *= 1.0 - tier.hit_frac(bytes);
        }
        Retrieval { lookup_s, read_s: 0.0, hit: uniform(draws) >= reached }
    }

    /// Where a context of `bytes` comes from, drawn, and the look-ups that takes.
    fn draw(&self, bytes: f64, from: &mut [f64], draws: &mut Stream) -> Retrieval {
        let found = self.sample(bytes, draws);
        let Some(at) = found.tier else {
            return Retrieval { lookup_s: found.seconds, read_s: 0.0, hit: false };
        };
        from[at] = 1.0;
        let asked = match self.missed {
            MissedLookups::Free => &self.tiers[at..=at],
            MissedLookups::Paid => &self.tiers[..=at],
        };
        let lookup_s = asked.iter().map(|tier| tier.lookup_s).sum();
        Retrieval { lookup_s, read_s: 0.0, hit: true }
    }
}
