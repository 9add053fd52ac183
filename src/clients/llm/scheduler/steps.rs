//! The composed step: its shape, how often it may be repeated, and what it changes when it has run.

use super::Scheduler;
use super::books::is_due;
use super::prefix::Leaves;
use crate::clients::llm::sequence::{Finished, FirstToken, Landed, SeqId, Sequence, State, StrideTimes};
use crate::runtime::StepShape;
use crate::stats::TokenGaps;
use crate::units::SimTime;

impl Scheduler {
    /// Whether the composed step computes anything.
    pub fn has_step(&self) -> bool {
        self.step.decodes || !self.step.chunks.is_empty()
    }

    /// The shape of the composed step, `prefill` borrowing from the scheduler.
    pub fn shape(&self) -> StepShape<'_> {
        let decodes = self.step.decodes;
        StepShape {
            prefill: &self.step.chunks,
            decode_seqs: if decodes { self.decoding.members() } else { 0 },
            decode_context: if decodes { self.decoding.context() } else { 0 },
        }
    }

    /// How many steps like the composed one may run before something has to be decided: up to the
    /// next completion or block shortage, `limit` at most.
    pub fn stride(&mut self, limit: u64) -> u64 {
        if !self.step.repeats {
            return 1;
        }
        let seqs = &self.seqs;
        let completion =
            self.decoding.next_completion(|step, admission, id| is_due(seqs, step, admission, id));
        let most = completion.unwrap_or(1).min(limit);
        // The first step's blocks are taken already.
        let mut free = self.free_for_strides();
        let somebody_waits = !self.waiting.is_empty() || self.swapped() > 0;
        for (ahead, growth) in (1..most).zip(self.decoding.later_growth()) {
            let behind = self.decoding.frees(ahead - 1);
            if behind > 0 && somebody_waits {
                return ahead;
            }
            free += behind;
            if growth > free {
                return ahead;
            }
            free -= growth;
        }
        most
    }

    /// Sequences preempted so far.
    pub const fn preemptions(&self) -> u64 {
        self.preemptions
    }

    /// The step under way ends at `now`: everyone who decodes in it has a token more.
    #[inline]
    pub fn advance(&mut self, now: SimTime, gaps: &mut TokenGaps) {
        if self.step.decodes {
            self.clock.tick(now, gaps);
            let behind = self.decoding.step();
            self.kv.give_back(behind);
        }
    }

    /// What the end of the last step of a stride means: sequences complete, prompts are computed. What it comes to for
    /// stages is added to `landed`.
    pub fn land(&mut self, stride: StrideTimes, gaps: &mut TokenGaps, landed: &mut Landed) {
        while self.step.decodes
            && let Some(id) = self.pop_due()
        {
            if self.has_begun_its_answer(id) {
                self.seq_mut(id).answer = stride.read;
                continue;
            }
            self.stop_decoding(id);
            self.finish(id, stride.read, landed);
        }
        if !self.step.chunks.is_empty() {
            self.land_chunks(stride, gaps, landed);
        }
    }

    /// Forgets the composed step, once all of it has landed.
    pub fn clear_step(&mut self) {
        self.evict_prefixes();
        self.step.clear();
        self.clear_copies();
    }

    fn land_chunks(&mut self, stride: StrideTimes, gaps: &mut TokenGaps, landed: &mut Landed) {
        let StrideTimes { begun, ended: now, read } = stride;
        for at in 0..self.step.chunks.len() {
            let (id, chunk) = (self.step.owners[at], self.step.chunks[at]);
            let seq = &mut self.seqs[id.0 as usize];
            seq.started = seq.started.min(begun);
            let before = seq.computed;
            seq.computed += chunk.tokens;
            let computed = seq.computed;
            if !seq.reserved {
                let behind = self.kv.passed(seq.shared, before, computed);
                seq.blocks -= behind;
                self.kv.give_back(behind.into());
            }
            self.store_computed(id, computed);
            if !chunk.last {
                continue;
            }
            let seq = &mut self.seqs[id.0 as usize];
            seq.generated += 1;
            if seq.first_token == SimTime::MAX {
                seq.first_token = now;
                let Sequence { stage, started, .. } = *seq;
                landed.first_tokens.push(FirstToken { stage, started, at: now });
            }
            // Those before it may have come out elsewhere.
            if seq.last_token != SimTime::MAX {
                gaps.record(now.since(seq.last_token), 1);
            }
            if seq.reason > 0 && seq.generated == seq.reason + 1 {
                seq.answer = read;
            }
            seq.last_token = now;
            let complete = seq.generated >= seq.output;
            self.prefilling.retain(|other| *other != id);
            if complete {
                self.finish(id, read, landed);
            } else {
                self.start_decoding(id);
            }
        }
    }

    fn finish(&mut self, id: SeqId, read: SimTime, landed: &mut Landed) {
        let seq = *self.seq(id);
        let Sequence { stage, preemptions, base, .. } = seq;
        // The last token may be the answer's first.
        let answer = if seq.reason > 0 { seq.answer.min(read) } else { seq.first_token };
        let kept = seq.keep.then(|| self.keep(id));
        self.leave_prefix(id, Leaves::Done);
        let cached_tokens = self.unname_tokens(id);
        landed.finished.push(Finished { stage, answer, kept, preemptions, cached_tokens });
        self.release(id, State::Gone);
        if let Some(base) = base {
            self.holdings.unpin(base);
            self.forget(base);
        }
        self.vacant.push(id);
    }

    /// Keeps the KV of a finished sequence: the holding, and the tokens it covers.
    fn keep(&mut self, id: SeqId) -> (u32, u32) {
        let cached = self.keep_prefix(id);
        let Sequence { base, computed, shared, blocks, .. } = *self.seq(id);
        let own = self.kv.blocks_of(shared, computed, computed);
        self.kv.give_back(u64::from(blocks - own));
        self.seq_mut(id).blocks = 0;
        let own = cached.as_ref().map_or(own, |cached| own + shared - cached.blocks());
        let kept = self.holdings.keep(base, computed, own, cached);
        if self.seq(id).hands_on {
            self.holdings.hold(kept);
        }
        (kept, computed)
    }
}
