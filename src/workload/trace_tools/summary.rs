//! What `mist trace inspect` reports.

use serde::Serialize;

use super::{PrefixStats, SessionStats};
use crate::stats::exact_percentiles;

/// Mean and percentiles (numpy-linear, exact) of a quantity whose unit the field's name tells.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Samples.
    pub count: u64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest sample.
    pub max: f64,
}

impl Summary {
    /// Of `samples` times `scale`; reorders them. `None` for no samples.
    pub(super) fn of(samples: &mut [u64], scale: f64) -> Option<Self> {
        let max = *samples.iter().max()? as f64;
        let sum: u128 = samples.iter().map(|sample| u128::from(*sample)).sum();
        let count = samples.len() as u64;
        let [p99, p95, p90, p50] = exact_percentiles(samples, [0.99, 0.95, 0.9, 0.5]).map(|p| p * scale);
        let mean = sum as f64 / count as f64 * scale;
        Some(Self { count, mean, p50, p90, p95, p99, max: max * scale })
    }
}

/// How unevenly requests arrive. All are 1 for a Poisson process and below for a steadier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Burstiness {
    /// Standard deviation of the gaps between arrivals over their mean.
    pub gap_cv: f64,
    /// Variance of the number of arrivals in a second over its mean; absent for a span below 2 s.
    pub dispersion_1s: Option<f64>,
    /// The same of ten seconds.
    pub dispersion_10s: Option<f64>,
    /// The same of a minute.
    pub dispersion_60s: Option<f64>,
}

/// Requests in a class of lengths or a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bar {
    /// Where the class begins.
    pub from: f64,
    /// Where it ends, itself not included.
    pub to: f64,
    /// Requests in it.
    pub requests: u64,
}

/// Numbers that describe a trace. What the trace does not record is absent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TraceStats {
    /// Requests, failed ones too.
    pub requests: u64,
    /// Requests that the recorded service failed to answer; their lengths are not counted below.
    pub failed: u64,
    /// Requests that follow others instead of having an arrival; they are not in rates and burstiness.
    pub following: u64,
    /// Tokens of all prompts.
    pub total_prompt_tokens: u64,
    /// Tokens of all outputs.
    pub total_output_tokens: u64,
    /// Images in all prompts.
    pub total_images: u64,
    /// Prompt tokens a request.
    pub prompt_tokens: Option<Summary>,
    /// Output tokens a request.
    pub output_tokens: Option<Summary>,
    /// First to last arrival (s).
    pub span_s: Option<f64>,
    /// Requests over the span (requests/s).
    pub mean_rate_per_s: Option<f64>,
    /// Most arrivals in one second, counted from the first arrival (requests/s).
    pub peak_rate_per_s: Option<f64>,
    /// How unevenly they arrive.
    pub burstiness: Option<Burstiness>,
    /// Conversations.
    pub sessions: Option<SessionStats>,
    /// The prefix-hit ceiling.
    pub prefix: Option<PrefixStats>,
    /// Requests by model, most first.
    pub models: Vec<(String, u64)>,
    /// Requests by kind, most first.
    pub kinds: Vec<(String, u64)>,
    /// What the trace records and a replay leaves out.
    pub left_out_of_replay: Vec<&'static str>,
    /// Requests by prompt tokens, each class twice as long as the one before.
    pub prompt_histogram: Vec<Bar>,
    /// Requests by output tokens.
    pub output_histogram: Vec<Bar>,
    /// Arrivals in twenty equal parts of the span (s).
    pub arrivals_over_time: Vec<Bar>,
}
