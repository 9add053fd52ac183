//! Pools of clients that can take the same requests, and their load as the coordinator sees it.

use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;

use super::min_tree::MinTree;
use super::routing::RoutingPolicy;
use crate::engine::Stream;
use crate::units::SimSpan;

/// Requests routed to each client of a pool and not come back: waiting, running or on their way.
#[derive(Clone, Debug)]
pub struct Load {
    outstanding: MinTree,
}

impl Load {
    /// No load on `clients` clients.
    pub fn new(clients: usize) -> Self {
        Self { outstanding: MinTree::new(clients) }
    }

    /// Number of clients.
    pub fn clients(&self) -> usize {
        self.outstanding.counts().len()
    }

    /// Requests outstanding at `client`, a position in the pool.
    pub fn outstanding(&self, client: usize) -> u32 {
        self.outstanding.counts()[client]
    }

    /// The client with the fewest requests outstanding, the first of equals; O(1).
    pub fn least_outstanding(&self) -> usize {
        self.outstanding.least()
    }

    /// A request is on its way to `client`.
    pub fn add(&mut self, client: usize) {
        self.outstanding.set(client, self.outstanding(client) + 1);
    }

    /// A request has come back from `client`.
    pub fn remove(&mut self, client: usize) {
        self.outstanding.set(client, self.outstanding(client).saturating_sub(1));
    }
}

/// Clients that can take the same requests.
pub struct Pool {
    pub(super) clients: Vec<Entity>,
    pub(super) load: Load,
    pub(super) policy: Box<dyn RoutingPolicy>,
    pub(super) stream: Stream,
}

impl Pool {
    /// A pool of `clients`, at least one, routed by `policy` with draws from `stream`.
    pub fn new(clients: Vec<Entity>, policy: Box<dyn RoutingPolicy>, stream: Stream) -> Self {
        let load = Load::new(clients.len());
        Self { clients, load, policy, stream }
    }
}

/// All pools; a request names its pool by position.
#[derive(Resource)]
pub struct Pools {
    pub(super) pools: Vec<Pool>,
    pub(super) latency: SimSpan,
}

impl Pools {
    /// Pools reached over links of `latency` one way.
    pub const fn new(pools: Vec<Pool>, latency: SimSpan) -> Self {
        Self { pools, latency }
    }
}
