//! The bookkeeping behind the verbs: blocks, decode set, queue, admissions.

use super::Scheduler;
use super::holdings::{Blocks, Holdings};
use super::prefix::Prefixes;
use super::queue::{Back, Facts};
use crate::clients::llm::packing::Waiting;
use crate::clients::llm::sequence::{SeqId, Sequence, State};
use crate::runtime::Chunk;

impl Scheduler {
    /// Adds `tokens` of `id` to the step, with blocks for all computed then or for `hold` tokens, if `spare`
    /// blocks stay.
    pub(super) fn compute(&mut self, id: SeqId, tokens: u32, hold: u32, spare: u64) -> bool {
        let seq = *self.seq(id);
        let computed = seq.computed + tokens;
        debug_assert!(tokens > 0 && computed <= seq.goal, "{computed} of {} tokens computed", seq.goal);
        let need = self.kv.blocks_of(seq.shared, seq.computed, computed.max(hold)).saturating_sub(seq.blocks);
        if !self.take_leaving(need.into(), spare) {
            return false;
        }
        let chunk = Chunk { tokens, context: seq.computed, last: computed == seq.goal };
        self.step.push(id, chunk);
        self.seq_mut(id).blocks += need;
        self.store_scheduled(id, computed);
        true
    }

    pub(super) fn start_decoding(&mut self, id: SeqId) {
        let seq = &mut self.seqs[id.0 as usize];
        let needed = self.kv.blocks_of(seq.shared, seq.computed, seq.computed);
        debug_assert!(seq.reserved || seq.blocks == needed, "{} of {needed} blocks held", seq.blocks);
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
            seq.blocks = self.kv.blocks_of(seq.shared, seq.computed, seq.computed);
        }
    }

    /// Takes blocks, from holdings that nobody uses if there are too few, and then from the prefix cache.
    pub(super) fn take(&mut self, blocks: u64) -> bool {
        self.take_leaving(blocks, 0)
    }

    /// [`take`](Self::take), if so many blocks stay `spare`.
    pub(in crate::clients::llm) fn take_leaving(&mut self, blocks: u64, spare: u64) -> bool {
        if blocks + spare > self.kv.free() {
            self.reclaim(blocks + spare);
        }
        let took = blocks + spare <= self.kv.free() && self.kv.take(blocks);
        self.evict_prefixes();
        took
    }

    /// The holdings, and where their blocks go back to.
    pub(super) fn holdings_mut(&mut self) -> (&mut Holdings, Blocks<'_>) {
        let cache = self.prefixes.as_deref_mut().map(Prefixes::cache_mut);
        (&mut self.holdings, Blocks { kv: &mut self.kv, cache })
    }

    /// Evicts holdings, so that as many blocks are free; tells whether any were.
    pub(super) fn reclaim(&mut self, needed: u64) -> bool {
        let (holdings, mut blocks) = self.holdings_mut();
        let evicts = holdings.reclaim(needed, &mut blocks);
        self.step.evicts |= evicts;
        evicts
    }

    /// A sequence no longer refers to the holding `id`.
    pub(super) fn forget(&mut self, id: u32) {
        let (holdings, mut blocks) = self.holdings_mut();
        holdings.forget(id, &mut blocks);
    }

    /// Tokens of a waiting sequence that need not be computed, and the holding they are in, if any. The last
    /// token always is.
    pub(super) fn head_start(&self, id: SeqId) -> (u32, Option<u32>) {
        let seq = self.seq(id);
        let held = seq.base.and_then(|base| self.holdings.nearest(base));
        match held {
            Some((id, tokens)) if tokens >= seq.fetched => (tokens.min(seq.goal - 1), Some(id)),
            _ => {
                let found = self.found(id).blocks * self.kv.block_size();
                (seq.fetched.min(seq.goal - 1).max(found), None)
            }
        }
    }

    /// Lets a waiting sequence begin with what is there of it.
    pub(super) fn stand_on(&mut self, id: SeqId) {
        let seq = *self.seq(id);
        let (computed, base) = self.head_start(id);
        if let Some(base) = base {
            self.holdings.pin(base);
            self.holdings.refer(base);
        }
        if let Some(old) = seq.base {
            self.forget(old);
        }
        let shared = if base.is_some() { computed / self.kv.block_size() } else { self.pin_prefix(id) };
        let seq = self.seq_mut(id);
        (seq.computed, seq.base, seq.shared) = (computed, base, shared);
    }

    /// Undoes [`stand_on`](Self::stand_on), but for what the sequence refers to.
    pub(super) fn step_off(&mut self, id: SeqId) {
        if let Some(base) = self.seq(id).base {
            self.holdings.unpin(base);
        }
        let seq = self.seq_mut(id);
        (seq.computed, seq.shared) = (0, 0);
    }

    /// Takes `id` out of the decode set, if it is in it, while a step is being composed.
    pub(super) fn withdraw(&mut self, id: SeqId) {
        let decoded = self.seq(id).state == State::Decoding;
        self.stop_decoding(id);
        if decoded && self.step.decodes {
            // The step has taken this sequence's next block already.
            let seq = self.seq(id);
            let opens_block = !seq.reserved && seq.computed.is_multiple_of(self.kv.block_size());
            self.kv.give_back(u64::from(opens_block) * u64::from(self.kv.groups().count()));
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

    /// A sequence that is complete after this decode step, or whose answer begins with it.
    pub(super) fn pop_due(&mut self) -> Option<SeqId> {
        let seqs = &self.seqs;
        self.decoding.pop_completed(|step, admission, id| is_due(seqs, step, admission, id))
    }

    /// Whether a decoding sequence is not complete, but has its first token of the answer out just now.
    pub(super) fn has_begun_its_answer(&self, id: SeqId) -> bool {
        let seq = self.seq(id);
        seq.generated + self.decoding.steps_of(seq) < seq.output
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

    /// Puts `id` into the queue; tells whether it may go ahead of others there.
    pub(super) fn wait(&mut self, id: SeqId, back: Back) -> bool {
        let known = self.waiting.has_keys().then(|| self.known(id, self.waiting.facts(id)));
        self.waiting.join(id, self.seq(id).arrival, back, known)
    }

    /// `id`, which waits, has lost KV that it was to go on with: so may its place in the queue be lost.
    pub(in crate::clients::llm) fn reconsider(&mut self, id: SeqId) {
        if self.waiting.has_keys() {
            let known = self.known(id, self.waiting.facts(id));
            self.waiting.reconsider(id, self.seq(id).arrival, &known);
        }
    }

    /// What a packing policy may know of `id`, which waits or is about to.
    fn known(&self, id: SeqId, Facts { priority, arrived, .. }: Facts) -> Waiting {
        let seq = self.seq(id);
        let cached_tokens = self.head_start(id).0;
        Waiting {
            prompt_tokens: seq.prompt,
            left_tokens: seq.goal - cached_tokens,
            cached_tokens,
            generated_tokens: seq.generated,
            priority,
            arrived,
        }
    }

    /// Brings a queue up to date whose order changes while sequences wait.
    pub(in crate::clients::llm) fn arrange_queue(&mut self) {
        if !self.waiting.changes() {
            return;
        }
        let known = self.waiting.iter().map(|id| self.known(id, self.waiting.facts(id)));
        let known: Vec<Waiting> = known.collect();
        self.waiting.sort(&known);
    }

    /// Whom to preempt where memory is short: the sequence admitted last, or the one that the packing
    /// policy gives up first.
    pub fn victim(&mut self) -> Option<SeqId> {
        if !self.waiting.preempts_largest() {
            return self.last_admitted();
        }
        let live = self.admitted.iter().filter(|(admission, id)| is_admitted(&self.seqs, *admission, *id));
        live.map(|(_, id)| *id).max_by_key(|id| (self.waiting.key(*id), self.seq(*id).arrival))
    }

    fn last_admitted(&mut self) -> Option<SeqId> {
        while let Some((admission, id)) = self.admitted.last() {
            if is_admitted(&self.seqs, *admission, *id) {
                return Some(*id);
            }
            self.admitted.pop();
        }
        None
    }

    pub(in crate::clients::llm) fn seq(&self, id: SeqId) -> &Sequence {
        &self.seqs[id.0 as usize]
    }

    pub(in crate::clients::llm) fn seq_mut(&mut self, id: SeqId) -> &mut Sequence {
        &mut self.seqs[id.0 as usize]
    }
}

/// Whether an entry of the completion heap is not stale.
pub(super) fn is_due(seqs: &[Sequence], step: u64, admission: u64, id: SeqId) -> bool {
    let seq = &seqs[id.0 as usize];
    let due = seq.completion() == step || seq.milestone() == Some(step);
    seq.state == State::Decoding && seq.admission == admission && due
}

/// Whether an entry of the admission list is not stale.
pub(super) fn is_admitted(seqs: &[Sequence], admission: u64, id: SeqId) -> bool {
    let seq = &seqs[id.0 as usize];
    seq.admission == admission && matches!(seq.state, State::Prefilling | State::Decoding)
}
