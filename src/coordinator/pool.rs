//! Pools of clients that can take the same requests, and their load as the coordinator sees it.

use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;

use smallvec::SmallVec;

use super::min_tree::MinTree;
use super::routing::{RouteRequest, RoutingPolicy};
use crate::engine::{Inbox, Stream};
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

/// A client in a pool.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// The client.
    pub client: Entity,
    /// Its position among all clients.
    pub index: u32,
    /// Where stages are delivered to it.
    pub inbox: Inbox,
}

/// Clients that can take the same stages.
pub struct Pool {
    pub(super) members: Vec<Member>,
    pub(super) load: Load,
    pub(super) policy: Box<dyn RoutingPolicy>,
    pub(super) stream: Stream,
}

impl Pool {
    /// A pool of `members`, at least one, routed by `policy` with draws
    /// from `stream`.
    pub fn new(members: Vec<Member>, policy: Box<dyn RoutingPolicy>, stream: Stream) -> Self {
        let load = Load::new(members.len());
        Self { members, load, policy, stream }
    }
}

/// What it takes to move KV from one client to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KvTransfer {
    /// Bytes a second.
    pub bandwidth: f64,
    /// Before the first byte lands.
    pub latency: SimSpan,
}

/// A client's position in a pool.
type Seat = (u16, u32);

/// All pools; a stage names its pool by position.
#[derive(Resource)]
pub struct Pools {
    pub(super) pools: Vec<Pool>,
    pub(super) latency: SimSpan,
    pub(super) transfer: Option<KvTransfer>,
    /// By position among all clients; a client may serve several kinds of stage.
    seats: Vec<SmallVec<[Seat; 1]>>,
}

impl Pools {
    /// Pools reached over links of `latency` one way; KV moves between clients by `transfer`.
    pub fn new(pools: Vec<Pool>, latency: SimSpan, transfer: Option<KvTransfer>) -> Self {
        let clients = pools.iter().flat_map(|pool| &pool.members).map(|member| member.index + 1).max();
        let mut seats = vec![SmallVec::new(); clients.unwrap_or(0) as usize];
        for (at, pool) in pools.iter().enumerate() {
            for (seat, member) in pool.members.iter().enumerate() {
                seats[member.index as usize].push((at as u16, seat as u32));
            }
        }
        Self { pools, latency, transfer, seats }
    }

    /// The position in `pool` of the client at `index` among all, if it is in it.
    pub(super) fn seat_of(&self, index: u32, pool: u16) -> Option<u32> {
        self.seats[index as usize].iter().find(|seat| seat.0 == pool).map(|seat| seat.1)
    }

    /// Lets the policy of `pool` choose a member.
    ///
    /// # Errors
    /// It chooses one that does not exist.
    pub(super) fn choose(&mut self, pool: u16, request: &RouteRequest) -> Result<u32, String> {
        let Pool { members, load, policy, stream } = &mut self.pools[usize::from(pool)];
        let member = policy.route(request, load, stream);
        if member < members.len() {
            return Ok(member as u32);
        }
        Err(format!("the routing policy chose client {member} of a pool of {}", members.len()))
    }

    pub(super) fn member(&self, pool: u16, member: u32) -> Member {
        self.pools[usize::from(pool)].members[member as usize]
    }

    /// How long the KV of so many bytes takes from one client to another.
    pub(super) fn transfer(&self, bytes: f64) -> SimSpan {
        self.transfer
            .map_or(SimSpan::ZERO, |link| link.latency + SimSpan::from_secs_f64(bytes / link.bandwidth))
    }

    /// A stage is on its way to the client at `index`.
    pub(super) fn add(&mut self, index: u32) {
        for (pool, member) in &self.seats[index as usize] {
            self.pools[usize::from(*pool)].load.add(*member as usize);
        }
    }

    /// A stage has come back from `member` of `pool`; the client's position among all.
    pub(super) fn remove(&mut self, pool: u16, member: u32) -> u32 {
        let index = self.pools[usize::from(pool)].members[member as usize].index;
        for (pool, member) in &self.seats[index as usize] {
            self.pools[usize::from(*pool)].load.remove(*member as usize);
        }
        index
    }
}
