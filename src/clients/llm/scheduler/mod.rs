//! The scheduler of an LLM client: its queue, its running sequences, its KV blocks, the next step.
//!
//! Plain Rust without a world. A [`BatchingPolicy`](super::BatchingPolicy) looks at it (`view.rs`)
//! and composes steps with its verbs (`verbs.rs`); the client runs them and makes them take effect
//! (`steps.rs`). What is kept for later prompts is in `prefix.rs`, who is swapped out in `swap.rs`. Invariants, kept by `books.rs`: the blocks taken
//! from the pool are exactly those that admitted sequences and holdings hold, and every sequence is in exactly one of queue, prefill list, decode set,
//! pause list and the line on the host.

mod books;
mod holdings;
mod prefix;
mod queue;
mod steps;
mod swap;
mod verbs;
mod view;

use std::collections::VecDeque;
use std::num::NonZeroU32;

use bevy_ecs::entity::Entity;
use smallvec::SmallVec;

use self::holdings::Holdings;
use self::prefix::Prefixes;
pub use self::queue::Back;
use self::queue::Queue;
use self::swap::Host;
pub use self::swap::SwapTally;
use super::decoding::DecodeSet;
use super::packing::{Fcfs, PackingPolicy};
use super::sequence::{SeqId, Sequence};
use super::step::Step;
use super::token_clock::TokenClock;
use crate::memory::BlockPool;
use crate::request::Text;
use crate::request::pipeline::Work;
use crate::units::SimTime;

/// For how much of a sequence [`Scheduler::admit`] takes KV blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserve {
    /// What the step computes; later chunks and tokens take theirs as they come (vLLM V1).
    Chunk,
    /// The whole prompt (vLLM v0, Sarathi).
    Prompt,
    /// As many tokens, an engine's maximum for a whole request (`FasterTransformer`, Orca). Nothing
    /// is allocated later; a request that does not keep to the maximum holds what it needs.
    Tokens(u32),
}

impl Reserve {
    /// So many tokens, or all of memory where that is less.
    pub fn at_most(tokens: u32, kv: &BlockPool) -> Self {
        Self::Tokens(u64::from(tokens).min(kv.capacity_tokens()) as u32)
    }
}

/// Queue, running sequences, KV blocks and next step of one client.
#[derive(Debug)]
pub struct Scheduler {
    seqs: Vec<Sequence>,
    vacant: Vec<SeqId>,
    waiting: Queue,
    prefilling: SmallVec<[SeqId; 4]>,
    paused: VecDeque<SeqId>,
    decoding: DecodeSet,
    /// Admissions in order, to find the latest; entries whose admission is over are stale.
    admitted: Vec<(u64, SeqId)>,
    admissions: u64,
    arrivals: u64,
    running: u32,
    max_num_seqs: u32,
    max_prompts: Option<NonZeroU32>,
    kv: BlockPool,
    holdings: Holdings,
    prefixes: Option<Box<Prefixes>>,
    host: Option<Box<Host>>,
    step: Step,
    clock: TokenClock,
    preemptions: u64,
    /// Blocks taken for KV that is on its way here.
    pub(super) expected: u64,
}

impl Scheduler {
    /// An idle scheduler over `kv` that runs `max_num_seqs` sequences at most, first come, first served.
    pub fn new(kv: BlockPool, max_num_seqs: u32) -> Self {
        Self {
            seqs: Vec::new(),
            vacant: Vec::new(),
            waiting: Queue::new(Box::new(Fcfs {})),
            prefilling: SmallVec::new(),
            paused: VecDeque::new(),
            decoding: DecodeSet::new(&kv),
            admitted: Vec::new(),
            admissions: 0,
            arrivals: 0,
            running: 0,
            max_num_seqs,
            max_prompts: None,
            kv,
            holdings: Holdings::default(),
            prefixes: None,
            host: None,
            step: Step::default(),
            clock: TokenClock::default(),
            preemptions: 0,
            expected: 0,
        }
    }

    /// The same, idle as it is, with another order of the queue.
    #[must_use]
    pub fn packed(self, packing: Box<dyn PackingPolicy>) -> Self {
        Self { waiting: Queue::new(packing), ..self }
    }

