//! Routed experts.
//!
//! T tokens visit k of E experts of width i and m matrices each. Lying on R ranks, either a slice of every expert on
//! each or, with expert parallelism, E/R whole experts:
//!
//! ```text
//! sliced   t = t_route + √( (2·Tk·m·h·(i/R)/F)² + (w·D(T)·m·h·(i/R)/B)² ) + 4·Tk·h/(e_r·B)
//! whole    t = t_route + √( (2·N·m·h·i/F)² + (w·max(D(T)/R, 1)·m·h·i/B)² ) + 4·N·h/(e_r·B)      N = max(λ·Tk/R, 1)
//! ```
//! where T are the tokens of all copies of attention, which come together here.
//!
//! **Distinct experts.** A token visits expert e with probability `π_e`, Σ`π_e` = k, so D(T) = Σ 1 − (1 − `π_e`)^T.
//! Routing alike to all has `π_e` = k/E; with a skew s, `π_e` ∝ rank^−s, at most 1.
//!
//! **The hottest rank** has λ times its share of rows: it holds the most popular expert, and of the others as many as
//! everyone, λ = R/k·(π₁ + (k − π₁)·(E/R − 1)/(E − 1)). Sliced experts have no hottest rank.
//!
//! **Rows.** A rank writes, weighs and sums the rows that it sees. Slices see all Tk of them; whole experts only those
//! dispatched to them. Where there is one copy nothing is dispatched: every rank has every token, and kernels were
//! measured to write all Tk rows, whatever the number of ranks.
//!
//! Left out: experts copied for balance, rows padded to tiles, that shards of odd width run 2–3 times slower.

use super::line::{Line, Sink};
use super::rates::Rates;
use super::shape::{DecoderShape, Deployment, Moe};
use super::shares::Shares;
use crate::runtime::{Bound, Part};

/// Experts of like popularity are counted together.
const GROUPS: usize = 32;

/// How popular experts are.
#[derive(Clone, Debug)]
pub(super) struct Popularity {
    /// (How many, probability that a token visits one of them.)
    groups: Vec<(f64, f64)>,
    /// The most popular expert's probability.
    hottest: f64,
}

impl Popularity {
    /// Visits fall off with the `skew`th power of the rank by popularity.
    pub fn new(moe: &Moe, skew: f64) -> Self {
        let (experts, active) = (moe.experts as usize, f64::from(moe.active));
        if skew == 0.0 || moe.active == moe.experts {
            let each = active / experts as f64;
            return Self { groups: vec![(experts as f64, each)], hottest: each };
        }
        let weight = |rank: usize| libm::pow(rank as f64, -skew);
        // No token visits an expert twice: what a share above 1 has too much, the others get.
        let mut certain = 0;
        let scale = loop {
            let rest: f64 = (certain + 1..=experts).map(weight).sum();
            let scale = (active - certain as f64) / rest;
            if scale * weight(certain + 1) <= 1.0 {
                break scale;
            }
            certain += 1;
        };
        let chance = |rank: usize| if rank <= certain { 1.0 } else { scale * weight(rank) };
        let size = experts.div_ceil(GROUPS);
        let groups = (1..=experts).step_by(size).map(|first| {
            let ranks = first..=(first + size - 1).min(experts);
            let count = ranks.clone().count() as f64;
            (count, ranks.map(chance).sum::<f64>() / count)
        });
        Self { groups: groups.collect(), hottest: chance(1) }
    }

    /// Distinct experts that `tokens` tokens visit, on average.
    pub fn distinct(&self, tokens: f64) -> f64 {
        self.groups.iter().map(|(count, chance)| count * (1.0 - libm::pow(1.0 - chance, tokens))).sum()
    }
}

impl Moe {
    /// Distinct experts that `tokens` tokens visit, on average, if all are alike: E·(1 − (1 − k/E)^T), which is k for
    /// one token and tends to all E.
    pub(super) fn distinct_experts(&self, tokens: f64) -> f64 {
        Popularity::new(self, 0.0).distinct(tokens)
    }
}

/// The routed experts of a deployment, in each of `count` layers.
#[derive(Clone, Debug)]
pub(super) struct Experts {
    pub count: f64,
    moe: Moe,
    popularity: Popularity,
    /// Copies of attention whose tokens come together here.
    copies: f64,
    /// Elements of the part of one expert that lies on a device.
    part: f64,
    /// Share of the experts that lies on a device.
    share: f64,
    /// λ.
    imbalance: f64,
    /// Whether a rank is sent the rows of its experts alone.
    dispatched: bool,
    hidden: f64,
}

