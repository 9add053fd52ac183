//! Clients of tasks: everything but prefill and decode.
//!
//! ```text
//!  Delivered ─▶ serve [Price] ──Ended──▶ calendar ─▶ land [Land] ──StageDone──▶ coordinator
//!                  ▲                                    │
//!                  └───────────────Ready────────────────┘
//! ```
//!
//! The paper's two base schedulers (§III-E) for any kind of stage: [`Discipline::Batched`] takes all that
//! waits into one batch, whose parts are the steps of Fig. 4; [`Discipline::Sequential`] gives every task a
//! core, first come, first served. A kind of client is its settings, a [`TaskClient`], and what a batch
//! costs, a [`TaskModel`]; the rest is here.
//!
//! Left out: a batch is not interrupted and nobody joins it.

mod deploy;
mod server;
mod systems;

use std::marker::PhantomData;

use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;
use bevy_ecs::schedule::{IntoScheduleConfigs, ScheduleConfigs, SystemSet};
use bevy_ecs::system::ScheduleSystem;
use bevy_ecs::world::World;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use deploy::TaskExt;
pub use server::TaskServer;

use super::llm::LlmSet;
use super::{Delivered, Fact, Site};
use crate::catalog::Catalog;
use crate::engine::{Phase, Plugin, SimBuilder, Stream};
use crate::request::{Payload, StageDone, StageKind};
use crate::runtime::Bound;
use crate::scenario::{Choice, Findings, Problem};

/// How the tasks of a client share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discipline {
    /// Those that wait when the client is idle are served together.
    Batched {
        /// At most as many, at least 1.
        max_batch: u32,
    },
    /// Each is served by itself.
    Sequential {
        /// As many at a time, at least 1.
        cores: u32,
    },
}

/// One task of a batch.
pub struct Task<'a, S> {
    /// The stage with its parameters.
    pub stage: &'a S,
    /// The text of the request, which serving may change.
    pub payload: &'a mut Payload,
    /// Size of the KV cache of one token of the request's model, where an `Llm` client serves it (bytes);
    /// else 0.
    pub kv_bytes_per_token: f64,
    /// When it leaves, after the batch began (s); `None`: with the batch.
    pub leaves: Option<f64>,
}

/// A step of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// What it does, such as `search`.
    pub name: &'static str,
    /// How long it takes (s).
    pub seconds: f64,
    /// What most of that goes into.
    pub bound: Bound,
}

/// What a client of tasks does and what that costs.
pub trait TaskModel: Send + Sync + 'static {
    /// The stage it serves.
    type Stage: StageKind;

    /// How tasks share the client.
    fn discipline(&self) -> Discipline;

    /// Serves a batch, of one task where tasks are served one by one: adds its steps to `parts`, which
    /// follow each other, and says of each task if it leaves before the end. `draws` are the client's own.
    fn serve(&self, batch: &mut [Task<'_, Self::Stage>], draws: &mut Stream, parts: &mut Vec<Part>);

    /// Adds to the world what belongs to `client`, which has just been spawned.
    fn equip(&self, world: &mut World, client: Entity) {
        let _ = (world, client);
    }

    /// Parameters of `stage` that have no effect here; paths count from them.
    fn ignores(&self, stage: &Self::Stage) -> Vec<Problem> {
        let _ = stage;
        Vec::new()
    }

    /// What `mist check` says about it.
    fn facts(&self) -> Vec<Fact> {
        Vec::new()
    }

    /// Where its figures come from.
    fn source(&self) -> String;
}

/// The settings of a client of tasks: what stands in `runs: Rag(…)`.
pub trait TaskClient: DeserializeOwned + Serialize + JsonSchema + Send + Sync + 'static {
    /// What it comes to.
    type Model: TaskModel;

    /// Works out what the client can do at `site`.
    ///
    /// # Errors
    /// Settings that make no sense there; paths count from the settings.
    fn deploy(&self, site: &Site<'_>) -> Result<Self::Model, Vec<Problem>>;

    /// What is wrong with the settings wherever the client is deployed; paths count from them.
    fn check(&self, catalog: &Catalog) -> Vec<Problem> {
        let _ = catalog;
        Vec::new()
    }

    /// Fills in the defaults of the open choices among `settings`, which are these as written.
    fn complete(&self, settings: &mut Choice, world: &World, findings: &mut Findings) {
        let _ = (settings, world, findings);
    }
}

/// What clients of tasks do, to order other systems by.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskSet {
    /// Tasks are done (`Phase::Land`).
    Land,
    /// Stages join queues, tasks are begun and priced (`Phase::Price`).
    Serve,
}

/// The systems of one kind of client of tasks, by its name.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct KindSet(Phase, &'static str);

/// The kinds whose systems are there.
#[derive(Resource, Default)]
struct Kinds(Vec<&'static str>);

/// Adds the systems of the clients whose model is `M`.
struct TaskPlugin<M> {
    kind: &'static str,
    model: PhantomData<fn() -> M>,
}

impl<M: TaskModel> Plugin for TaskPlugin<M> {
    fn build(&self, sim: &mut SimBuilder) {
        sim.wake::<Delivered<M>>();
        sim.wake::<systems::Ended<M>>();
        sim.port::<StageDone>().port::<systems::Ready<M>>();
        self.add_system(sim, Phase::Land, LlmSet::Land, systems::land::<M>.in_set(TaskSet::Land));
        self.add_system(sim, Phase::Price, LlmSet::Price, systems::serve::<M>.in_set(TaskSet::Serve));
        sim.world().get_resource_or_init::<Kinds>().0.push(self.kind);
    }
}

impl<M> TaskPlugin<M> {
    /// Kinds share the calendar and the stages: they take turns by name, behind LLM clients.
    fn add_system(
        &self,
        sim: &mut SimBuilder,
        phase: Phase,
        llm: LlmSet,
        system: ScheduleConfigs<ScheduleSystem>,
    ) {
        let mut system = system.in_set(KindSet(phase, self.kind)).after(llm);
        for other in &sim.world().get_resource_or_init::<Kinds>().0 {
            let set = KindSet(phase, other);
            system = if *other < self.kind { system.after(set) } else { system.before(set) };
        }
        sim.systems(phase, system);
    }
}
