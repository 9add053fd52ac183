//! The components of requests and stages, and the ports on which they are handed around.

use bevy_ecs::component::Component;
use bevy_ecs::entity::Entity;

use super::pipeline::{TokenTimes, Work};
use super::{KvHandle, Payload, Rejection};
use crate::engine::Wake;
use crate::units::{SimSpan, SimTime};

/// One request. A single component of one cache line: event-driven access is random access. Where its
/// pipeline takes more than one visit, its [`Journey`](super::pipeline::Journey) lies beside it.
#[derive(Component, Clone, Copy, Debug)]
pub struct Request {
    /// Number in order of arrival, from 0.
    pub id: u64,
    /// Position of its source in the workload.
    pub source: u16,
    /// Its pipeline, a position in [`Programs`](super::pipeline::Programs).
    pub program: u16,
    /// The model it asks for, a position there.
    pub model: u16,
    /// How urgent it is: lower values are more urgent.
    pub priority: i16,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the answer: the world's knowledge, which no policy may use.
    pub output_tokens: u32,
    /// When it reached the coordinator.
    pub arrived: SimTime,
}

/// One visit of a request to a client. A single component of one cache line, as is the [`Request`]; what a
/// visit of a longer journey needs besides is its [`Passage`].
#[derive(Component, Clone, Copy, Debug)]
pub struct Stage {
    /// Whose stage it is.
    pub request: Entity,
    /// The client.
    pub client: Entity,
    /// Tokens of the text that the client is given.
    pub prompt_tokens: u32,
    /// Tokens that it is to generate.
    pub output_tokens: u32,
    /// When the step began that first computed some of it.
    pub started: SimTime,
    /// When its first token was out.
    pub first_token: SimTime,
    /// The client's position in the pool.
    pub member: u32,
    /// Prompt tokens to be computed that the coordinator has booked for it.
    pub pending_tokens: u32,
    /// Whether the coordinator wants to be told when its prompt is computed.
    pub tells_prefilled: bool,
    /// The pool it was routed in.
    pub pool: u16,
    /// The model that is asked of an LLM client, numbered as the deployment does.
    pub model: u16,
    /// Tokens of the text that were in the client's prefix cache when it was first admitted.
    pub cached_tokens: u32,
    /// How often the client preempted it.
    pub preemptions: u16,
    /// How urgent it is: lower values are more urgent.
    pub priority: i16,
    /// Why the client turned it away, if it did.
    pub rejection: Option<Rejection>,
}

/// What a visit of a journey of several visits needs besides its [`Stage`].
#[derive(Component, Clone, Copy, Debug)]
pub struct Passage {
    /// The pipeline.
    pub program: u16,
    /// The operation it is at.
    pub place: u32,
    /// The thread of the journey.
    pub thread: u32,
    /// What is asked of an LLM client.
    pub work: Work,
    /// The number on the client of the KV that it goes on with.
    pub base: Option<u32>,
    /// KV that has to come to the client first.
    pub moved: Option<Moved>,
    /// When that set out and when it landed, once it has.
    pub way: Option<[SimTime; 2]>,
    /// When its first token behind the reasoning was out.
    pub answer: SimTime,
    /// KV that the client keeps for what follows.
    pub kept: Option<KvHandle>,
    /// The text of the request, which the client may change.
    pub payload: Payload,
}

/// KV that moves from one client to another before a visit can begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moved {
    /// Where it is.
    pub from: KvHandle,
    /// Whether nobody else needs it there: it is released when it has landed.
    pub release: bool,
    /// How long it is on its way.
    pub takes: SimSpan,
    /// Its size (bytes).
    pub bytes: u64,
}

impl Stage {
    /// A visit to `client`, the `member`-th of `pool`, that asks for `work`.
    pub const fn new(request: Entity, client: Entity, pool: u16, member: u32, work: &Work) -> Self {
        Self {
            request,
            client,
            prompt_tokens: work.prompt_tokens,
            output_tokens: work.output_tokens,
            started: SimTime::MAX,
            first_token: SimTime::MAX,
            member,
            pending_tokens: 0,
            tells_prefilled: false,
            pool,
            model: work.model,
            cached_tokens: 0,
            preemptions: 0,
            priority: work.priority,
            rejection: None,
        }
    }

    /// What is asked of an LLM client, in a visit with this passage or without one.
    pub fn work(&self, passage: Option<&Passage>) -> Work {
        let Self { model, priority, .. } = *self;
        let alone = Work { model, priority, ..Work::new(self.prompt_tokens, self.output_tokens) };
        passage.map_or(alone, |passage| passage.work)
    }
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

/// The first token of a stage is out: its prompt is computed: client → coordinator. Sent only for
/// stages that [tell](Stage::tells_prefilled).
#[derive(Clone, Copy, Debug)]
pub struct PrefillDone(pub Entity);

/// A request has left the system: coordinator → metrics.
#[derive(Clone, Copy, Debug)]
pub struct Departed {
    /// The request.
    pub request: Entity,
    /// Position among all clients of the one that had it last.
    pub client: u32,
    /// When a client first began to work on it.
    pub started: SimTime,
    /// When its tokens came out.
    pub times: TokenTimes,
    /// Tokens that models read for it.
    pub read: u64,
    /// Tokens generated, those of branches that were dropped too.
    pub generated: u64,
    /// Most tokens that one of its visits found in a prefix cache.
    pub cached_tokens: u32,
    /// How often clients preempted it.
    pub preemptions: u16,
    /// Why it was turned away, if it was.
    pub rejection: Option<Rejection>,
}

/// KV that a client kept for a request is no longer needed: coordinator → LLM clients.
#[derive(Clone, Copy, Debug)]
pub struct ReleaseKv {
    /// The client.
    pub client: Entity,
    /// The model whose KV it is, numbered as the deployment does.
    pub model: u16,
    /// Its number there, among the KV of that model.
    pub id: u32,
}

impl From<KvHandle> for ReleaseKv {
    fn from(KvHandle { client, model, id, .. }: KvHandle) -> Self {
        Self { client, model, id }
    }
}

impl Wake for ReleaseKv {
    const PRIORITY: u8 = 48;

    fn pack(self) -> [u64; 2] {
        [self.client.to_bits(), u64::from(self.model) << 32 | u64::from(self.id)]
    }

    fn unpack([client, rest]: [u64; 2]) -> Self {
        Self { client: Entity::from_bits(client), model: (rest >> 32) as u16, id: rest as u32 }
    }
}

/// A request of the `source`-th source has left the system: coordinator → workload.
#[derive(Clone, Copy, Debug)]
pub struct Vacated {
    /// Position in the workload.
    pub source: u16,
    /// The request's number.
    pub request: u64,
    /// Whether it was turned away.
    pub turned_away: bool,
}
