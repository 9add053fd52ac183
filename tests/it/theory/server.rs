//! The single server, and confidence intervals over its replications.

use std::sync::Arc;

use mist::engine::{SimBuilder, Stream, exponential};
use mist::metrics::RequestRecord;
use mist::runtime::{Bound, RuntimeExt, RuntimeKind, StepCost, StepModel, StepShape, Target};
use mist::simulation::{Outcome, Simulation};
use mist::units::Span;
use mist::workload::lengths::LengthExt;
use mist::workload::{LengthSource, Lengths, SourceError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenarios::run;

/// Independent replications behind every confidence interval.
pub const REPLICATIONS: u64 = 20;

/// Student's t at 99.9 %, two-sided, for one degree of freedom less than there are replications.
const STUDENT: f64 = 3.883;

/// Every step takes the same time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Constant {
    step: Span,
}

impl RuntimeKind for Constant {
    fn compile(&self, _: &Target<'_>) -> Result<Arc<dyn StepModel>, String> {
        let seconds = self.step.as_secs();
        Ok(Arc::new(move |_: &StepShape<'_>| StepCost { seconds, bound: Bound::Compute }))
    }
}

/// Prompts of one token, outputs of geometric length.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Geometric {
    mean: f64,
}

impl LengthSource for Geometric {
    fn next(&mut self, rng: &mut Stream) -> Result<Option<Lengths>, SourceError> {
        let continues = 1.0 - 1.0 / self.mean;
        let steps = (exponential(rng) / -libm::log(continues)).floor() + 1.0;
        Ok(Some(Lengths { prompt_tokens: 1, output_tokens: steps as u32 }))
    }
}

fn plugin(sim: &mut SimBuilder) {
    sim.runtime_model::<Constant>("Constant");
    sim.length_source("Geometric", |source: Geometric| Ok(Box::new(source) as Box<dyn LengthSource>));
}

/// A scenario of one server whose steps take `step_us`.
pub fn scenario(step_us: u32, arrivals: &str, lengths: &str, requests: u32, seed: u64) -> String {
    format!(
        "(mist: 1, seed: {seed}, \
         platforms: [(name: \"p\", nodes: [(name: \"gpu\", hardware: \"H100-SXM5-80GB\")])], \
         clients: [(name: \"server\", cluster: Take(platform: \"p\", nodes: [(\"gpu\", 1)]), \
           runs: Llm(model: \"Qwen2.5-0.5B\", max_num_seqs: 1, \
             batching: Chunked(max_num_batched_tokens: 64), runtime: Constant(step: us({step_us}))))], \
         workload: [(name: \"w\", model: \"Qwen2.5-0.5B\", requests: {requests}, \
           arrivals: {arrivals}, lengths: {lengths})])"
    )
}

/// The simulation that knows what the scenario names.
pub fn simulation() -> Simulation {
    Simulation::new().with(plugin)
}

/// Runs the scenario; its records in the order of arrival.
pub fn serve(text: &str) -> (Outcome, Vec<RequestRecord>) {
    let (outcome, mut rows) = run(&simulation(), text);
    rows.sort_by_key(|row| row.id);
    (outcome, rows)
}

/// Mean over replications and half the width of its confidence interval.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    pub mean: f64,
    pub half_width: f64,
}

impl Estimate {
    /// One figure from each replication.
    pub fn of(figures: &[f64]) -> Self {
        assert_eq!(figures.len() as u64, REPLICATIONS);
        let n = figures.len() as f64;
        let mean = figures.iter().sum::<f64>() / n;
        let variance =
            figures.iter().map(|figure| (figure - mean) * (figure - mean)).sum::<f64>() / (n - 1.0);
        Self { mean, half_width: STUDENT * (variance / n).sqrt() }
    }

    /// Theory lies in the interval, which is no wider than `precision` of it; `bias` is what the
    /// theory is known to be off by, as a share.
    pub fn agrees_with(self, theory: f64, bias: f64, precision: f64) {
        let Self { mean, half_width } = self;
        let off = (mean - theory).abs();
        assert!(off <= half_width + bias * theory, "{mean} ± {half_width}, theory says {theory}");
        assert!(half_width <= precision * theory, "± {half_width} of {theory} is too wide to tell");
    }
}

/// Mean of a figure over records.
pub fn mean(rows: &[RequestRecord], figure: impl Fn(&RequestRecord) -> f64) -> f64 {
    rows.iter().map(figure).sum::<f64>() / rows.len() as f64
}
