//! Whole-step estimators compiled for one deployment, over the steps put together from operators.
//!
//! With W the estimator, C the composition, and x', y' the tokens and length nearest to x, y that were measured:
//!
//! ```text
//! t = W(x', y') + C(x, y) − C(x', y')
//! ```
//! which is W where steps were measured, goes on from there as the composition does, and so comes back to it in
//! proportion. Both are tabulated and never fall with tokens or keys: what falls is lifted.
//!
//! | step | price |
//! |---|---|
//! | decoding alone | the table of batch and mean context |
//! | prompts alone | the table of tokens and query-key pairs, which count cached prefixes, too; but no less than the composition times s |
//! | both | the composition, but no less than either part alone |
//!
//! s ≤ 1 is the least share of the composition that a measured step took: where steps were measured, the table has its
//! way; far from there, as with short pieces behind long prefixes, the composition has. The larger of two that never
//! fall never falls. Nothing is ever below the physical bound.

use super::contexts::{KNOTS, Row, knot};
use super::whole::{WholeStep, keys};
use crate::runtime::profile::Phase;
use crate::runtime::{Chunk, LowerBound, StepShape};

/// Nodes of the table of prompts: 2^e, 1.25·2^e, 1.5·2^e and 1.75·2^e, up to 2²⁰ tokens and 2³⁶ pairs.
const TOKEN_NODES: usize = 81;
const PAIR_NODES: usize = 145;

/// The table of decode steps of up to so many sequences; `composed` says what one takes at a mean context (s).
pub(super) fn decode_rows(
    step: &WholeStep,
    bound: &LowerBound,
    sequences: u32,
    composed: impl Fn(u32, f64) -> f64,
) -> Box<[Row]> {
    let mut rows = vec![Row::ZERO];
    let mut before = [0.0; KNOTS + 1];
    for batch in 1..=sequences {
        let mut longest = 0.0_f64;
        for (index, at) in before.iter_mut().enumerate() {
            longest = longest.max(decode_seconds(step, bound, batch, knot(index), &composed)).max(*at);
            *at = longest;
        }
        rows.push(Row::through(&before));
    }
    rows.into()
}

/// The same of one batch, no less than the table's last.
pub(super) fn decode_row(
    step: &WholeStep,
    bound: &LowerBound,
    batch: u32,
    last: Option<&Row>,
    composed: impl Fn(u32, f64) -> f64,
) -> Row {
    let (mut at, mut longest) = ([0.0; KNOTS + 1], 0.0_f64);
    for (index, to) in at.iter_mut().enumerate() {
        let floor = last.map_or(0.0, |row| row.at_knot(index));
        longest = longest.max(decode_seconds(step, bound, batch, knot(index), &composed)).max(floor);
        *to = longest;
    }
    Row::through(&at)
}

fn decode_seconds(
    step: &WholeStep,
    bound: &LowerBound,
    batch: u32,
    context: f64,
    composed: impl Fn(u32, f64) -> f64,
) -> f64 {
    let (near, length) = step.clamp(f64::from(batch), context);
    let beyond = composed(batch, context) - composed(near.round() as u32, length);
    let decode_context = (f64::from(batch) * context) as u64;
    let least = bound.seconds(&StepShape { prefill: &[], decode_seqs: batch, decode_context });
    (step.seconds(near, length) + beyond).max(least)
}

/// Steps with prompts only.
#[derive(Clone, Debug)]
pub(super) struct PromptSurface {
    seconds: Box<[f64]>,
    /// The least share of the composition that a measured step took; at most 1.
    share: f64,
    bound: LowerBound,
}

/// What the composition has to say about prompts.
pub(super) struct Composed<'a> {
    /// Everything but attention, by tokens (s).
    pub(super) tokens: &'a dyn Fn(f64) -> f64,
    /// A step of so many prompts of one length (s).
    pub(super) step: &'a dyn Fn(&[Chunk]) -> f64,
    /// Attention of a prompt (s).
    pub(super) attention: &'a dyn Fn(&[Chunk]) -> f64,
}

