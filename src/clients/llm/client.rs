//! An LLM client as plain Rust: scheduler, policy, runtime model, and the stride it is running.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;

use bevy_ecs::component::Component;
use bevy_ecs::entity::Entity;

use super::StrideEnded;
use super::batching::BatchingPolicy;
use super::packing::PackingPolicy;
use super::scheduler::Scheduler;
use super::sequence::Landed;
use crate::clients::Usage;
use crate::engine::Calendar;
use crate::memory::BlockPool;
use crate::memory::prefix::PrefixCaching;
use crate::request::pipeline::Work;
use crate::request::{Rejection, Text};
use crate::runtime::{Bound, StepCost, StepModel, StepShape};
use crate::stats::TokenGaps;
use crate::units::{SimSpan, SimTime};

/// Most steps in a stride.
const STRIDE_LIMIT: usize = 128;

/// Least steps that a stride may have after one was cut.
const SHORT_STRIDE: usize = 8;

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
    index: u32,
    pub(super) scheduler: Scheduler,
    pub(super) policy: Box<dyn BatchingPolicy>,
    model: Arc<dyn StepModel>,
    seconds_per_copy: f64,
    max_model_len: u32,
    stride_limit: usize,
    /// Most steps in the next stride: what is priced beyond the next arrival is priced in vain, so
    /// it shrinks to where strides were cut, and doubles when one was not.
    reach: usize,
    /// The steps of the stride under way, with their ends; empty when idle.
    pub(super) stride: Vec<PricedStep>,
    pub(super) begun: SimTime,
    /// Holdings to be released when the step under way is over.
    releases: Vec<u32>,
    /// Stages whose KV is to come here once there is room for it.
    pub(super) incoming: VecDeque<Entity>,
    /// Tokens kept free for each sequence before more may come.
    pub(super) reserved_tokens: u32,
    /// Whether a step is composed or under way.
    busy: bool,
    idle: IdleKv,
    /// Tells the end of the current stride from those of strides that were cut.
    epoch: u32,
    /// Whether the client serves several models by turns: this is what serves one of them.
    shared: bool,
}

/// KV that is kept while the client idles.
#[derive(Clone, Copy, Default)]
struct IdleKv {
    since: SimTime,
    blocks: u64,
    /// Blocks × ns that no usage has yet.
    block_ns: u128,
}

impl IdleKv {
    fn pass(&mut self, now: SimTime) {
        self.block_ns += u128::from(self.blocks) * u128::from(now.since(self.since).as_ns());
        self.since = now;
    }
}

/// A step of a stride.
#[derive(Clone, Copy)]
pub(super) struct PricedStep {
    pub end: SimTime,
    bound: Bound,
}

/// The stride that a client is running: steps that are all the same but for the growing context.
#[derive(Clone, Copy, Debug)]
pub struct Stride<'a> {
    /// What its first step computes.
    pub shape: StepShape<'a>,
    /// When it began.
    pub begun: SimTime,
    /// How many steps it has.
    pub steps: usize,
    /// When the last of them ends, unless it is cut.
    pub end: SimTime,
}

