//! Pools of clients that can take the same stages.
//!
//! A client may have seats in several pools, and sit in some of them as a guest: a client that prefills may
//! lend itself to those that decode, and the other way round. It is *lent* from the moment a visit is
//! routed to such a seat until nothing is outstanding at it.

use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;

use smallvec::SmallVec;

use super::load::{Burden, Load};
use super::routing::{RouteRequest, RoutingPolicy};
use super::transfer::KvTransfer;
use crate::engine::{Inbox, Stream};
use crate::units::SimSpan;

/// A client in a pool.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// The client.
    pub client: Entity,
    /// Its position among all clients.
    pub index: u32,
    /// Where stages are delivered to it.
    pub inbox: Inbox,
    /// The machine it is on: the platform, and which of them.
    pub machine: (u32, u32),
    /// Tokens that its KV cache holds; 0 if it has none.
    pub kv_tokens: u64,
    /// Whether it is at home elsewhere and only helps out here.
    pub guest: bool,
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
    /// from `stream`. Those that are at home in it come first.
    pub fn new(members: Vec<Member>, policy: Box<dyn RoutingPolicy>, stream: Stream) -> Self {
        let homes = members.iter().filter(|member| !member.guest).count();
        let mut load = members[homes..].iter().fold(Load::new(homes), |load, _| load.with_guest());
        for (at, member) in members.iter().enumerate() {
            load.set_kv_capacity(at, member.kv_tokens);
        }
        let load = if policy.counts_tokens() { load.counting_tokens() } else { load };
        Self { members, load, policy, stream }
    }
}

/// A client's position in a pool.
type Seat = (u16, u32);

/// What is known of a client, in whatever pools it is.
#[derive(Clone, Debug, Default)]
struct Presence {
    /// A client may serve several kinds of stage.
    seats: SmallVec<[Seat; 1]>,
    /// Visits outstanding or planned.
    outstanding: u32,
    lent: bool,
    /// The machine it is on.
    machine: (u32, u32),
}

/// All pools; a stage names its pool by position.
#[derive(Resource)]
pub struct Pools {
    pub(super) pools: Vec<Pool>,
    pub(super) latency: SimSpan,
    pub(super) transfer: Option<KvTransfer>,
    /// Whether the client that decodes is chosen at arrival.
    pub(super) decode_at_arrival: bool,
    /// Whether some policy wants to know when prompts are computed.
    pub(super) counts_tokens: bool,
    /// By position among all clients.
    clients: Vec<Presence>,
}

impl Pools {
    /// Pools reached over links of `latency` one way; KV moves between clients by `transfer`.
    pub fn new(pools: Vec<Pool>, latency: SimSpan, transfer: Option<KvTransfer>) -> Self {
        let clients = pools.iter().flat_map(|pool| &pool.members).map(|member| member.index + 1).max();
        let mut clients = vec![Presence::default(); clients.unwrap_or(0) as usize];
        for (at, pool) in pools.iter().enumerate() {
            for (seat, member) in pool.members.iter().enumerate() {
                let client = &mut clients[member.index as usize];
                client.seats.push((at as u16, seat as u32));
                client.machine = member.machine;
            }
        }
        let counts_tokens = pools.iter().any(|pool| pool.policy.counts_tokens());
        Self { pools, latency, transfer, decode_at_arrival: false, counts_tokens, clients }
    }

    /// The same, where the client that decodes is chosen together with the one that prefills.
    #[must_use]
    pub fn decode_at_arrival(self, decode_at_arrival: bool) -> Self {
        Self { decode_at_arrival, ..self }
    }

    /// Whether what the client at `index` prefills in `pool` is sent to others for `decode`, who never wait for it
    /// in turn, as they might where clients are lent.
    pub(super) fn hands_on(&self, index: u32, pool: u16, decode: u16) -> bool {
        let lent = |pool: u16| {
            let load = &self.pools[usize::from(pool)].load;
            load.with_guests() > load.clients()
        };
        self.seat_of(index, decode).is_none() && !lent(pool) && !lent(decode)
    }

    /// The position in `pool` of the client at `index` among all, if it is in it.
    pub(super) fn seat_of(&self, index: u32, pool: u16) -> Option<u32> {
        self.clients[index as usize].seats.iter().find(|seat| seat.0 == pool).map(|seat| seat.1)
    }

    /// The same, if it is at home in it.
    pub(super) fn home_of(&self, index: u32, pool: u16) -> Option<u32> {
        self.seat_of(index, pool).filter(|seat| !self.member(pool, *seat).guest)
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

    /// How long the KV of so many bytes takes from the client at `from` to that at `to`.
    pub(super) fn transfer(&self, from: u32, to: u32, bytes: f64) -> SimSpan {
        let machine = |index: u32| self.clients[index as usize].machine;
        let takes = |transfer: KvTransfer| transfer.takes(bytes, machine(from) == machine(to));
        self.transfer.map_or(SimSpan::ZERO, takes)
    }

    /// A visit is on its way to `member` of `pool`, or planned to be: who is a guest there is lent from now.
    #[inline]
    pub(super) fn add(&mut self, pool: u16, member: u32, burden: Burden) {
        let Member { index, guest, .. } = self.member(pool, member);
        let Self { pools, clients, .. } = self;
        let client = &mut clients[index as usize];
        client.outstanding += 1;
        for (pool, member) in &client.seats {
            pools[usize::from(*pool)].load.book(*member as usize, burden);
        }
        if guest && !client.lent {
            self.set_lent(index, true);
        }
    }

    /// A visit has come back from `member` of `pool`, or is not to be; the client's position among all.
    /// Who is lent goes home when it is idle.
    #[inline]
    pub(super) fn remove(&mut self, pool: u16, member: u32, burden: Burden) -> u32 {
        let index = self.member(pool, member).index;
        let Self { pools, clients, .. } = self;
        let client = &mut clients[index as usize];
        client.outstanding -= 1;
        for (pool, member) in &client.seats {
            pools[usize::from(*pool)].load.clear(*member as usize, burden);
        }
        if client.lent && client.outstanding == 0 {
            self.set_lent(index, false);
        }
        index
    }

    /// So many prompt tokens of a visit to `member` of `pool` are computed.
    pub(super) fn prefilled(&mut self, pool: u16, member: u32, tokens: u32) {
        let index = self.member(pool, member).index;
        for (pool, member) in &self.clients[index as usize].seats {
            self.pools[usize::from(*pool)].load.prefilled(*member as usize, tokens);
        }
    }

    fn set_lent(&mut self, index: u32, lent: bool) {
        let Self { pools, clients, .. } = self;
        let client = &mut clients[index as usize];
        client.lent = lent;
        for (pool, member) in &client.seats {
            pools[usize::from(*pool)].load.set_lent(*member as usize, lent);
        }
    }
}
