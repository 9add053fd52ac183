//! Clients and stages of a user's own: an oven that bakes in batches, desks that stamp one by one.

use mist::clients::Site;
use mist::clients::tasks::{Discipline, Part, Task, TaskClient, TaskExt, TaskModel};
use mist::engine::{SimBuilder, Stream, exponential};
use mist::request::{Payload, StageExt, StageKind};
use mist::runtime::Bound;
use mist::scenario::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lets scenarios name `Oven` and `Desk`, and pipelines `Bake` and `Stamp`.
pub fn shop(sim: &mut SimBuilder) {
    sim.task_client::<Oven>("Oven").stage_kind::<Bake>("Bake");
    sim.task_client::<Desk>("Desk").stage_kind::<Stamp>("Stamp");
}

/// Goes into the oven with others; those on even texts come out half way.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bake {
    us: u32,
}

impl StageKind for Bake {
    fn client(&self) -> &'static str {
        "Oven"
    }

    /// A baked text is shorter.
    fn finish(&self, payload: &mut Payload, _: &mut Stream) {
        payload.context_tokens -= payload.context_tokens / 4;
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Oven {
    max_batch: u32,
}

impl TaskClient for Oven {
    type Model = Self;
    fn deploy(&self, _: &Site<'_>) -> Result<Self, Vec<Problem>> {
        Ok(*self)
    }
}

impl TaskModel for Oven {
    type Stage = Bake;

    fn discipline(&self) -> Discipline {
        Discipline::Batched { max_batch: self.max_batch }
    }

    fn serve(&self, batch: &mut [Task<'_, Bake>], _: &mut Stream, parts: &mut Vec<Part>) {
        assert!(!batch.is_empty() && batch.len() <= self.max_batch as usize);
        let longest = batch.iter().map(|task| task.stage.us).max().unwrap_or(0);
        let seconds = f64::from(longest) / 1e6;
        parts.push(Part { name: "load", seconds: seconds / 2.0, bound: Bound::Host });
        parts.push(Part { name: "bake", seconds: seconds / 2.0, bound: Bound::Compute });
        for task in batch {
            if task.payload.context_tokens % 2 == 0 {
                task.leaves = Some(seconds / 2.0);
            }
        }
    }

    fn source(&self) -> String {
        "a test".into()
    }
}

/// Takes `us` on average, exponentially or always; adds so many tokens, and a score.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    us: u32,
    #[serde(default)]
    random: bool,
    #[serde(default)]
    adds: u32,
}

impl StageKind for Stamp {
    fn client(&self) -> &'static str {
        "Desk"
    }

    fn scores(&self) -> bool {
        true
    }

    fn finish(&self, payload: &mut Payload, draws: &mut Stream) {
        payload.context_tokens += self.adds;
        payload.score = mist::engine::uniform(draws) as f32;
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Desk {
    cores: u32,
}

impl TaskClient for Desk {
    type Model = Self;
    fn deploy(&self, _: &Site<'_>) -> Result<Self, Vec<Problem>> {
        Ok(*self)
    }
}

impl TaskModel for Desk {
    type Stage = Stamp;

    fn discipline(&self) -> Discipline {
        Discipline::Sequential { cores: self.cores }
    }

    fn serve(&self, batch: &mut [Task<'_, Stamp>], draws: &mut Stream, parts: &mut Vec<Part>) {
        assert_eq!(batch.len(), 1, "a desk takes one at a time");
        let Stamp { us, random, .. } = *batch[0].stage;
        let factor = if random { exponential(draws) } else { 1.0 };
        parts.push(Part { name: "stamp", seconds: f64::from(us) * factor / 1e6, bound: Bound::Host });
    }

    fn source(&self) -> String {
        "a test".into()
    }
}
