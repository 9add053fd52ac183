//! The LLM client: prefill and decode over paged KV, batched as vLLM, `SGLang` and others do.
//!
//! ```text
//!  Delivered ─▶ accept_stages ──Idle──▶ form_steps ──Formed──▶ price_steps ──StrideEnded──▶ calendar
//!                 [Admit]     ▲           [Batch]                 [Price]                      │
//!                             └──Idle── land_strides [Land] ◀──────────────────────────────────┘
//!                                           └──StageDone, PrefillDone──▶ coordinator
//! ```
//! Stages whose KV is at another client wait until it has come here: see `incoming.rs`, `transfers.rs`.
//!
//! A client runs one step at a time, which arrivals cannot interrupt. A [`BatchingPolicy`] composes
//! the step on a [`Scheduler`], whose queue is in the order of a [`PackingPolicy`]; a
//! [`StepModel`](crate::runtime::StepModel) prices it. Decode steps that would all be composed the same are
//! run as one *stride*, cut at the next step boundary when a newcomer may change it; the results are those of
//! one tick a step, to the bit.
//!
//! With stages of a pipeline or copies of attention a step is a round of the batches that are in flight at once: see
//! `rounds.rs`.
//!
//! A client may serve several models by turns: see [`Shelf`]. What reads its answers may be slower than it: see
//! [`FrontEnd`].
//!
//! KV of finished requests may stay for later prompts that begin the same: see
//! [`prefix`](crate::memory::prefix).
//!
//! Left out so far: speculative decoding.

mod batching;
mod checks;
mod client;
mod cluster;
mod decoding;
mod deployed;
mod front_end;
mod incoming;
mod packing;
mod preemption;
pub(crate) mod refusals;
mod rounds;
mod scheduler;
mod sequence;
mod serving;
mod shelf;
pub(crate) mod sizing;
mod spec;
pub(crate) mod stages;
mod step;
mod stride;
mod systems;
#[cfg(test)]
mod tests;
mod token_clock;
mod transfers;

use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;
use bevy_ecs::schedule::{IntoScheduleConfigs, SystemSet};

pub(crate) use batching::built_in as built_in_batching;
pub use batching::{
    BatchingExt, BatchingPolicy, BatchingRegistry, Blocks, Chunked, Continuous, MakeBatching, Mixed, Orca,
    Receive, Sglang, Static,
};
pub use client::{HostKv, LlmClient, LlmSetup};
pub use front_end::FrontEnd;
pub(crate) use packing::built_in as built_in_packing;
pub use packing::{
    Fcfs, LeastWorkLeft, LongestPrefixMatch, Order, PackingExt, PackingPolicy, PackingRegistry, Priority,
    ShortestPrompt, Waiting,
};
pub use preemption::Preemption;
pub use scheduler::{Back, Reserve, Scheduler, SwapTally};
pub use sequence::{Finished, FirstToken, Landed, SeqId, StrideTimes};
pub use shelf::{Parked, Shelf};
pub use spec::LlmSpec;
pub use stride::{Stride, StrideEnd};

use super::Delivered;
use crate::engine::{Phase, Plugin, SimBuilder, Wake};
use crate::request::{PrefillDone, ReleaseKv, StageDone};
use crate::stats::TokenGaps;

/// Marks deliveries to LLM clients.
pub struct Llm;

/// Marks deliveries to LLM clients of several models.
pub struct Shared;

/// What LLM clients do, to order other systems by: each set is in the phase named.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LlmSet {
    /// Strides take effect (`Phase::Land`).
    Land,
    /// Stages join queues (`Phase::Admit`).
    Accept,
    /// Steps are composed (`Phase::Batch`).
    Form,
    /// Steps are priced (`Phase::Price`).
    Price,
}

/// Adds the systems of LLM clients. The clients themselves are entities with [`LlmClient`],
/// [`Client`](super::Client) and [`Usage`](super::Usage).
#[derive(Clone, Copy, Debug, Default)]
pub struct LlmPlugin;

