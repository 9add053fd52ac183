//! An LLM client as plain Rust: scheduler, policy, runtime model; what comes to it and goes. Its steps are in
//! `stride.rs`.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;

use bevy_ecs::component::Component;
use bevy_ecs::entity::Entity;

use super::batching::BatchingPolicy;
use super::front_end::{FrontEnd, Streaming};
use super::packing::PackingPolicy;
use super::scheduler::Scheduler;
use super::stride::{PricedStep, SHORT_STRIDE, STRIDE_LIMIT, StrideEnd};
use crate::memory::BlockPool;
use crate::memory::prefix::PrefixCaching;
use crate::request::pipeline::Work;
use crate::request::{Rejection, Text};
use crate::runtime::StepModel;
use crate::units::SimTime;

/// What an LLM client is made of.
pub struct LlmSetup {
    /// Position among all clients, which orders what happens at the same instant.
    pub index: u32,
    /// The KV blocks of the cluster.
    pub kv: BlockPool,
    /// Host memory to which sequences are swapped when they are preempted; else they are computed again.
    pub host: Option<HostKv>,
    /// How KV is kept in them for later prompts.
    pub prefix_caching: PrefixCaching,
    /// Most sequences that run at once.
    pub max_num_seqs: u32,
    /// Most prompts that a step computes.
    pub max_prompts: Option<NonZeroU32>,
    /// Tokens kept free for each sequence before KV of another may come from elsewhere.
    pub reserved_tokens: u32,
    /// Longest prompt plus output served (tokens).
    pub max_model_len: u32,
    /// Composes the steps.
    pub policy: Box<dyn BatchingPolicy>,
    /// The order of the queue.
    pub packing: Box<dyn PackingPolicy>,
    /// Prices the steps.
    pub model: Arc<dyn StepModel>,
    /// Whether steps that repeat are run as strides. Results are the same to the bit.
    pub strides: bool,
}

/// KV blocks in host memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostKv {
    /// How many.
    pub blocks: u64,
    /// How long it takes to copy one there or back (s).
    pub seconds_per_block: f64,
}

/// What a vLLM or `SGLang` instance is in real life, for prefill and decode.
#[derive(Component)]
pub struct LlmClient {
    pub(super) index: u32,
    pub(super) scheduler: Scheduler,
    pub(super) policy: Box<dyn BatchingPolicy>,
    pub(super) model: Arc<dyn StepModel>,
    pub(super) seconds_per_copy: f64,
    pub(super) max_model_len: u32,
    pub(super) stride_limit: usize,
    /// Most steps in the next stride: what is priced beyond the next arrival is priced in vain, so
    /// it shrinks to where strides were cut, and doubles when one was not.
    pub(super) reach: usize,
    /// The steps of the stride under way, with their ends; empty when idle.
    pub(super) stride: Vec<PricedStep>,
    pub(super) begun: SimTime,
    /// Holdings to be released when the step under way is over.
    pub(super) releases: Vec<u32>,
    /// Stages whose KV is to come here once there is room for it.
    pub(super) incoming: VecDeque<Entity>,
    /// Tokens kept free for each sequence before more may come.
    pub(super) reserved_tokens: u32,
    /// Whether a step is composed or under way.
    pub(super) busy: bool,
    pub(super) idle: IdleKv,
    /// Tells the end of the current stride from those of strides that were cut.
    pub(super) epoch: u32,
    /// Whether the client serves several models by turns: this is what serves one of them.
    pub(super) shared: bool,
    /// What hands its answers on, where that takes time.
    pub(super) front_end: Option<Streaming>,
}

/// KV that is kept while the client idles.
#[derive(Clone, Copy, Default)]
pub(super) struct IdleKv {
    pub since: SimTime,
    pub blocks: u64,
    /// Blocks × ns that no usage has yet.
    pub block_ns: u128,
}

impl IdleKv {
    pub fn pass(&mut self, now: SimTime) {
        self.block_ns += u128::from(self.blocks) * u128::from(now.since(self.since).as_ns());
        self.since = now;
    }
}

impl LlmClient {
    /// An idle client.
    pub fn new(setup: LlmSetup) -> Self {
        let mut scheduler = Scheduler::new(setup.kv, setup.max_num_seqs)
            .packed(setup.packing)
            .with_max_prompts(setup.max_prompts)
            .with_prefix_caching(setup.prefix_caching);
        if let Some(host) = setup.host {
            scheduler = scheduler.with_host_blocks(host.blocks);
        }
        Self {
            index: setup.index,
            scheduler,
            seconds_per_copy: setup.host.map_or(0.0, |host| host.seconds_per_block),
            policy: setup.policy,
            model: setup.model,
            max_model_len: setup.max_model_len,
            stride_limit: if setup.strides { STRIDE_LIMIT } else { 1 },
            reach: SHORT_STRIDE,
            stride: Vec::new(),
            begun: SimTime::ZERO,
            releases: Vec::new(),
            incoming: VecDeque::new(),
            reserved_tokens: setup.reserved_tokens,
            busy: false,
            idle: IdleKv::default(),
            epoch: 0,
            shared: false,
            front_end: None,
        }
    }

    /// The same behind a process that streams its answers.
    #[must_use]
    pub fn streamed(self, front_end: FrontEnd) -> Self {
        Self { front_end: Some(front_end.start()), ..self }
    }

    /// When what the last stride that landed gave out has reached the client, unless that takes no time.
    pub(super) fn streamed_at(&self) -> Option<SimTime> {
        self.front_end.as_ref().map(Streaming::free)
    }

