//! The coordinator: routes each stage to a client, sends it there, and takes it back.
//!
//! ```text
//!  workload ──Arrived──▶ route [Route] ──Routed──▶ carry [Carry] ──Delivered──▶ calendar ─▶ client
//!                                                                                             │
//!  metrics ◀─Departed─┬─ collect [Route] ◀──────────────StageDone─────────────────────────────┘
//!  workload ◀─Vacated─┘
//! ```
//!
//! Clients that can take the same requests form a [`Pool`] with a [routing policy](routing) and a
//! random stream of its own.

mod min_tree;
mod pool;
pub mod routing;
mod systems;

use bevy_ecs::entity::Entity;
use bevy_ecs::schedule::{IntoScheduleConfigs, SystemSet};

pub use pool::{Load, Pool, Pools};

use crate::engine::{Phase, Plugin, SimBuilder};
use crate::request::{Arrived, Departed, StageDone, Vacated};

/// What the coordinator does, to order other systems by.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CoordinatorSet {
    /// Stages come back from clients (`Phase::Route`).
    Collect,
    /// Requests get their client (`Phase::Route`, after `Collect`).
    Route,
    /// Stages are sent to their clients (`Phase::Carry`).
    Carry,
}

/// Adds the coordinator; the [`Pools`] it routes in are inserted with their clients.
pub struct CoordinatorPlugin;

impl Plugin for CoordinatorPlugin {
    fn build(&self, sim: &mut SimBuilder) {
        sim.port::<Arrived>().port::<StageDone>().port::<Departed>().port::<Vacated>().port::<Routed>();
        let collect = systems::collect.in_set(CoordinatorSet::Collect);
        let route = systems::route.in_set(CoordinatorSet::Route);
        sim.systems(Phase::Route, (collect, route).chain());
        sim.systems(Phase::Carry, systems::carry.in_set(CoordinatorSet::Carry));
    }
}

/// A stage has its client.
struct Routed {
    stage: Entity,
    client: Entity,
}
