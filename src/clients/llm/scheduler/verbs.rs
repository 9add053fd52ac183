//! What a policy does with the scheduler.

use super::prefix::Leaves;
use super::{Back, Reserve, Scheduler};
use crate::clients::llm::sequence::{SeqId, State};

impl Scheduler {
    /// Puts every decoding sequence into the step. Where blocks for their new tokens are short, the
    /// latest admissions are preempted until the rest fit; tells whether that was so.
    pub fn decode_all(&mut self) -> bool {
        let mut preempted = false;
        while !self.decode_if_room() {
            self.preempt_last();
            preempted = true;
        }
        preempted
    }

    /// Puts every decoding sequence into the step; `false`, and nothing done, when blocks for their new
    /// tokens are short.
    pub fn decode_if_room(&mut self) -> bool {
        if self.decoding.members() == 0 {
            return true;
        }
        self.step.decodes = self.take(self.decoding.growth());
        self.step.decodes
    }

    /// Puts the next `tokens` of the `at`-th prompt under way into the step; `false`, and nothing
    /// done, when blocks for them are short.
    pub fn continue_prefill(&mut self, at: usize, tokens: u32) -> bool {
        let id = self.prefilling[at];
        self.compute(id, tokens, 0, 0)
    }

    /// Admits the head of the queue, with its first `tokens` tokens in the step; `false`, and
    /// nothing done, when nothing waits, enough run already, or blocks are short.
    pub fn admit(&mut self, tokens: u32, reserve: Reserve) -> bool {
        self.admit_leaving(tokens, reserve, 0)
    }

    /// [`admit`](Self::admit), if so many blocks stay `spare`: free, or held for nobody that runs.
    pub fn admit_leaving(&mut self, tokens: u32, reserve: Reserve, spare: u64) -> bool {
        if self.next_waiting().is_none() {
            return false;
        }
        let Some(id) = self.waiting.front() else { return false };
        let hold = match reserve {
            Reserve::Chunk => 0,
            Reserve::Prompt => self.seq(id).goal,
            Reserve::Tokens(tokens) => tokens.max(self.seq(id).longest()),
        };
        if !self.has_room(id, tokens, hold, spare) {
            return false;
        }
        self.stand_on(id);
        if !self.compute(id, tokens, hold, spare) {
            debug_assert!(self.in_cache(id).is_none(), "there was room");
            self.step_off(id);
            return false;
        }
        self.waiting.pop_front();
        self.admissions += 1;
        let admission = self.admissions;
        let seq = self.seq_mut(id);
        seq.admission = admission;
        seq.reserved = matches!(reserve, Reserve::Tokens(_));
        seq.state = State::Prefilling;
        self.prefilling.push(id);
        self.running += 1;
        self.remember_admission(id);
        true
    }

    /// Puts `id`, which waits, at the head of the queue; `false`, and nothing done, where the packing policy
    /// decides on that.
    pub fn put_first(&mut self, id: SeqId) -> bool {
        self.waiting.put_first(id)
    }

    /// Where nothing runs and yet the head of the queue finds no room, what it goes on with holds too many
    /// blocks that it cannot share: that is given up, to be computed again. Tells whether it was so.
    pub(in crate::clients::llm) fn give_up_base(&mut self) -> bool {
        let alone = self.running == 0 && self.swapped() == 0;
        let Some(id) = self.waiting.front().filter(|_| alone) else { return false };
        self.give_up_base_of(id)
    }

    fn give_up_base_of(&mut self, id: SeqId) -> bool {
        if self.expected > 0 || self.has_kv_to_send() {
            return false; // there will be room
        }
        let base = self.seq_mut(id).base.take();
        if let Some(base) = base {
            self.forget(base);
            self.reconsider(id);
        }
        base.is_some()
    }

    /// Preempts the sequence admitted last, or the one that the packing policy gives up first; unless it is
    /// swapped out, it goes to the head of the queue. Paused ones are spared; `false` when no other runs.
    pub fn preempt_last(&mut self) -> bool {
        let victim = self.victim();
        if let Some(id) = victim {
            self.preempt(id, Back::Head);
        }
        victim.is_some()
    }

    /// Preempts `id`, which runs: its blocks are free at once. Where there is host memory for them they are
    /// copied there; else it goes back to the queue, by its key if the packing policy gives it one, and all of
    /// it will be computed again.
    pub fn preempt(&mut self, id: SeqId, back: Back) {
        if !self.swap_out(id) {
            self.lose(id);
            self.wait(id, back);
            // If nobody else runs, KV that waits for its turn has the room that this one lacks, or else what it
            // goes on with holds blocks that it cannot share.
            if self.running == 0 && !self.give_up_landed() {
                self.give_up_base_of(id);
            }
        }
    }

    /// Takes `id`, which runs, out of the step and out of all lists.
    pub(super) fn take_out(&mut self, id: SeqId) {
        if self.seq(id).state == State::Paused {
            self.paused.retain(|other| *other != id);
        }
        self.step.drop_chunk(id);
        self.prefilling.retain(|other| *other != id);
        self.withdraw(id);
    }