impl Experts {
    pub fn new(shape: &DecoderShape, moe: Moe, deployment: &Deployment, skew: f64) -> Self {
        let ranks = f64::from(deployment.expert_ranks());
        let whole = shape.ffn_matrices() * f64::from(shape.hidden) * f64::from(moe.moe_ffn);
        let popularity = Popularity::new(&moe, skew);
        let (experts, active) = (f64::from(moe.experts), f64::from(moe.active));
        let others = (active - popularity.hottest) * (experts / ranks - 1.0) / (experts - 1.0).max(1.0);
        let imbalance = ranks / active * (popularity.hottest + others);
        let (part, share, imbalance) = if deployment.expert_parallel {
            (whole, 1.0 / ranks, imbalance)
        } else {
            (whole / ranks, 1.0, 1.0)
        };
        Self {
            count: f64::from(shape.layers - moe.dense_layers),
            moe,
            popularity,
            copies: f64::from(deployment.data_parallel),
            part,
            share,
            imbalance,
            dispatched: deployment.dispatches(),
            hidden: f64::from(shape.hidden),
        }
    }

    /// Elements of the experts of all layers on a device.
    pub fn weights(&self) -> f64 {
        self.count * f64::from(self.moe.experts) * self.share * self.part
    }

    /// Weights that the busiest rank reads in a layer where each copy of attention brings `tokens` (bytes).
    pub fn read(&self, tokens: f64, rates: &Rates) -> f64 {
        self.read_by(tokens * self.copies, rates)
    }

    /// The same for the tokens of all copies.
    fn read_by(&self, tokens: f64, rates: &Rates) -> f64 {
        let experts = (self.popularity.distinct(tokens) * self.share).max(1.0);
        rates.product.weight_bytes * experts * self.part
    }

    /// Their price where each copy of attention brings `tokens`, into `sink`.
    pub fn add(&self, tokens: f64, rates: &Rates, sink: &mut impl Sink) {
        let tokens = tokens * self.copies;
        let rows = tokens * f64::from(self.moe.active);
        // The step waits for the busiest rank, which has a row and a whole expert to read at least.
        let own = (rows * self.share * self.imbalance).max(1.0);
        let flops = 2.0 * own * self.part;
        let weights = self.read_by(tokens, rates);
        let products = rates.weighted(flops / rates.experts, weights / rates.product.memory, weights);
        let ramp = Shares::of(Bound::Memory, rates.route);
        let one = products + ramp;
        sink.take(Line::new("routed experts", Part::Experts, self.count, one, flops, weights));
        if !rates.genz() {
            let moved = 4.0 * if self.dispatched { own } else { rows } * self.hidden;
            let one = Shares::of(Bound::Memory, moved / rates.rows);
            sink.take(Line::new("routed rows", Part::Experts, self.count, one, 0.0, moved));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOE: Moe = Moe { experts: 128, active: 8, moe_ffn: 768, shared_ffn: 0, dense_layers: 0 };

    #[test]
    fn a_growing_batch_touches_more_experts_up_to_all() {
        assert!((MOE.distinct_experts(1.0) - 8.0).abs() < 1e-9);
        // Each further token visits the experts not visited yet as it does any other.
        let mut expected = 0.0;
        for tokens in 1..=64 {
            expected += 8.0 * (1.0 - expected / 128.0);
            assert!((MOE.distinct_experts(f64::from(tokens)) - expected).abs() < 1e-9);
        }
        assert!(MOE.distinct_experts(1e6) <= 128.0);
        assert!(MOE.distinct_experts(64.0) > 125.0);
    }

    #[test]
    fn a_skew_touches_fewer_and_loads_one_more() {
        for skew in [0.5, 1.0, 2.0] {
            let skewed = Popularity::new(&MOE, skew);
            let visits: f64 = skewed.groups.iter().map(|(count, chance)| count * chance).sum();
            assert!((visits - 8.0).abs() < 1e-9, "{visits}");
            assert!(skewed.hottest <= 1.0 + 1e-12 && skewed.hottest > 8.0 / 128.0);
            assert!((skewed.distinct(1.0) - 8.0).abs() < 1e-9);
            for tokens in [2.0, 16.0, 300.0] {
                assert!(skewed.distinct(tokens) < MOE.distinct_experts(tokens));
            }
        }
    }
}
