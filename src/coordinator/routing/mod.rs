//! Routing policies: which client of a pool gets the next request.
//!
//! A policy sees what a control plane sees: the request's prompt, and what is outstanding at each client:
//! requests, prompt tokens, tokens whose KV they hold. It never sees how long an output will be.
//!
//! To add one: a struct with its parameters in a file of its own, `impl RoutingPolicy`, and a line
//! in [`built_in`].

mod least_outstanding;
mod mixed_pool;
mod random;
mod round_robin;
mod token_jsq;

pub use least_outstanding::LeastOutstanding;
pub use mixed_pool::MixedPool;
pub use random::Random;
pub use round_robin::RoundRobin;
pub use token_jsq::TokenJsq;

use bevy_ecs::entity::Entity;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use super::load::Load;
use crate::engine::{SimBuilder, Stream};
use crate::scenario::Registry;
use crate::units::SimTime;

/// What a request is routed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All that a client of the pool does for it.
    Whole,
    /// A prefill, where others decode.
    Prefill,
    /// A decode, where others prefill.
    Decode,
}

/// What a policy may know of the request to be routed.
#[derive(Clone, Copy, Debug)]
pub struct RouteRequest {
    /// Number in order of arrival.
    pub id: u64,
    /// The request itself, the same in each of its visits.
    pub request: Entity,
    /// Its class, a position in the workload.
    pub class: u16,
    /// The model it asks for, numbered as the deployment does.
    pub model: u16,
    /// What it is routed for.
    pub part: Part,
    /// Where its KV is, or will be when it is prefilled: a position in the pool, if that client is in it.
    pub kv_at: Option<usize>,
    /// Tokens of the text that the client is given: of the prompt, and what was generated.
    pub prompt_tokens: u32,
    /// When it reached the coordinator.
    pub arrived: SimTime,
}

/// Decides which client of a pool gets a request.
pub trait RoutingPolicy: Send + Sync + 'static {
    /// A position below `load.clients()`, or below `load.with_guests()` to borrow a client. `stream` is
    /// the pool's own stream of random numbers.
    fn route(&mut self, request: &RouteRequest, load: &Load, stream: &mut Stream) -> usize;

    /// Whether it looks at tokens that are still to be computed: clients tell when prompts are done only
    /// where some policy does.
    fn counts_tokens(&self) -> bool {
        false
    }

    /// Whether it may borrow clients that `lends` puts at its disposal; where none does, to lend one is refused.
    fn borrows(&self) -> bool {
        false
    }
}

/// Makes a policy for each pool.
pub type MakeRouting = Box<dyn Fn() -> Box<dyn RoutingPolicy> + Send + Sync>;

/// The routing policies a scenario may name.
pub type RoutingRegistry = Registry<MakeRouting>;

/// Adds routing policies by name.
pub trait RoutingExt {
    /// Lets scenarios name the routing policy `P`, whose fields are its parameters.
    fn routing_policy<P>(&mut self, name: &'static str) -> &mut Self
    where
        P: RoutingPolicy + Clone + DeserializeOwned + Serialize + JsonSchema;
}

impl RoutingExt for SimBuilder {
    fn routing_policy<P>(&mut self, name: &'static str) -> &mut Self
    where
        P: RoutingPolicy + Clone + DeserializeOwned + Serialize + JsonSchema,
    {
        let mut registry =
            self.world().get_resource_or_insert_with(|| RoutingRegistry::new("routing policy"));
        registry.register(name, |policy: P| {
            Ok(Box::new(move || Box::new(policy.clone()) as Box<dyn RoutingPolicy>) as MakeRouting)
        });
        self
    }
}

/// The built-in routing policies.
pub fn built_in(sim: &mut SimBuilder) {
    sim.routing_policy::<RoundRobin>("RoundRobin");
    sim.routing_policy::<Random>("Random");
    sim.routing_policy::<LeastOutstanding>("LeastOutstanding");
    sim.routing_policy::<TokenJsq>("TokenJsq").routing_policy::<MixedPool>("MixedPool");
}