    /// What serves one of the models of a client that serves several by turns: see
    /// [`Shelf`](super::Shelf).
    #[must_use]
    pub fn shared(self) -> Self {
        Self { shared: true, ..self }
    }

    /// Whether the client serves several models by turns.
    pub const fn is_shared(&self) -> bool {
        self.shared
    }

    /// Gives the turn to what serves `other`; nothing is under way here. KV that was kept is lost, that of the
    /// prefix cache too.
    pub(super) fn give_way(&mut self, other: &mut Self, now: SimTime) {
        self.scheduler.lose_holdings();
        other.idle = IdleKv { since: now, ..IdleKv::default() };
        // Both count on, so that no end of a stride before can be taken for one after.
        other.epoch = self.epoch;
        other.scheduler.count_on(&self.scheduler);
        std::mem::swap(self, other);
    }

    /// Position among all clients.
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Queue, running sequences and KV blocks.
    pub const fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    /// Whether a step is composed or under way.
    pub const fn is_busy(&self) -> bool {
        self.busy
    }

    /// The runtime model.
    pub fn model(&self) -> &Arc<dyn StepModel> {
        &self.model
    }

    /// Why `work` that goes on with the holding `base` cannot be served here, if it cannot.
    pub fn refuses(&self, work: &Work, base: Option<u32>) -> Option<Rejection> {
        let (prompt, output) = (work.prompt_tokens, work.output_tokens);
        let ready = base.map_or(work.fetched_tokens, |base| self.scheduler.held_tokens(base));
        let total = u64::from(prompt) + u64::from(output);
        if prompt == 0 {
            Some(Rejection::EmptyPrompt)
        } else if output == 0 {
            Some(Rejection::EmptyOutput)
        } else if total > u64::from(self.max_model_len) {
            Some(Rejection::ContextLength)
        } else if self.most_blocks(total - 1) > self.scheduler.kv().of_one_copy() {
            Some(Rejection::KvCapacity)
        } else {
            self.policy.refuses(prompt - ready.min(prompt), self.scheduler.kv())
        }
    }

    /// Most KV blocks that a sequence of so many tokens holds.
    fn most_blocks(&self, tokens: u64) -> u64 {
        let kv = self.scheduler.kv();
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        kv.groups().most(tokens, self.policy.largest_chunk(), kv.block_size())
    }

    /// Takes in a request that [`refuses`](Self::refuses) has nothing against, whose prompt consists of
    /// `text` as far as that is known. When that cuts the stride under way short, tells its new end, which is
    /// after `now`: see [`catch_up`](Self::catch_up).
    pub fn enqueue(
        &mut self,
        stage: Entity,
        work: &Work,
        base: Option<u32>,
        text: Option<&Text>,
        now: SimTime,
    ) -> Option<StrideEnd> {
        let ready = base.map_or(work.fetched_tokens, |base| self.scheduler.held_tokens(base));
        let left = work.prompt_tokens.saturating_sub(ready).max(1);
        let interrupts = self.policy.arrival_interrupts(left, &self.scheduler);
        let goes_ahead = self.scheduler.enqueue(stage, work, base, text, now);
        if interrupts || goes_ahead { self.interrupt(now) } else { None }
    }

    /// KV that is kept in the holding `id` is no longer needed, while it is not the turn of this model.
    pub(super) fn release_parked(&mut self, id: u32) {
        self.scheduler.release_holding(id);
    }

    /// KV that is kept in the holding `id` is no longer needed: it is dropped when the step under way is
    /// over. May cut the stride as [`enqueue`](Self::enqueue) does.
    pub fn release_kv(&mut self, id: u32, now: SimTime) -> Option<StrideEnd> {
        if self.busy {
            self.releases.push(id);
            return self.interrupt(now);
        }
        self.while_idle(now, |scheduler| scheduler.release_holding(id));
        None
    }

    /// Changes what is kept, where that counts as in use while nothing is under way.
    pub(super) fn while_idle<T>(&mut self, now: SimTime, change: impl FnOnce(&mut Scheduler) -> T) -> T {
        if self.busy {
            return change(&mut self.scheduler);
        }
        self.idle.pass(now);
        let changed = change(&mut self.scheduler);
        self.idle.blocks = self.scheduler.kv().used();
        changed
    }

    /// Composes the next step if the client is idle; tells whether there is one.
    pub fn form(&mut self) -> bool {
        if self.busy {
            return false;
        }
        if self.scheduler.is_empty() {
            self.policy.idle();
            return false;
        }
        self.scheduler.arrange_queue();
        self.swap_in();
        loop {
            let before = self.scheduler.preemptions();
            self.policy.form(&mut self.scheduler);
            // Who gave way has left room, and so has KV that is given up for those who run first.
            let again = !self.scheduler.has_step()
                && (self.scheduler.preemptions() > before
                    || self.scheduler.give_up_base()
                    || self.swap_in()
                    || self.scheduler.give_up_landed());
            if !again {
                break;
            }
        }
        self.busy = self.scheduler.has_step();
        self.busy
    }

    /// Lets sequences come back that are swapped out; tells whether any did.
    fn swap_in(&mut self) -> bool {
        let Self { policy, scheduler, .. } = self;
        let chunk = policy.largest_chunk().unwrap_or(u32::MAX);
        scheduler.swapped() > 0 && scheduler.swap_in(policy.watermark(scheduler.kv()), chunk)
    }
}
