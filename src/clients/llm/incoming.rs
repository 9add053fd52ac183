//! KV that comes to a client from another: room for it is taken before it sets out.
//!
//! As in engines whose decode side pulls (`NixlConnector` of vLLM, `DistServe`) or asks for room first
//! (Splitwise, Mooncake): blocks for all of it are allocated here, then it moves, then its sequence joins the
//! queue with its blocks in hand. Who finds no room waits in line; the line moves when a step is over and
//! what runs has had its blocks. Where neither who runs nor the head of the queue finds room to go on, KV that has
//! landed for others is given up, the last one's first, to be computed again.

use bevy_ecs::entity::Entity;

use super::LlmClient;
use super::batching::Receive;
use super::scheduler::Scheduler;
use super::sequence::Landed;
use super::stride::StrideEnd;
use crate::clients::Usage;
use crate::request::pipeline::Work;
use crate::stats::TokenGaps;
use crate::units::SimTime;

impl LlmClient {
    /// Takes room for the KV of `work` that is to come, if the policy lets it and there is enough. In the
    /// middle of a stride, that goes on with its present step alone: tells the end of that.
    pub(super) fn receive(
        &mut self,
        request: Entity,
        work: &Work,
        now: SimTime,
        (usage, gaps): (&mut Usage, &mut TokenGaps),
    ) -> (Receive, Option<StrideEnd>) {
        let tokens = work.fetched_tokens;
        let policy = self.policy.receive(request, tokens, &self.scheduler);
        if policy != Receive::IfRoom {
            return (policy, None);
        }
        let spare = self.scheduler.room_to_grow(self.reserved_tokens);
        if self.scheduler.is_recovering() || !self.scheduler.may_have_room(tokens, spare) {
            return (Receive::Later, None);
        }
        let end = self.single_out_step(now, usage, gaps);
        let took = self.while_idle(now, |scheduler| scheduler.expect(tokens, spare));
        (if took { Receive::IfRoom } else { Receive::Later }, end)
    }

    /// Lets the steps of a stride that are over take effect, and cuts it to the one that is under way: so
    /// blocks are where they would be with one step a stride.
    fn single_out_step(
        &mut self,
        now: SimTime,
        usage: &mut Usage,
        gaps: &mut TokenGaps,
    ) -> Option<StrideEnd> {
        let ended = self.stride.partition_point(|step| step.end <= now);
        if ended > 0 && ended < self.stride.len() {
            let begun = self.stride[ended - 1].end;
            // No sequence starts or completes before the last step of a stride.
            self.land_steps(ended, usage, gaps, &mut Landed::default());
            self.begun = begun;
            self.scheduler.open_step();
        }
        self.interrupt(now)
    }

    /// A stage whose KV finds no room yet.
    pub(super) fn line_up(&mut self, stage: Entity) {
        self.incoming.push_back(stage);
    }

    /// The first in line.
    pub(super) fn first_in_line(&self) -> Option<Entity> {
        self.incoming.front().copied()
    }

    /// The first in line has found room.
    pub(super) fn let_in_first(&mut self) {
        self.incoming.pop_front();
    }

    /// KV of a stage has landed in the room that was taken for it; may cut the stride as
    /// [`enqueue`](Self::enqueue) does.
    pub(super) fn enqueue_landed(&mut self, stage: Entity, work: &Work, now: SimTime) -> Option<StrideEnd> {
        let left = work.prompt_tokens.saturating_sub(work.fetched_tokens).max(1);
        let interrupts = self.policy.arrival_interrupts(left, &self.scheduler);
        let goes_ahead = self.scheduler.enqueue_landed(stage, work, now);
        if interrupts || goes_ahead { self.interrupt(now) } else { None }
    }

    /// Room that was taken for so many tokens is not needed.
    pub(super) fn cancel(&mut self, tokens: u32, now: SimTime) {
        self.while_idle(now, |scheduler| scheduler.unexpect(tokens));
    }

    /// KV in the holding `id` sets out for another client: it stays until it has landed there.
    pub(super) fn send_kv(&mut self, id: u32) {
        self.scheduler.pin_holding(id);
    }

    /// KV of `request` in the holding `id` has landed elsewhere. Cuts the stride: it may be evicted from now.
    pub(super) fn sent_kv(&mut self, request: Entity, id: u32, now: SimTime) -> Option<StrideEnd> {
        self.scheduler.unpin_holding(id);
        self.policy.kv_left(request);
        self.interrupt(now)
    }

    /// The stage of `request` reaches the client, for the policy to take note.
    pub(super) fn announce(&mut self, request: Entity) {
        self.policy.arrives(request);
    }
}

impl Scheduler {
    /// Blocks for so many tokens of each sequence that is here.
    fn room_to_grow(&self, tokens: u32) -> u64 {
        let sequences = self.waiting() as u64 + u64::from(self.running());
        sequences * u64::from(self.kv().blocks_of(0, 0, tokens))
    }

    /// Whether there may be blocks for so many tokens, which is quick to tell in the middle of a stride.
    fn may_have_room(&self, tokens: u32, spare: u64) -> bool {
        self.kv().free() >= u64::from(self.landing(tokens)) + spare || self.holdings() > 0
    }

    /// Takes blocks for `tokens` whose KV is to come, if `spare` more stay; `false`, and nothing done, when they
    /// are short.
    pub(super) fn expect(&mut self, tokens: u32, spare: u64) -> bool {
        let blocks = u64::from(self.landing(tokens));
        let took = self.take_leaving(blocks, spare);
        if took {
            self.expected += blocks;
        }
        took
    }

    /// Gives back the blocks that were taken for so many tokens.
    fn unexpect(&mut self, tokens: u32) {
        let blocks = u64::from(self.landing(tokens));
        self.expected -= blocks;
        self.kv_mut().give_back(blocks);
    }

    /// Where nobody finds the room to go on, gives up the KV that has landed for the last in the queue, its head
    /// only if somebody runs or is swapped out; `false` if there is none, or more is on its way.
    pub(super) fn give_up_landed(&mut self) -> bool {
        if self.expected > 0 {
            return false;
        }
        let next = usize::from(self.running() == 0 && self.swapped() == 0);
        let last = self.queue().skip(next).filter(|id| self.seq(*id).blocks > 0).last();
        let Some(id) = last else { return false };
        self.count_preemption(id);
        let seq = self.seq_mut(id);
        seq.fetched = 0;
        let blocks = std::mem::take(&mut seq.blocks);
        self.kv_mut().give_back(blocks.into());
        self.reconsider(id);
        true
    }
}
