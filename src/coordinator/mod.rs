//! The coordinator: takes requests through their pipelines, from client to client.
//!
//! ```text
//!  workload ──Arrived──▶ set_out [Route] ─┐
//!  calendar ──Resume───▶ resume  [Route] ─┼─Routed─▶ carry [Carry] ──Delivered──▶ calendar ─▶ client
//!                 ┌────▶ collect [Route] ─┤                                                      │
//!                 │                       ├─Departed─▶ metrics                                   │
//!                 │                       └─Vacated──▶ workload                                  │
//!                 └───────────────────────────StageDone──────────────────────────────────────────┘
//! ```
//!
//! Clients that can take the same stages form a [`Pool`] with a [routing policy](routing) and a
//! random stream of its own. A stage that goes on with KV which a client keeps goes to that client if
//! it is at home in the stage's pool; otherwise the KV is moved, as a [`KvTransfer`] takes: the stage is sent to
//! the new client at once, which has the KV moved when it has room for it.
//!
//! Where prefill and decode have clients of their own, the client that decodes is chosen after the prefill,
//! or at arrival together with the one that prefills; if that is the same client, it is one visit.

mod load;
mod min_tree;
mod pool;
pub mod routing;
mod systems;
mod transfer;
mod visits;

use bevy_ecs::entity::Entity;
use bevy_ecs::schedule::{IntoScheduleConfigs, SystemSet};

pub use load::Load;
pub use pool::{Member, Pool, Pools};
pub use transfer::{KvLink, KvTransfer};
pub use visits::{VisitLog, VisitPart};

use crate::engine::{Phase, Plugin, SimBuilder, Wake};
use crate::request::{Arrived, Departed, PrefillDone, StageDone, Vacated};

/// What the coordinator does, to order other systems by.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CoordinatorSet {
    /// Stages come back from clients and from waits (`Phase::Route`).
    Collect,
    /// New requests get their client (`Phase::Route`, after `Collect`).
    Route,
    /// Stages are sent to their clients (`Phase::Carry`).
    Carry,
}

/// Adds the coordinator; the [`Pools`] it routes in are inserted with their clients.
pub struct CoordinatorPlugin;

impl Plugin for CoordinatorPlugin {
    fn build(&self, sim: &mut SimBuilder) {
        sim.port::<Arrived>().port::<StageDone>().port::<Departed>().port::<Vacated>().port::<Routed>();
        sim.port::<PrefillDone>().wake::<Resume>();
        let collect = (systems::note_prefills, systems::collect, systems::resume)
            .chain()
            .in_set(CoordinatorSet::Collect);
        let set_out = systems::set_out.in_set(CoordinatorSet::Route);
        sim.systems(Phase::Route, (collect, set_out).chain());
        sim.systems(Phase::Carry, systems::carry.in_set(CoordinatorSet::Carry));
    }
}

/// A stage has its client.
struct Routed {
    stage: Entity,
}

/// A request goes on after a wait.
#[derive(Clone, Copy)]
struct Resume {
    request: Entity,
    thread: u32,
}

impl Wake for Resume {
    const PRIORITY: u8 = 16;

    fn pack(self) -> [u64; 2] {
        [self.request.to_bits(), self.thread.into()]
    }

    fn unpack([request, thread]: [u64; 2]) -> Self {
        Self { request: Entity::from_bits(request), thread: thread as u32 }
    }
}
