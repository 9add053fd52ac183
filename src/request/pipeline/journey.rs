//! Where a request stands in its pipeline: the threads that run, the branches that wait for each other.

use bevy_ecs::component::Component;
use smallvec::SmallVec;

use crate::engine::Stream;
use crate::request::{KvHandle, Payload, Rejection};
use crate::units::{SimSpan, SimTime};

/// A request on its way through a pipeline of more than one visit.
#[derive(Component)]
pub struct Journey {
    pub(super) threads: SmallVec<[Thread; 1]>,
    pub(super) groups: Vec<Group>,
    /// Visits and waits under way.
    pub(super) under_way: u32,
    /// KV that clients keep for it.
    pub(super) kept: SmallVec<[KvHandle; 1]>,
    /// Tokens that models read for it.
    pub(super) read: u64,
    /// Tokens generated, those of branches that were dropped too.
    pub(super) generated: u64,
    pub(super) cached_tokens: u32,
    pub(super) preemptions: u16,
    pub(super) started: SimTime,
    pub(super) rejection: Option<Rejection>,
    pub(super) last_client: u32,
}

/// A line of control.
pub(super) struct Thread {
    /// The operation it is at.
    pub pc: u32,
    /// The group of branches it is of, if any.
    pub group: Option<u32>,
    /// Its number in the group.
    pub arm: u32,
    pub live: bool,
    /// How far it is within its operation: 1 behind a prefill of its own, tokens left of a pass.
    pub phase: u32,
    /// Whether it generates in the visit that prefills.
    pub fused: bool,
    /// Reasoning and answer tokens that its operation generates, once drawn.
    pub plan: [u32; 2],
    /// The client chosen for the decode that follows the prefill it is at.
    pub partner: Option<Partner>,
    pub payload: Payload,
    pub draws: Stream,
    /// Rounds left of the repetitions it is in.
    pub loops: SmallVec<[u32; 2]>,
    pub laps: SmallVec<[Lap; 4]>,
    pub times: TokenTimes,
    /// When it came to its operation.
    pub since: SimTime,
}

/// A client that a decode is to go to, chosen before its prefill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partner {
    /// The pool.
    pub pool: u16,
    /// The client's position in it.
    pub member: u32,
    /// Tokens of KV that it was told to expect.
    pub kv_tokens: u32,
}

/// Branches that will join.
pub(super) struct Group {
    pub parent: u32,
    pub left: u32,
    pub round: u32,
    /// What each branch came to, as they end.
    pub ends: Vec<End>,
}

/// What a branch came to.
#[derive(Clone, Copy)]
pub(super) struct End {
    pub arm: u32,
    pub payload: Payload,
    pub times: TokenTimes,
}

/// Time accounted under one label. Those of all labels add up to what has passed since the arrival.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lap {
    /// Waiting for a client: on the way to it and in its queue.
    pub waited: SimSpan,
    /// Being worked on.
    pub served: SimSpan,
}

impl Lap {
    /// Both.
    pub fn total(self) -> SimSpan {
        self.waited + self.served
    }
}

/// When the tokens of an answer came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenTimes {
    /// The first token, reasoning included.
    pub first: SimTime,
    /// The first token of the answer behind the reasoning.
    pub answer: SimTime,
    /// The last token.
    pub last: SimTime,
    /// Tokens from the first to the last.
    pub count: u32,
}

impl TokenTimes {
    /// No token yet.
    pub const NONE: Self = Self { first: SimTime::MAX, answer: SimTime::MAX, last: SimTime::MAX, count: 0 };
}

impl Journey {
    /// A request that sets out at `now` with `labels` names to account its time under; `draws` are
    /// its own.
    pub fn new(payload: Payload, labels: usize, draws: Stream, now: SimTime) -> Self {
        let thread = Thread {
            pc: 0,
            group: None,
            arm: 0,
            live: true,
            phase: 0,
            fused: false,
            plan: [0; 2],
            partner: None,
            payload,
            draws,
            loops: SmallVec::new(),
            laps: SmallVec::from_elem(Lap::default(), labels),
            times: TokenTimes::NONE,
            since: now,
        };
        Self {
            threads: SmallVec::from_buf([thread]),
            groups: Vec::new(),
            under_way: 0,
            kept: SmallVec::new(),
            read: 0,
            generated: 0,
            cached_tokens: 0,
            preemptions: 0,
            started: SimTime::MAX,
            rejection: None,
            last_client: 0,
        }
    }

