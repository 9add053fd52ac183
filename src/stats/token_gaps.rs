//! Inter-token latency (ITL): the time between successive tokens of one request, pooled over all tokens.
//!
//! Every decoding sequence of a step waits the same time for its next token, so a step is one weighted
//! sample: its gap and the number of sequences that emit a token at its end. Percentiles come from a
//! histogram and are within 0.05 %; mean, standard deviation and extremes are exact.

use bevy_ecs::resource::Resource;

use super::histogram::LogHistogram;
use super::moments::Moments;
use super::statistics::{FRACTIONS, Statistics};
use crate::units::SimSpan;

/// Gaps between tokens, weighted by the sequences that waited them out.
#[derive(Resource, Clone, Debug, Default)]
pub struct TokenGaps {
    moments: Moments,
    histogram: LogHistogram,
}

impl TokenGaps {
    /// `weight` sequences waited `gap` for their next token. Called once a step: a few nanoseconds.
    #[inline]
    pub fn record(&mut self, gap: SimSpan, weight: u64) {
        self.moments.record(gap.as_ns(), weight);
        self.histogram.record(gap.as_ns(), weight);
    }

    /// Gaps recorded, weights included.
    pub fn count(&self) -> u64 {
        self.moments.count
    }

    /// Σ gap × weight (ns). When no request is left in flight it equals Σ (done − first token) over requests.
    pub fn sum_ns(&self) -> u128 {
        self.moments.sum
    }

    /// What reports say about it; none without gaps.
    pub fn statistics(&self) -> Option<Statistics> {
        if self.moments.count == 0 {
            return None;
        }
        let percentiles = FRACTIONS.map(|fraction| self.histogram.percentile(fraction));
        Some(Statistics::new(&self.moments, percentiles, false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_that_many_tokens() {
        let mut gaps = TokenGaps::default();
        gaps.record(SimSpan::from_ns(1_000), 3);
        gaps.record(SimSpan::from_ns(2_000), 1);
        gaps.record(SimSpan::from_ns(9_999), 0);
        let statistics = gaps.statistics().unwrap();
        assert_eq!(statistics.count, 4);
        // numpy.percentile([1000, 1000, 1000, 2000], [50, 90, 99]) in ns; below 2,048 ns nothing is lost.
        assert_eq!((statistics.p50_ms, statistics.mean_ms), (0.001, 0.001_25));
        assert!((statistics.p90_ms - 0.0017).abs() < 1e-12 && (statistics.p99_ms - 0.00197).abs() < 1e-12);
        assert_eq!(statistics.max_ms, 0.002);
    }
}
