//! What a run is judged by: latencies, throughput, objectives, utilisation, cost, and whether it was stable.
//!
//! ```text
//!  arrivals, completions, rejections ─┐
//!  token gaps, once a step ───────────┼─▶ Recorder ─▶ Summary ─▶ output
//!  usage of clients, at the end ──────┘      └─ a row a request ─▶ RowSink (requests.csv)
//! ```
//!
//! Definitions are those of `vllm bench serve`, so that a simulated number can be laid beside a measured
//! one: TTFT from arrival to first token, TPOT = (E2E − TTFT)/(n − 1) for n > 1 output tokens, ITL pooled
//! over tokens, percentiles numpy-linear, standard deviations of the population.
//!
//! Everything is plain Rust in integer nanoseconds; floating point enters with the final divisions, so the
//! order in which clients report cannot change a result. Left out: metrics over time, energy.

mod breakdown;
mod cohorts;
mod deployment;
mod record;
mod recorder;
mod slo;
mod source;
mod stability;
mod summary;
mod systems;
mod utilisation;

pub use deployment::{ClientUsage, Price, RunEnd};
pub use record::{RequestRecord, StageRecord, Unfinished};
pub use recorder::{Recorder, RowSink, RowSource};
pub use slo::{Attainment, Slo};
pub use source::SourceSpec;
pub use stability::{Stability, Verdict};
pub use summary::{
    Bottleneck, BoundBy, Cost, GroupSummary, KvSwaps, Latencies, ModelSwaps, PrefixCacheHits, RequestCounts,
    SourceSummary, StageSummary, StepTimeShares, Summary, Throughput, TokenCounts, Utilisation,
};

use crate::engine::{Phase, Plugin, SimBuilder};
use crate::request::{Departed, Entered};

/// Adds the recording of requests; the [`Recorder`] itself is inserted with its sources.
#[derive(Clone, Copy, Debug, Default)]
pub struct MetricsPlugin;

impl Plugin for MetricsPlugin {
    fn build(&self, sim: &mut SimBuilder) {
        sim.port::<Entered>().port::<Departed>();
        sim.systems(Phase::Observe, systems::record);
    }
}