    /// Takes all blocks from `id`, which runs.
    fn lose(&mut self, id: SeqId) {
        self.take_out(id);
        self.leave_prefix(id, Leaves::Preempted);
        self.step_off(id);
        let seq = self.seq_mut(id);
        seq.goal = seq.prompt + seq.generated;
        seq.fetched = 0;
        self.count_preemption(id);
        self.release(id, State::Waiting);
    }

    /// Preempts `id`, never to the host, and takes what it had computed, its last token included, for its prompt and
    /// all else for output: what is left of a prompt that was under way will be generated token by token. No engine
    /// does that; it is what Vidur's `Request.restart` comes to. For requests that do not reason.
    pub fn preempt_cutting_prompt(&mut self, id: SeqId, back: Back) {
        debug_assert_eq!(self.seq(id).reason, 0, "where the answer begins is not known any more");
        let (computed, under_way) = (self.seq(id).computed, self.seq(id).state == State::Prefilling);
        self.lose(id);
        if under_way {
            let seq = self.seq_mut(id);
            let total = seq.prompt + seq.output;
            (seq.prompt, seq.output) = (computed, total - computed);
            (seq.generated, seq.goal) = (0, computed);
        }
        self.wait(id, back);
    }

    /// Takes the decoding sequence `id` out of the decode set; it keeps its blocks.
    pub fn pause(&mut self, id: SeqId) {
        debug_assert_eq!(self.seq(id).state, State::Decoding);
        self.withdraw(id);
        self.seq_mut(id).state = State::Paused;
        self.paused.push_back(id);
    }

    /// Lets the paused sequence `id` decode again; to be called before [`decode_all`](Self::decode_all).
    pub fn resume(&mut self, id: SeqId) {
        debug_assert!(!self.step.decodes, "the step's blocks are taken already");
        let at = self.paused.iter().position(|other| *other == id);
        debug_assert!(at.is_some(), "not paused");
        if at.and_then(|at| self.paused.remove(at)).is_some() {
            self.start_decoding(id);
            self.remember_admission(id);
        }
    }

    /// Lets all paused sequences decode again; to be called before [`decode_all`](Self::decode_all).
    pub fn resume_all(&mut self) {
        debug_assert!(!self.step.decodes, "the step's blocks are taken already");
        while let Some(id) = self.paused.pop_front() {
            self.start_decoding(id);
            self.remember_admission(id);
        }
    }

    /// Promises that, if the step holds decodes alone, the next one would be composed the same as
    /// long as no sequence completes or arrives and blocks suffice: steps may be run as a stride.
    pub fn repeat_decodes(&mut self) {
        let alike = !self.step.evicts && self.swaps_nothing();
        self.step.repeats = self.step.decodes && self.step.chunks.is_empty() && alike;
    }

    /// Takes that promise back.
    pub(in crate::clients::llm) const fn run_once(&mut self) {
        self.step.repeats = false;
    }
}

#[cfg(test)]
mod tests {
    use bevy_ecs::entity::Entity;

    use super::*;
    use crate::clients::llm::packing::LeastWorkLeft;
    use crate::memory::BlockPool;
    use crate::request::pipeline::Work;
    use crate::units::SimTime;

    fn scheduler() -> Scheduler {
        Scheduler::new(BlockPool::new(20, 1), 4).packed(Box::new(LeastWorkLeft::default()))
    }

    /// One that goes on with KV that is kept, and one that has less to compute but for that.
    fn with_base() -> Scheduler {
        let mut scheduler = scheduler();
        assert!(scheduler.kv.take(7));
        let base = scheduler.holdings.keep(None, 7, 7, None);
        for (prompt, base) in [(8, Some(base)), (4, None)] {
            scheduler.enqueue(Entity::PLACEHOLDER, &Work::new(prompt, 2), base, None, SimTime::ZERO);
        }
        assert_eq!(order(&scheduler), [0, 1]);
        scheduler
    }

    fn order(scheduler: &Scheduler) -> Vec<u64> {
        scheduler.queue().map(|id| scheduler.arrival(id)).collect()
    }

    #[test]
    fn who_loses_kv_that_has_landed_has_more_work_left() {
        let mut scheduler = scheduler();
        for (prompt, fetched) in [(1, 0), (8, 7), (4, 0)] {
            let work = Work { fetched_tokens: fetched, ..Work::new(prompt, 2) };
            if fetched > 0 {
                assert!(scheduler.expect(fetched, 0));
                scheduler.enqueue_landed(Entity::PLACEHOLDER, &work, SimTime::ZERO);
            } else {
                scheduler.enqueue(Entity::PLACEHOLDER, &work, None, None, SimTime::ZERO);
            }
        }
        assert_eq!(order(&scheduler), [0, 1, 2]);
        assert!(scheduler.give_up_landed());
        assert_eq!(order(&scheduler), [0, 2, 1]);
    }

    #[test]
    fn who_loses_the_kv_of_an_earlier_visit_has_more_work_left() {
        let mut scheduler = with_base();
        assert!(scheduler.give_up_base());
        assert_eq!(order(&scheduler), [1, 0]);
    }

    #[test]
    fn who_is_preempted_and_loses_what_it_stood_on_has_all_its_work_left() {
        let mut scheduler = with_base();
        assert!(scheduler.admit(1, Reserve::Chunk) && scheduler.preempt_last());
        assert_eq!(order(&scheduler), [1, 0]);
    }
}