/// When a stride ends, unless it is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StrideEnd {
    /// The instant.
    pub time: SimTime,
    /// What [`LlmClient::land`] must be given then.
    pub epoch: u32,
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
        }
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

    /// The stride under way, once it is priced.
    pub fn stride(&self) -> Option<Stride<'_>> {
        let end = self.stride.last()?.end;
        let (shape, begun) = (self.scheduler.shape(), self.begun);
        Some(Stride { shape, begun, steps: self.stride.len(), end })
    }

    /// Replaces the runtime model from the next step on: the step under way keeps its price. `me` is
    /// the client's own entity. For systems before `Phase::Price`, which prices steps that begin now.
    pub fn set_model(&mut self, me: Entity, model: Arc<dyn StepModel>, calendar: &mut Calendar) {
        self.model = model;
        let now = calendar.now();
        // What begins now is yet to be priced in the first tick of an instant, and was in later ones.
        let yet_to_be_priced = calendar.is_first_tick();
        let before = |step: &PricedStep| step.end < now || step.end == now && !yet_to_be_priced;
        let (steps, kept) = (self.stride.len(), self.stride.partition_point(before) + 1);
        if kept < steps {
            self.stride.truncate(kept);
            let end = self.price_up_to(steps);
            calendar.at(end.time, StrideEnded { client: me, index: self.index, epoch: end.epoch });
        }
    }

    /// Time in steps that have ended by `now`: `usage`, to which a stride is added when it ends, and
    /// those of the stride under way.
    pub fn busy_total(&self, usage: &Usage, now: SimTime) -> SimSpan {
        let ended = self.stride[..self.stride.partition_point(|step| step.end <= now)].last();
        usage.busy_total() + ended.map_or(SimSpan::ZERO, |step| step.end.since(self.begun))
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
        } else if self.most_blocks(total - 1) > self.scheduler.kv().total() {
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

    /// Ends the stride under way with its current step.
    pub(super) fn interrupt(&mut self, now: SimTime) -> Option<StrideEnd> {
        if self.busy && self.stride.is_empty() {
            self.scheduler.run_once(); // composed, and yet to be priced
        }
        let steps = self.stride.partition_point(|step| step.end <= now) + 1;
        if steps >= self.stride.len() {
            return None;
        }
        self.stride.truncate(steps);
        self.reach = steps.next_power_of_two().max(SHORT_STRIDE);
        self.epoch += 1;
        Some(StrideEnd { time: self.stride[steps - 1].end, epoch: self.epoch })
    }

    /// Ends the stride under way if one of its steps ends now, so that whoever comes now may join the
    /// next one, as without strides. For what arrives in the first tick of an instant; in later ones
    /// the next step has begun.
    pub fn catch_up(&mut self, now: SimTime, usage: &mut Usage, gaps: &mut TokenGaps) {
        let ended = self.stride.partition_point(|step| step.end <= now);
        // The last step has an end of its own in the calendar.
        if ended > 0 && ended < self.stride.len() && self.stride[ended - 1].end == now {
            self.settle(now, usage, gaps);
        }
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

    /// Prices the composed step, and as many more as will be the same, from `now` on.
    pub fn price(&mut self, now: SimTime) -> StrideEnd {
        // Blocks behind a window may make room for KV that is to come.
        let frees_midway = self.scheduler.kv().groups().windowed() > 0 && !self.incoming.is_empty();
        let limit = if frees_midway { 1 } else { self.reach.min(self.stride_limit) };
        let steps = self.scheduler.stride(limit as u64) as usize;
        if steps == self.reach {
            self.reach = (2 * self.reach).min(STRIDE_LIMIT);
        }
        self.stride.clear();
        self.idle.pass(now);
        self.begun = now;
        self.price_up_to(steps)
    }

    /// Prices what the stride lacks to be `steps` long.
    fn price_up_to(&mut self, steps: usize) -> StrideEnd {
        let mut costs = [StepCost::default(); STRIDE_LIMIT];
        let (shape, priced) = (self.scheduler.shape(), self.stride.len());
        match (&mut costs[priced..steps], priced) {
            ([only], 0) => *only = self.with_copies(self.model.price(&shape)),
            (costs, _) => {
                let context = shape.decode_context + priced as u64 * u64::from(shape.decode_seqs);
                self.model.price_decodes(shape.decode_seqs, context, costs);
            }
        }
        let mut end = self.stride.last().map_or(self.begun, |step| step.end);
        self.stride.extend(costs[priced..steps].iter().map(|cost| {
            end = end + SimSpan::from_secs_f64(cost.seconds).max(SimSpan::from_ns(1));
            PricedStep { end, bound: cost.bound }
        }));
        self.epoch += 1;
        StrideEnd { time: end, epoch: self.epoch }
    }

    /// The price of a step with the time to copy what is swapped, which the step waits for.
    fn with_copies(&self, cost: StepCost) -> StepCost {
        let copying = self.scheduler.copies() as f64 * self.seconds_per_copy;
        let bound = if copying > cost.seconds { Bound::Host } else { cost.bound };
        StepCost { seconds: cost.seconds + copying, bound }
    }

    /// Makes the steps of the stride under way that have ended by `now` take effect and forgets the
    /// rest, when the simulation stops in the middle of it.
    pub fn settle(&mut self, now: SimTime, usage: &mut Usage, gaps: &mut TokenGaps) {
        if !self.busy {
            return self.settle_idle(now, usage);
        }
        self.stride.truncate(self.stride.partition_point(|step| step.end <= now));
        // No sequence starts or completes before the last step of a stride, which has not ended.
        self.land(self.epoch, usage, gaps, &mut Landed::default());
    }

    /// Brings `usage` up to `now` while nothing is under way.
    pub(super) fn settle_idle(&mut self, now: SimTime, usage: &mut Usage) {
        self.idle.pass(now);
        usage.kv_block_ns += std::mem::take(&mut self.idle.block_ns);
    }

    /// Makes the stride that ends with `epoch` take effect; `false` when that one was cut.
    /// What that means for stages is added to `landed`.
    pub fn land(&mut self, epoch: u32, usage: &mut Usage, gaps: &mut TokenGaps, landed: &mut Landed) -> bool {
        if epoch != self.epoch || !self.busy {
            return false;
        }
        self.land_steps(self.stride.len(), usage, gaps, landed);
        self.scheduler.clear_step();
        for id in self.releases.drain(..) {
            self.scheduler.release_holding(id);
        }
        usage.preemptions = self.scheduler.preemptions();
        usage.prefix = self.scheduler.prefix_tally();
        usage.swapped = self.scheduler.swap_tally();
        usage.kv_block_ns += std::mem::take(&mut self.idle.block_ns);
        (self.idle.since, self.idle.blocks) = (usage.last_step_end, self.scheduler.kv().used());
        self.busy = false;
        true
    }

    /// Makes the first `steps` of the stride under way take effect.
    pub(super) fn land_steps(
        &mut self,
        steps: usize,
        usage: &mut Usage,
        gaps: &mut TokenGaps,
        landed: &mut Landed,
    ) {
        let (shape_seqs, prefill_tokens, decode_seqs) = {
            let shape = self.scheduler.shape();
            let prompts = shape.prefill.len() as u64;
            (prompts + u64::from(shape.decode_seqs), shape.prefill_tokens(), u64::from(shape.decode_seqs))
        };
        let mut from = self.begun;
        for (at, step) in self.stride.drain(..steps).enumerate() {
            let in_use = self.scheduler.land(self.begun, step.end, at == 0, gaps, landed);
            let span = step.end.since(from);
            usage.busy[step.bound as usize] += span;
            usage.kv_block_ns += u128::from(in_use) * u128::from(span.as_ns());
            usage.kv_blocks_peak = usage.kv_blocks_peak.max(in_use);
            from = step.end;
        }
        let steps = steps as u64;
        usage.steps += steps;
        usage.last_step_end = from;
        usage.prefill_tokens += prefill_tokens;
        usage.decode_tokens += decode_seqs * steps;
        usage.batch_seqs += shape_seqs * steps;
    }
}
