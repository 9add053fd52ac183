//! Routing policies: which client of a pool gets the next request.
//!
//! A policy sees what a control plane sees: the request's prompt, and the requests outstanding at
//! each client. It never sees how long an output will be.
//!
//! To add one: a struct with its parameters in a file of its own, `impl RoutingPolicy`, and a line
//! in [`register_built_ins`].

mod least_outstanding;
mod random;
mod round_robin;

pub use least_outstanding::LeastOutstanding;
pub use random::Random;
pub use round_robin::RoundRobin;

use super::pool::Load;
use crate::engine::Stream;
use crate::units::SimTime;

/// What a policy may know of the request to be routed.
#[derive(Clone, Copy, Debug)]
pub struct RouteRequest {
    /// Number in order of arrival.
    pub id: u64,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// When it reached the coordinator.
    pub arrived: SimTime,
}

/// Decides which client of a pool gets a request.
pub trait RoutingPolicy: Send + Sync + 'static {
    /// A position below `load.clients()`. `stream` is the pool's own stream of random numbers.
    fn route(&mut self, request: &RouteRequest, load: &Load, stream: &mut Stream) -> usize;
}
