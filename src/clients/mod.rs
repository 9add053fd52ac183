//! Clients: a scheduler and the cluster it drives.
//!
//! Each kind of client is a room of its own: a component on the client's entity, a wake-up kind as
//! its [inbox](Client::inbox), and systems. The coordinator knows clients only by [`Client`], so a
//! new kind changes nothing elsewhere.

mod components;
mod kind;
pub mod kv;
pub mod llm;
pub mod prepost;
pub mod rag;
pub mod tasks;
pub mod tools;
mod usage;

pub use components::{Client, Delivered, Node};
pub use kind::{
    ClientExt, ClientKind, ClientRegistry, Deployed, Fact, Generates, Offer, Role, Site, model_problem,
    unknown_name,
};
pub use usage::Usage;

use crate::engine::SimBuilder;

/// The built-in kinds of client, with the choices inside them.
pub fn built_in(sim: &mut SimBuilder) {
    sim.client_kind::<llm::LlmSpec>("Llm").add(llm::built_in_batching).add(llm::built_in_packing);
    sim.add(kv::built_in).add(prepost::built_in).add(rag::built_in).add(tools::built_in);
}
