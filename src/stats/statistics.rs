//! What reports say about one latency.

use serde::Serialize;

use super::moments::Moments;

/// The percentiles reported, falling.
pub(super) const FRACTIONS: [f64; 3] = [0.99, 0.9, 0.5];

/// Mean, spread and percentiles of a latency (ms).
///
/// The standard deviation is the population's and percentiles are numpy-linear, as in `vllm bench serve`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Statistics {
    /// Samples.
    pub count: u64,
    /// Arithmetic mean, always exact.
    pub mean_ms: f64,
    /// Population standard deviation, always exact.
    pub std_ms: f64,
    /// Smallest sample, always exact.
    pub min_ms: f64,
    /// Median.
    pub p50_ms: f64,
    /// 90th percentile.
    pub p90_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Largest sample, always exact.
    pub max_ms: f64,
    /// Whether the percentiles are exact; otherwise they come from a histogram and are within 0.05 %.
    pub exact: bool,
}

impl Statistics {
    /// From running sums and percentiles (ns) at [`FRACTIONS`].
    pub(super) fn new(moments: &Moments, percentiles: [f64; 3], exact: bool) -> Self {
        // A bucket's middle may lie outside of what was seen.
        let [p99, p90, p50] = percentiles.map(|ns| ns.clamp(moments.min as f64, moments.max as f64));
        Self {
            count: moments.count,
            mean_ms: moments.mean() / 1e6,
            std_ms: moments.std() / 1e6,
            min_ms: moments.min as f64 / 1e6,
            p50_ms: p50 / 1e6,
            p90_ms: p90 / 1e6,
            p99_ms: p99 / 1e6,
            max_ms: moments.max as f64 / 1e6,
            exact,
        }
    }
}
