//! Attention of all prompts of a step, which are one launch.
//!
//! ```text
//! t = max( max over m of t(m, rms of the m longest) + Σ prefix(c, p), Σ physical bound behind prefixes )
//! ```
//! for pieces of c tokens, each behind p cached ones. That a launch takes no less than its m longest pieces alone makes
//! it longer with every piece, token and cached token more, whatever the measured surface t does between them.

use smallvec::SmallVec;

use crate::runtime::Chunk;
use crate::runtime::profile::PrefillCurve;

/// So many of the longest are tried each; of more pieces only all.
const TRIED: usize = 16;

/// The pieces of prompts of a step.
pub(super) struct Pieces<'a> {
    chunks: &'a [Chunk],
    /// Tokens of each, the longest first.
    tokens: SmallVec<[f64; TRIED]>,
}

impl<'a> Pieces<'a> {
    pub(super) fn of(chunks: &'a [Chunk]) -> Self {
        let mut tokens: SmallVec<[f64; TRIED]> = chunks.iter().map(|chunk| f64::from(chunk.tokens)).collect();
        tokens.sort_unstable_by(|one, other| other.total_cmp(one));
        Self { chunks, tokens }
    }

    /// Attention of one layer (s).
    pub(super) fn seconds(&self, curve: &PrefillCurve) -> f64 {
        let (mut squares, mut launch, mut count) = (0.0, 0.0_f64, 0.0);
        for (at, tokens) in self.tokens.iter().enumerate() {
            count += 1.0;
            squares += tokens * tokens;
            if at < TRIED || at + 1 == self.tokens.len() {
                launch = launch.max(curve.seconds(count, (squares / count).sqrt(), 0.0));
            }
        }
        let (mut prefixes, mut least) = (0.0, 0.0);
        for chunk in self.chunks.iter().filter(|chunk| chunk.context > 0) {
            let (tokens, context) = (f64::from(chunk.tokens), f64::from(chunk.context));
            prefixes += curve.prefix(1.0, tokens, context);
            least += curve.least(1.0, tokens, context);
        }
        (launch + prefixes).max(least)
    }
}
