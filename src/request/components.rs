//! The components of requests and stages, and the ports on which they are handed around.

use bevy_ecs::component::Component;
use bevy_ecs::entity::Entity;

use super::Rejection;
use crate::units::SimTime;

/// One request. A single component of one cache line: event-driven access is random access.
#[derive(Component, Clone, Copy, Debug)]
pub struct Request {
    /// Number in order of arrival, from 0.
    pub id: u64,
    /// Position of its source in the workload.
    pub source: u16,
    /// The pool of clients that can serve it.
    pub pool: u16,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens it will generate: the world's knowledge, which no policy may use.
    pub output_tokens: u32,
    /// When it reached the coordinator.
    pub arrived: SimTime,
}

/// One visit of a request to a client.
#[derive(Component, Clone, Copy, Debug)]
pub struct Stage {
    /// Whose stage it is.
    pub request: Entity,
    /// The pool it was routed in.
    pub pool: u16,
    /// The client's position in the pool.
    pub member: u32,
    /// The client.
    pub client: Entity,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens to generate.
    pub output_tokens: u32,
    /// When the step began that first computed some of it.
    pub started: SimTime,
    /// When its first token was out.
    pub first_token: SimTime,
    /// How often the client preempted it.
    pub preemptions: u16,
    /// Why the client turned it away, if it did.
    pub rejection: Option<Rejection>,
}

/// A request has come in: workload → coordinator.
#[derive(Clone, Copy, Debug)]
pub struct Arrived(pub Entity);

/// A request has come in, for the record: workload → metrics.
#[derive(Clone, Copy, Debug)]
pub struct Entered {
    /// Position of its source in the workload.
    pub source: u16,
}

/// A client hands a stage back, done or rejected: client → coordinator.
#[derive(Clone, Copy, Debug)]
pub struct StageDone(pub Entity);

/// A request has left the system with its last stage: coordinator → metrics.
#[derive(Clone, Copy, Debug)]
pub struct Departed {
    /// The request.
    pub request: Entity,
    /// Its last stage.
    pub stage: Entity,
}

/// A request of the `source`-th source has left the system: coordinator → workload.
#[derive(Clone, Copy, Debug)]
pub struct Vacated {
    /// Position in the workload.
    pub source: u16,
}