impl Plugin for LlmPlugin {
    fn build(&self, sim: &mut SimBuilder) {
        sim.wake::<Delivered<Llm>>();
        sim.wake::<Delivered<Shared>>();
        sim.wake::<Swapped>();
        sim.wake::<StrideEnded>();
        sim.wake::<ReleaseKv>();
        sim.wake::<KvLanded>();
        sim.wake::<KvRetry>();
        sim.wake::<Streamed>();
        sim.port::<Idle>()
            .port::<Formed>()
            .port::<Drained>()
            .port::<Room>()
            .port::<StageDone>()
            .port::<PrefillDone>();
        sim.insert_resource(TokenGaps::default());
        sim.systems(
            Phase::Land,
            (systems::land_strides, systems::land_swaps, systems::end_streams).chain().in_set(LlmSet::Land),
        );
        let transfers = (transfers::land_kv, transfers::retry_transfers).chain();
        let accept = (systems::release_kv, transfers, systems::accept_stages, systems::accept_shared).chain();
        sim.systems(Phase::Admit, accept.in_set(LlmSet::Accept));
        let form = (systems::form_steps, systems::swap_models, transfers::start_transfers).chain();
        sim.systems(Phase::Batch, form.in_set(LlmSet::Form));
        if sim.world().contains_resource::<StrideWatch>() {
            sim.systems(Phase::Price, systems::price_watched_steps.in_set(LlmSet::Price));
        } else {
            sim.systems(Phase::Price, systems::price_steps.in_set(LlmSet::Price));
        }
    }
}

/// What a plugin inserts, before clients are there, to be shown every stride when it begins, with the position of its
/// client among all. A stride may be cut later, where it has more than one step.
#[derive(Resource)]
pub struct StrideWatch(Box<Watch>);

type Watch = dyn FnMut(u32, &Stride<'_>) + Send + Sync;

impl StrideWatch {
    /// Calls `watch` for each stride.
    pub fn new(watch: impl FnMut(u32, &Stride<'_>) + Send + Sync + 'static) -> Self {
        Self(Box::new(watch))
    }
}

/// A stride ends, unless it was cut since.
#[derive(Clone, Copy)]
struct StrideEnded {
    client: Entity,
    index: u32,
    epoch: u32,
}

impl Wake for StrideEnded {
    const PRIORITY: u8 = 0;

    fn pack(self) -> [u64; 2] {
        [self.client.to_bits(), u64::from(self.index) << 32 | u64::from(self.epoch)]
    }

    fn unpack([client, rest]: [u64; 2]) -> Self {
        Self { client: Entity::from_bits(client), index: (rest >> 32) as u32, epoch: rest as u32 }
    }
}

/// A model is loaded on a client of several.
#[derive(Clone, Copy)]
struct Swapped {
    client: Entity,
    index: u32,
}

impl Wake for Swapped {
    const PRIORITY: u8 = 0;

    fn pack(self) -> [u64; 2] {
        [self.client.to_bits(), self.index.into()]
    }

    fn unpack([client, index]: [u64; 2]) -> Self {
        Self { client: Entity::from_bits(client), index: index as u32 }
    }
}

/// KV that moved has landed at its new client.
#[derive(Clone, Copy)]
struct KvLanded {
    stage: Entity,
    client: Entity,
}

impl Wake for KvLanded {
    const PRIORITY: u8 = 56;

    fn pack(self) -> [u64; 2] {
        [self.stage.to_bits(), self.client.to_bits()]
    }

    fn unpack([stage, client]: [u64; 2]) -> Self {
        Self { stage: Entity::from_bits(stage), client: Entity::from_bits(client) }
    }
}

/// KV that found no room at a client asks again.
#[derive(Clone, Copy)]
struct KvRetry {
    stage: Entity,
    client: Entity,
}

impl Wake for KvRetry {
    const PRIORITY: u8 = 57;

    fn pack(self) -> [u64; 2] {
        [self.stage.to_bits(), self.client.to_bits()]
    }

    fn unpack([stage, client]: [u64; 2]) -> Self {
        Self { stage: Entity::from_bits(stage), client: Entity::from_bits(client) }
    }
}

/// An answer has been handed on by the front end of its client.
#[derive(Clone, Copy)]
struct Streamed(Entity);

impl Wake for Streamed {
    const PRIORITY: u8 = 2;

    fn pack(self) -> [u64; 2] {
        [self.0.to_bits(), 0]
    }

    fn unpack([stage, _]: [u64; 2]) -> Self {
        Self(Entity::from_bits(stage))
    }
}

/// A client with KV in line may have room for it.
struct Room(Entity);

/// A client may compose a step.
struct Idle(Entity);

/// A client of several models has nothing to do for the one that is loaded.
struct Drained(Entity);

/// A client has composed a step.
struct Formed(Entity);
