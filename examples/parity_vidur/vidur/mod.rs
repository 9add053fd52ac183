//! Vidur's schedulers and global schedulers on MIST's extension points, and what runs a load on them.
//!
//! ```text
//!  trace ─▶ Lor | Random | RoundRobin | Recorded ─▶ Sarathi | Vllm | Orca | FasterTransformer ─▶ StepModel
//!              [RoutingPolicy]                              [BatchingPolicy]                     │
//!              ▲ count_waiting [Route]                                              StrideWatch ◀┘
//! ```
//! Ported from <https://github.com/microsoft/vidur> (`vidur/scheduler`, `vidur/entities/request.py`), quirks
//! included. Left out: pipeline parallelism and its micro-batches, the `lightllm` scheduler.

mod faster_transformer;
mod global;
mod list;
mod orca;
mod python_random;
mod sarathi;
mod settings;
mod simulate;
mod vllm;

pub use settings::{Global, Kind, Settings};
pub use simulate::{Batch, Load, Served, Simulated, simulate};

use std::sync::Arc;

use mist::clients::llm::BatchingExt;
use mist::engine::SimBuilder;
use mist::runtime::{RuntimeKind, RuntimeRegistry, StepModel, Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The reference's runtime model, whatever it is: a scenario names it, and the program brings it along.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Reference {}

/// A step model that does not look at what it is deployed on.
struct Given(Arc<dyn StepModel>);

impl RuntimeKind for Given {
    fn compile(&self, _: &Target<'_>) -> Result<Arc<dyn StepModel>, String> {
        Ok(self.0.clone())
    }
}

/// Lets scenarios name the reference's schedulers, and `model` as the runtime model `Reference`.
fn add_replica_schedulers(sim: &mut SimBuilder, model: &Arc<dyn StepModel>) {
    sim.batching_policy::<sarathi::Sarathi>("Sarathi")
        .batching_policy::<vllm::Vllm>("VidurVllm")
        .batching_policy::<orca::Orca>("VidurOrca")
        .batching_policy::<faster_transformer::FasterTransformer>("FasterTransformer");
    let model = model.clone();
    let given = move |Reference {}| Ok(Box::new(Given(model.clone())) as Box<dyn RuntimeKind>);
    sim.world().resource_mut::<RuntimeRegistry>().register("Reference", given);
}