    /// Time by label, of the way that decided when the request was done.
    pub fn laps(&self) -> &[Lap] {
        &self.threads[0].laps
    }

    /// When the answer came out.
    pub fn times(&self) -> TokenTimes {
        self.threads[0].times
    }

    /// Tokens that models read for it: its text, once for each prefill, scoring or classification, whether
    /// its KV was there or not.
    pub const fn read(&self) -> u64 {
        self.read
    }

    /// Tokens generated, those of branches that were dropped too.
    pub const fn generated(&self) -> u64 {
        self.generated
    }

    /// When a client first began to work on it.
    pub const fn started(&self) -> SimTime {
        self.started
    }

    /// Most tokens that one of its visits found in a prefix cache.
    pub const fn cached_tokens(&self) -> u32 {
        self.cached_tokens
    }

    /// How often clients preempted it.
    pub const fn preemptions(&self) -> u16 {
        self.preemptions
    }

    /// The position among all clients of the one that had it last.
    pub const fn last_client(&self) -> u32 {
        self.last_client
    }

    /// Why it was turned away, if it was.
    pub const fn rejection(&self) -> Option<Rejection> {
        self.rejection
    }

    /// KV that clients keep for it.
    pub fn kept(&self) -> &[KvHandle] {
        &self.kept
    }

    /// Its text as it stands.
    pub fn payload(&self) -> &Payload {
        &self.threads[0].payload
    }

    /// The KV of `thread` moves to another client; whether nobody else needs what it leaves behind, which
    /// is then no longer kept.
    pub fn move_kv(&mut self, thread: u32) -> Option<KvHandle> {
        let left = self.threads[thread as usize].payload.kv.take()?;
        let holds = |payload: &Payload| payload.kv == Some(left);
        let used = self.threads.iter().any(|thread| thread.live && holds(&thread.payload))
            || self.groups.iter().flat_map(|group| &group.ends).any(|end| holds(&end.payload));
        let at = self.kept.iter().position(|kept| *kept == left).filter(|_| !used)?;
        Some(self.kept.swap_remove(at))
    }

    /// The branch that `thread` is, by the numbers of branches from the outermost in.
    pub(super) fn branch(&self, thread: u32) -> SmallVec<[u32; 2]> {
        let mut arms = SmallVec::new();
        let mut at = &self.threads[thread as usize];
        while let Some(group) = at.group {
            arms.push(at.arm);
            at = &self.threads[self.groups[group as usize].parent as usize];
        }
        arms.reverse();
        arms
    }

    /// Lets one client do both the prefill that `thread` is at and the decode that follows.
    pub fn fuse(&mut self, thread: u32) {
        self.threads[thread as usize].fused = true;
    }

    /// Remembers the client to which the decode is to go that follows the prefill that `thread` is at.
    pub fn plan_decode(&mut self, thread: u32, partner: Partner) {
        self.threads[thread as usize].partner = Some(partner);
    }

    /// The client that was chosen for the decode that `thread` is at.
    pub fn take_partner(&mut self, thread: u32) -> Option<Partner> {
        self.threads[thread as usize].partner.take()
    }

    /// Clients that were chosen for decodes which are not to be any more.
    pub fn partners_left(&mut self) -> impl Iterator<Item = Partner> {
        self.threads.iter_mut().filter_map(|thread| thread.partner.take())
    }

    /// A new thread in the place of one that has ended, or in a new one.
    pub(super) fn add(&mut self, thread: Thread) -> u32 {
        let at = self.threads.iter().position(|thread| !thread.live).unwrap_or(self.threads.len());
        if at < self.threads.len() {
            self.threads[at] = thread;
        } else {
            self.threads.push(thread);
        }
        at as u32
    }

    /// A group of `arms` branches off `parent`, in the place of one that has joined or in a new one.
    pub(super) fn fork(&mut self, parent: u32, arms: u32) -> u32 {
        let group = Group { parent, left: arms, round: 0, ends: Vec::with_capacity(arms as usize) };
        let at = self.groups.iter().position(|group| group.left == 0).unwrap_or(self.groups.len());
        if at < self.groups.len() {
            self.groups[at] = group;
        } else {
            self.groups.push(group);
        }
        at as u32
    }
}
