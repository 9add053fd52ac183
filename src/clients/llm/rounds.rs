//! Several batches at once: those in the stages of a pipeline, and those of copies of attention.
//!
//! An engine of p stages keeps p batches in flight, each in a stage, so that no stage is idle; one of c copies of
//! attention runs them in lockstep, as they share the routed experts. Here a client's step is a *round*: every sequence
//! that runs is in one of the p·c batches, and gets its token.
//!
//! ```text
//! round = max( max T(batch), max over stages i of Σ T_i(batch) )
//! T     = max over copies of ( t − X(n) ) + X( mean over copies of n )
//! ```
//! over the p batches, t what a copy's part of a batch takes through all stages, of which X(n) is in the experts that
//! all share and the way there and back if each copy has n tokens, `T_i` what stage i has of T (see `stages.rs`): its
//! layers, the LM head if it is the last, and the host's time for a batch, which every batch takes. The first is the way
//! of the longest batch through the pipeline, which stands in the way of those behind it; the second the time the
//! busiest stage needs for all. With fewer batches than stages the rest is the bubble.
//!
//! Sequences are spread evenly: n that decode over the batches, prompts by turns over the copies, then over the batches
//! of each. A prompt's piece that is larger than one batch may be goes into several, one behind the other, as in vLLM
//! V1. What limits a batch, such as `max_num_batched_tokens`, holds for each of them.
//!
//! Left out: that batches are as they came together (vLLM refills each on its own, so that they need not be even); who
//! comes waits for the end of the round, not for the next free slot of the first stage, and a prompt in several batches
//! is over at the end of one round, without the time by which its last piece set out later. Of decoding sequences only
//! the sum of contexts is known: each is taken to have the mean.

use std::sync::Arc;

use smallvec::SmallVec;

use super::stages::Stages;
use crate::runtime::{Chunk, Item, Part, StepCost, StepModel, StepShape, Target, Undivided};

/// The price of rounds.
pub(super) struct Rounds {
    model: Arc<dyn StepModel>,
    /// Batches of a copy.
    stages: u32,
    copies: u32,
    shares: Stages,
    /// Most tokens in a batch.
    batch_tokens: u32,
    /// X by tokens, without prompts and with: empty for one copy.
    shared: [Box<[f64]>; 2],
}

/// What a batch takes: in all, on the busiest stage before the last, on the last.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    cost: StepCost,
    busy: [f64; 2],
}

/// A batch of a round.
#[derive(Clone, Debug, Default)]
struct Batch {
    prefill: SmallVec<[Chunk; 4]>,
    sequences: u32,
    context: u64,
}

impl Batch {
    fn shape(&self) -> StepShape<'_> {
        StepShape { prefill: &self.prefill, decode_seqs: self.sequences, decode_context: self.context }
    }
}

/// How many batches a client has at once on `target`.
pub(super) fn batches(target: &Target<'_>) -> u32 {
    target.pipeline_parallel * target.data_parallel
}

/// What prices the steps of a client on `target`, of which `model` prices one batch.
pub(super) fn priced_by(model: Arc<dyn StepModel>, target: &Target<'_>) -> Arc<dyn StepModel> {
    if batches(target) == 1 {
        return model;
    }
    let (stages, copies) = (target.pipeline_parallel, target.data_parallel);
    let shares = Stages::of(target.model.layers, stages);
    let batch_tokens = target.max_step_tokens;
    let tabulated = if copies > 1 { batch_tokens.min(TABULATED_TOKENS) + 1 } else { 0 };
    let table = |prompts| (0..tabulated).map(|tokens| shared(&*model, tokens, prompts)).collect();
    let shared = [table(false), table(true)];
    Arc::new(Rounds { model, stages, copies, shares, batch_tokens, shared })
}

/// Most tokens whose X is tabulated.
const TABULATED_TOKENS: u32 = 8192;

/// What copies with so many tokens each spend on the experts that they share, and on the way there and back (s).
pub(super) fn shared(model: &dyn StepModel, tokens: u32, prompts: bool) -> f64 {
    let prompt = [Chunk { tokens, context: 0, last: false }];
    let shape = if prompts {
        StepShape { prefill: &prompt, ..StepShape::default() }
    } else {
        StepShape { decode_seqs: tokens, decode_context: tokens.into(), prefill: &[] }
    };
    let of_all = |item: &Item| {
        item.part == Part::Experts || ["dispatch and combine", "gather and scatter"].contains(&item.operator)
    };
    if tokens == 0 {
        0.0
    } else {
        model.itemise(&shape).iter().filter(|item| of_all(item)).map(|item| item.seconds).sum()
    }
}

/// The part of `context` tokens that so many of `all` sequences have, rounded up.
fn part(context: u64, sequences: u32, all: u32) -> u64 {
    (u128::from(context) * u128::from(sequences)).div_ceil(u128::from(all.max(1))) as u64
}

impl Rounds {
    fn batches(&self) -> u32 {
        self.stages * self.copies
    }

    /// Sequences that decode in the `at`-th of all batches, of `all`: batch `at / copies` of copy `at % copies`.
    fn sequences(&self, at: u32, all: u32) -> u32 {
        all / self.batches() + u32::from(at < all % self.batches())
    }