    /// The same, with so many prompts in a step at most.
    #[must_use]
    pub fn with_max_prompts(self, max_prompts: Option<NonZeroU32>) -> Self {
        Self { max_prompts, ..self }
    }

    /// Takes in a request at `now`, whose prompt consists of `text` as far as that is known. What it goes on
    /// with, a holding of this client, must not have been released. Tells whether it may go ahead of others
    /// that wait.
    pub fn enqueue(
        &mut self,
        stage: Entity,
        work: &Work,
        base: Option<u32>,
        text: Option<&Text>,
        now: SimTime,
    ) -> bool {
        let id = self.enter(stage, work, base, now);
        self.name_tokens(id, text);
        self.wait(id, Back::Tail)
    }

    /// Takes in a request at `now`, whose KV has landed in the blocks that were taken for it. Tells whether it
    /// may go ahead of others that wait. It has no part in prefix caching.
    pub(super) fn enqueue_landed(&mut self, stage: Entity, work: &Work, now: SimTime) -> bool {
        let blocks = self.landing(work.fetched_tokens);
        self.expected -= u64::from(blocks);
        let id = self.enter(stage, work, None, now);
        self.seq_mut(id).blocks = blocks;
        self.wait(id, Back::Tail)
    }

    /// Blocks that so many tokens take whose KV comes from elsewhere.
    pub(super) const fn landing(&self, tokens: u32) -> u32 {
        self.kv.blocks_of(0, tokens, tokens)
    }

    /// Makes a sequence of a request, which does not wait yet.
    fn enter(&mut self, stage: Entity, work: &Work, base: Option<u32>, now: SimTime) -> SeqId {
        let seq = Sequence::new(stage, work, base, self.arrivals, now);
        if let Some(base) = base {
            self.holdings.refer(base);
        }
        self.arrivals += 1;
        let id = if let Some(id) = self.vacant.pop() {
            *self.seq_mut(id) = seq;
            id
        } else {
            self.seqs.push(seq);
            SeqId(self.seqs.len() as u32 - 1)
        };
        self.waiting.know(id, work.priority, now);
        id
    }

    /// What a finished sequence left in the holding `id` is no longer needed.
    pub fn release_holding(&mut self, id: u32) {
        let (holdings, mut blocks) = self.holdings_mut();
        holdings.release(id, &mut blocks);
    }

    /// Keeps the KV of the holding `id`, which is there, from being evicted.
    pub(super) fn pin_holding(&mut self, id: u32) {
        debug_assert!(self.holds(id), "KV that is not there cannot be sent");
        self.holdings.pin(id);
    }

    /// Lets it be evicted again.
    pub(super) fn unpin_holding(&mut self, id: u32) {
        self.holdings.unpin(id);
    }

    /// The step under way is followed by one that is the same, whose blocks are taken now.
    #[inline]
    pub(super) fn open_step(&mut self) {
        let took = self.kv.take(self.decoding.growth());
        debug_assert!(took, "a stride ends before blocks run short");
    }

    /// The KV blocks, to take and to give back.
    pub(super) const fn kv_mut(&mut self) -> &mut BlockPool {
        &mut self.kv
    }

    /// Gives back all blocks that are kept for later, those of the prefix cache too, while no sequence is here: what they held is computed
    /// again.
    pub fn lose_holdings(&mut self) {
        debug_assert!(self.is_empty(), "a running sequence needs its blocks");
        let (holdings, mut blocks) = self.holdings_mut();
        holdings.lose(&mut blocks);
        self.lose_prefixes();
    }

    /// Counts preemptions, swaps, and what came of prefix caching, on from those of `before`.
    pub fn count_on(&mut self, before: &Self) {
        self.preemptions = before.preemptions;
        self.count_prefixes_on(before);
        self.count_swaps_on(before);
    }

    /// Tokens whose KV the holding `id` gives whoever goes on with it now.
    pub fn held_tokens(&self, id: u32) -> u32 {
        self.holdings.nearest(id).map_or(0, |(_, tokens)| tokens)
    }

    /// Whether any sequence is here.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.running == 0 && self.swapped() == 0
    }
}
