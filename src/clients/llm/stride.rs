//! Strides: steps of a client that are priced, run and landed together.
//!
//! Decode steps that would all be composed the same differ only in their growing context. They are priced at once,
//! their ends kept one by one, and only the last end goes into the calendar; who comes in between cuts the stride
//! at the next end. What they come to is that of one step at a time, to the bit.

use std::sync::Arc;

use bevy_ecs::entity::Entity;

use super::StrideEnded;
use super::client::LlmClient;
use super::sequence::{Landed, StrideTimes};
use crate::clients::Usage;
use crate::engine::Calendar;
use crate::runtime::{Bound, StepCost, StepModel, StepShape};
use crate::stats::TokenGaps;
use crate::units::{SimSpan, SimTime};

/// Most steps in a stride.
pub(super) const STRIDE_LIMIT: usize = 128;

/// Steps that are priced in one call at most: most strides are short, and a larger array costs more to clear
/// than it spares.
const PRICED_AT_ONCE: usize = 32;

/// Least steps that a stride may have after one was cut.
pub(super) const SHORT_STRIDE: usize = 8;

/// A step of a stride.
#[derive(Clone, Copy)]
pub(super) struct PricedStep {
    pub end: SimTime,
    pub bound: Bound,
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
            self.stop(now, usage, gaps);
        }
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
        let mut costs = [StepCost::default(); PRICED_AT_ONCE];
        let mut end = self.stride.last().map_or(self.begun, |step| step.end);
        let shape = self.scheduler.shape();
        while self.stride.len() < steps {
            let priced = self.stride.len();
            let costs = &mut costs[..(steps - priced).min(PRICED_AT_ONCE)];
            match (&mut *costs, priced) {
                ([only], 0) => *only = self.with_copies(self.model.price(&shape)),
                (costs, _) => {
                    let context = shape.decode_context + priced as u64 * u64::from(shape.decode_seqs);
                    self.model.price_decodes(shape.decode_seqs, context, costs);
                }
            }
            self.stride.extend(costs.iter().map(|cost| {
                end = end + SimSpan::from_secs_f64(cost.seconds).max(SimSpan::from_ns(1));
                PricedStep { end, bound: cost.bound }
            }));
        }
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
        let ended = self.stride.partition_point(|step| step.end <= now);
        // At an end that falls on `now` the next step has not been composed.
        let inside = (1..self.stride.len()).contains(&ended) && self.stride[ended - 1].end < now;
        let goes_on = self.busy && inside;
        self.stop(now, usage, gaps);
        if goes_on {
            // The step under way has its blocks, as it had with one step a stride, and prefixes made room for them.
            self.scheduler.open_step();
            self.scheduler.clear_step();
            usage.prefix = self.scheduler.prefix_tally();
        }
    }

    /// Makes the steps that have ended by `now` take effect and forgets the rest.
    fn stop(&mut self, now: SimTime, usage: &mut Usage, gaps: &mut TokenGaps) {
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

    /// Hands the tokens of the first `steps` of the stride under way to the front end, if there is one.
    fn stream(&mut self, steps: usize, usage: &mut Usage) {
        let Some(front_end) = &mut self.front_end else { return };
        let shape = self.scheduler.shape();
        let (decodes, first) =
            (u64::from(shape.decode_seqs), shape.prefill.iter().filter(|chunk| chunk.last).count() as u64);
        let mut written = 0;
        if decodes > 0 {
            written = self.scheduler.decodes().map(|id| u64::from(self.scheduler.generated(id))).sum();
        }
        for step in &self.stride[..steps] {
            written += decodes;
            usage.streaming += front_end.take(step.end, decodes + first, written + first);
        }
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
        self.stream(steps, usage);
        let mut from = self.begun;
        for (at, step) in self.stride.drain(..steps).enumerate() {
            if at > 0 {
                self.scheduler.open_step();
            }
            let in_use = self.scheduler.kv().used();
            self.scheduler.advance(step.end, gaps);
            let span = step.end.since(from);
            usage.busy[step.bound as usize] += span;
            usage.kv_block_ns += u128::from(in_use) * u128::from(span.as_ns());
            usage.kv_blocks_peak = usage.kv_blocks_peak.max(in_use);
            from = step.end;
        }
        if steps > 0 {
            let read = self.streamed_at().unwrap_or(from);
            self.scheduler.land(StrideTimes { begun: self.begun, ended: from, read }, gaps, landed);
        }
        let steps = steps as u64;
        usage.steps += steps;
        usage.last_step_end = from;
        usage.prefill_tokens += prefill_tokens;
        usage.decode_tokens += decode_seqs * steps;
        usage.batch_seqs += shape_seqs * steps;
    }
}
