//! KV retrieval: a client that keeps KV in tiers of memory, and the stage that asks it.
//!
//! ```text
//!  KvRetrieval ─▶ KvStore: tier 1 ─miss─▶ tier 2 ─miss─▶ … ─miss─▶ nothing
//!                            │hit           │hit                     │
//!                            ▼              ▼                        ▼
//!                 Prefill skips the prefix                Prefill computes all of it
//! ```
//! The physics is [`memory::tiers`](crate::memory::tiers), with what it leaves out. Every retrieval that
//! waits when the store is idle goes into one batch (MIST paper, §III-E), whose members share the tiers'
//! bandwidth and leave as each is done; the store takes the next batch when the last has left. The bytes
//! are those of the KV of the request's model, in all layers, as its `Llm` clients keep it. Each tier is an entity with
//! a [`MemoryTier`](crate::memory::tiers::MemoryTier), spawned with its store.

mod stage;
mod store;

pub use stage::{KvRetrieval, Prefix};
pub use store::{KvStore, KvStoreModel};

use super::tasks::TaskExt;
use crate::engine::SimBuilder;
use crate::request::StageExt;

/// Lets scenarios name the store and the stage.
pub fn built_in(sim: &mut SimBuilder) {
    sim.task_client::<KvStore>("KvStore").stage_kind::<KvRetrieval>("KvRetrieval");
}