    /// The batches of a round, all copies of the first batch before those of the second.
    fn split(&self, round: &StepShape<'_>) -> Vec<Batch> {
        let batch = |at| {
            let sequences = self.sequences(at, round.decode_seqs);
            let context = part(round.decode_context, sequences, round.decode_seqs);
            Batch { prefill: SmallVec::new(), sequences, context }
        };
        let mut found: Vec<Batch> = (0..self.batches()).map(batch).collect();
        for (at, chunk) in (0_u32..).zip(round.prefill) {
            let (copy, first) = (at % self.copies, at / self.copies);
            let mut left = chunk.tokens;
            let mut last = chunk.last;
            // From the end of the prompt, so that what is whole stays so where a prompt is longer.
            for place in first.. {
                // A batch of none would never end it.
                let tokens = left.min(self.batch_tokens.max(1));
                left -= tokens;
                let piece = Chunk { tokens, context: chunk.context + left, last };
                found[((place % self.stages) * self.copies + copy) as usize].prefill.push(piece);
                last = false;
                if left == 0 {
                    break;
                }
            }
        }
        found
    }

    /// The round of batches that take so long.
    fn round(&self, loads: impl Iterator<Item = Load>) -> StepCost {
        let (mut longest, mut sums) = (StepCost::default(), [0.0; 2]);
        for Load { cost, busy } in loads {
            for (sum, seconds) in sums.iter_mut().zip(busy) {
                *sum += seconds;
            }
            if cost.seconds > longest.seconds {
                longest = cost;
            }
        }
        if self.stages == 1 {
            return longest;
        }
        StepCost { seconds: longest.seconds.max(sums[0]).max(sums[1]), ..longest }
    }

    fn load(&self, cost: StepCost, undivided: &Undivided) -> Load {
        Load { cost, busy: self.shares.busy(cost.seconds, undivided) }
    }

    /// What of the price of so many that decode is not shared by the layers.
    fn undivided(&self, sequences: u32) -> Undivided {
        let decode_context = sequences.into();
        self.model.undivided(&StepShape { prefill: &[], decode_seqs: sequences, decode_context })
    }

    /// X.
    fn shared(&self, tokens: u64, prompts: bool) -> f64 {
        let found = self.shared[usize::from(prompts)].get(tokens as usize);
        found.copied().unwrap_or_else(|| shared(&*self.model, tokens as u32, prompts))
    }

    /// What the copies' parts of one batch take together, and whose is the longest.
    fn together<'a>(&self, parts: &'a [Batch]) -> (Load, &'a Batch) {
        let (mut longest, mut of) = (Load::default(), &parts[0]);
        let tokens: u64 = parts.iter().map(|part| part.shape().tokens()).sum();
        let prompts = parts.iter().any(|part| !part.prefill.is_empty());
        let mean = self.shared(tokens.div_ceil(u64::from(self.copies)), prompts);
        for part in parts.iter().filter(|part| part.shape().tokens() > 0) {
            let mut cost = self.model.price(&part.shape());
            if self.copies > 1 {
                let own = self.shared(part.shape().tokens(), !part.prefill.is_empty());
                cost.seconds = cost.seconds - own + mean;
            }
            let Load { cost, busy } = self.load(cost, &self.model.undivided(&part.shape()));
            if cost.seconds > longest.cost.seconds {
                (longest.cost, of) = (cost, part);
            }
            longest.busy = [longest.busy[0].max(busy[0]), longest.busy[1].max(busy[1])];
        }
        (longest, of)
    }

    /// The batches of a round with prompts.
    fn costs<'a>(&self, parts: &'a [Batch]) -> impl Iterator<Item = (Load, &'a Batch)> {
        parts.chunks(self.copies as usize).map(|parts| self.together(parts))
    }
}

impl StepModel for Rounds {
    fn price(&self, shape: &StepShape<'_>) -> StepCost {
        if shape.prefill.is_empty() {
            let mut cost = [StepCost::default()];
            self.price_decodes(shape.decode_seqs, shape.decode_context, &mut cost);
            return cost[0];
        }
        self.round(self.costs(&self.split(shape)).map(|(load, _)| load))
    }

    fn price_decodes(&self, sequences: u32, context: u64, costs: &mut [StepCost]) {
        // No copy has more than the first, whose batches are of two sizes at most; the others have as many tokens, or
        // one less.
        let large = sequences.div_ceil(self.batches());
        let fuller = (sequences % self.batches()).div_ceil(self.copies);
        let (many, few) = match fuller {
            0 => (self.stages, 0),
            fuller => (fuller, if large > 1 { self.stages - fuller } else { 0 }),
        };
        self.model.price_decodes(large, part(context, large, sequences), costs);
        let mut others = vec![StepCost::default(); if few > 0 { costs.len() } else { 0 }];
        if few > 0 {
            self.model.price_decodes(large - 1, part(context, large - 1, sequences), &mut others);
        }
        let [full, less] = [large, large.saturating_sub(1)].map(|sequences| self.undivided(sequences));
        for (at, cost) in costs.iter_mut().enumerate() {
            let larger = std::iter::repeat_n(self.load(*cost, &full), many as usize);
            let smaller = others.get(at).map(|cost| self.load(*cost, &less)).unwrap_or_default();
            let smaller = std::iter::repeat_n(smaller, few as usize);
            *cost = self.round(larger.chain(smaller));
        }
    }

    fn basis(&self) -> Vec<String> {
        let mut lines = self.model.basis();
        for (what, count) in
            [("stages, with as many batches in flight", self.stages), ("copies of attention", self.copies)]
        {
            if count > 1 {
                lines.push(format!("{count} {what}"));
            }
        }
        lines
    }

    fn itemise(&self, shape: &StepShape<'_>) -> Vec<Item> {
        let parts = self.split(shape);
        let longest =
            self.costs(&parts).max_by(|(one, _), (other, _)| one.cost.seconds.total_cmp(&other.cost.seconds));
        let mut items = longest.map(|(_, part)| self.model.itemise(&part.shape())).unwrap_or_default();
        // The rest of the round: others in the busiest stage, and in the experts.
        let scale = self.price(shape).seconds / items.iter().map(|item| item.seconds).sum::<f64>();
        for item in &mut items {
            item.seconds *= scale;
        }
        items
    }
}
