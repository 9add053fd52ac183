//! The bookkeeping behind the verbs: blocks, decode set, admissions.

use super::Scheduler;
use crate::clients::llm::sequence::{SeqId, Sequence, State};
use crate::runtime::Chunk;

impl Scheduler {
    /// Adds `tokens` of `id` to the step, with blocks for all computed then or for `hold` tokens.
    pub(super) fn compute(&mut self, id: SeqId, tokens: u32, hold: u32) -> bool {
        let seq = *self.seq(id);
        let computed = seq.computed + tokens;
        let need = self.kv.blocks_for(computed.max(hold)).saturating_sub(seq.blocks);
        if !self.kv.take(u64::from(need)) {
            return false;
        }
        let chunk = Chunk { tokens, context: seq.computed, last: computed == seq.goal };
        self.step.push(id, chunk);
        self.seq_mut(id).blocks += need;
        true
    }

    pub(super) fn start_decoding(&mut self, id: SeqId) {
        let seq = &mut self.seqs[id.0 as usize];
        seq.state = State::Decoding;
        self.clock.enter(seq.last_token);
        self.decoding.enter(id, seq);
    }

    /// Takes `id` out of the decode set, if it is in it, with all its counts brought up to date.
    pub(super) fn stop_decoding(&mut self, id: SeqId) {
        let seq = &mut self.seqs[id.0 as usize];
        if seq.state != State::Decoding {
            return;
        }
        if self.decoding.steps_of(seq) > 0 {
            seq.last_token = self.clock.last_tick();
        }
        self.clock.leave(seq.last_token);
        self.decoding.leave(seq);
        if !seq.reserved {
            seq.blocks = self.kv.blocks_for(seq.computed);
        }
    }

    /// Takes `id` out of the decode set, if it is in it, while a step is being composed.
    pub(super) fn withdraw(&mut self, id: SeqId) {
        let decoded = self.seq(id).state == State::Decoding;
        self.stop_decoding(id);
        if decoded && self.step.decodes {
            // The step has taken this sequence's next block already.
            let seq = self.seq(id);
            let opens_block = !seq.reserved && seq.computed.is_multiple_of(self.kv.block_size());
            self.kv.give_back(u64::from(opens_block));
            self.step.decodes = self.decoding.members() > 0;
        }
    }

    pub(super) fn release(&mut self, id: SeqId, state: State) {
        let seq = &mut self.seqs[id.0 as usize];
        self.kv.give_back(u64::from(seq.blocks));
        seq.blocks = 0;
        seq.state = state;
        self.running -= 1;
    }

    pub(super) fn pop_completed(&mut self) -> Option<SeqId> {
        let seqs = &self.seqs;
        self.decoding.pop_completed(|step, admission, id| is_due(seqs, step, admission, id))
    }

    pub(super) fn remember_admission(&mut self, id: SeqId) {
        if self.admitted.len() > 2 * self.running as usize + 64 {
            let seqs = &self.seqs;
            self.admitted.retain(|(admission, id)| is_admitted(seqs, *admission, *id));
        }
        let admission = self.seq(id).admission;
        let at = self.admitted.partition_point(|(other, _)| *other < admission);
        // A sequence that was paused may still be listed.
        if self.admitted.get(at) != Some(&(admission, id)) {
            self.admitted.insert(at, (admission, id));
        }
    }

    pub(super) fn last_admitted(&mut self) -> Option<SeqId> {
        while let Some((admission, id)) = self.admitted.last() {
            if is_admitted(&self.seqs, *admission, *id) {
                return Some(*id);
            }
            self.admitted.pop();
        }
        None
    }

    pub(super) fn seq(&self, id: SeqId) -> &Sequence {
        &self.seqs[id.0 as usize]
    }

    pub(super) fn seq_mut(&mut self, id: SeqId) -> &mut Sequence {
        &mut self.seqs[id.0 as usize]
    }
}

/// Whether an entry of the completion heap is not stale.
pub(super) fn is_due(seqs: &[Sequence], step: u64, admission: u64, id: SeqId) -> bool {
    let seq = &seqs[id.0 as usize];
    seq.state == State::Decoding && seq.admission == admission && seq.completion() == step
}

/// Whether an entry of the admission list is not stale.
pub(super) fn is_admitted(seqs: &[Sequence], admission: u64, id: SeqId) -> bool {
    let seq = &seqs[id.0 as usize];
    seq.admission == admission && matches!(seq.state, State::Prefilling | State::Decoding)
}