impl PromptSurface {
    pub(super) fn new(step: &WholeStep, bound: &LowerBound, composed: &Composed<'_>) -> Self {
        let (most, longest) = step.clamp(f64::MAX, f64::MAX);
        let prompts = |tokens: f64, length: f64| {
            let count = (tokens / length).round().max(1.0) as usize;
            vec![Chunk { tokens: length.round().max(1.0) as u32, context: 0, last: true }; count]
        };
        // A pair beyond what was measured, as the composition has it.
        let key = (composed.attention)(&prompts(most, longest)) / keys(Phase::Prefill, most, longest);
        let mut seconds = vec![0.0; TOKEN_NODES * PAIR_NODES];
        for row in 0..TOKEN_NODES {
            let tokens = node(row);
            let (near, _) = step.clamp(tokens, longest);
            let further = (composed.tokens)(tokens) - (composed.tokens)(near);
            for column in 0..PAIR_NODES {
                let pairs = node(column);
                let (near, length) = step.clamp(tokens, 2.0 * pairs / tokens - 1.0);
                let more = key * (pairs - keys(Phase::Prefill, near, length));
                // What lies far below the band is no step at all; the bound at pricing holds it up.
                seconds[row * PAIR_NODES + column] = (step.seconds(near, length) + further + more).max(1e-9);
            }
        }
        let band = keys(Phase::Prefill, 1.0, longest);
        // Above the band no step takes longer than one of more tokens with as many pairs, which may be in it.
        for row in (0..TOKEN_NODES - 1).rev() {
            for column in (0..PAIR_NODES).filter(|column| node(*column) > band * node(row)) {
                let next = seconds[(row + 1) * PAIR_NODES + column];
                let own = &mut seconds[row * PAIR_NODES + column];
                *own = own.min(next);
            }
        }
        for row in 0..TOKEN_NODES {
            for column in 0..PAIR_NODES {
                let left = if column > 0 { seconds[row * PAIR_NODES + column - 1] } else { 0.0 };
                let below = if row > 0 { seconds[(row - 1) * PAIR_NODES + column] } else { 0.0 };
                let own = &mut seconds[row * PAIR_NODES + column];
                *own = own.max(left).max(below);
            }
        }
        let whole =
            step.tokens.iter().flat_map(|tokens| step.length.iter().map(move |length| (*tokens, *length)));
        let shares = whole
            .filter(|(tokens, length)| tokens >= length)
            .map(|(tokens, length)| step.seconds(tokens, length) / (composed.step)(&prompts(tokens, length)));
        Self { seconds: seconds.into(), share: shares.fold(1.0, f64::min), bound: *bound }
    }

    /// A step that the composition has at `composed` (s).
    pub(super) fn price(&self, shape: &StepShape<'_>, composed: f64) -> f64 {
        let measured = self.read(shape.prefill_tokens() as f64, shape.prefill_pairs());
        measured.max(self.share * composed).max(self.bound.seconds(shape))
    }

    fn read(&self, tokens: f64, pairs: f64) -> f64 {
        let ((row, down), (column, right)) = (cell(tokens, TOKEN_NODES), cell(pairs, PAIR_NODES));
        let at = |row: usize, column: usize| self.seconds[row * PAIR_NODES + column];
        let line = |row: usize| at(row, column) * (1.0 - right) + at(row, column + 1) * right;
        line(row) * (1.0 - down) + line(row + 1) * down
    }
}

/// A node of the table of prompts.
fn node(index: usize) -> f64 {
    (1.0 + (index % 4) as f64 / 4.0) * (1_u64 << (index / 4)) as f64
}

/// The node at or below a figure, by its exponent and the first two bits of its mantissa, and the share of the way to
/// the next; the last cell for what lies beyond.
fn cell(figure: f64, nodes: usize) -> (usize, f64) {
    let base = 1.0_f64.to_bits() >> 50;
    let index = ((figure.max(1.0).to_bits() >> 50) - base) as usize;
    if index >= nodes - 1 {
        return (nodes - 2, 1.0);
    }
    let (low, high) = (node(index), node(index + 1));
    (index, (figure.max(1.0) - low) / (high - low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_hold_their_figure() {
        for figure in [1.0, 1.3, 2.0, 127.0, 128.0, 100_000.0] {
            let (index, part) = cell(figure, TOKEN_NODES);
            let read = node(index) + part * (node(index + 1) - node(index));
            assert!((read - figure).abs() < 1e-9 * figure && (0.0..=1.0).contains(&part), "{figure} {read}");
        }
        assert_eq!(cell(1e9, TOKEN_NODES), (TOKEN_NODES - 2, 1.0));
    }
}
