//! What a policy sees of the scheduler.

use super::Scheduler;
use super::books::is_admitted;
use super::prefix::Prefixes;
use crate::clients::llm::sequence::{SeqId, Sequence, State};
use crate::memory::BlockPool;
use crate::units::SimTime;

impl Scheduler {
    /// Sequences in the queue.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The sequences in the queue, in its order.
    pub fn queue(&self) -> impl Iterator<Item = SeqId> {
        self.waiting.iter()
    }

    /// Prompt tokens that the head of the queue needs computed, without those whose KV is there; `None` when nothing waits,
    /// `max_num_seqs` sequences run already, the step has all the prompts that it may, or others are swapped out.
    pub fn next_waiting(&self) -> Option<u32> {
        let id = self.waiting.front()?;
        let seq = self.seq(id);
        let closed = self.running >= self.max_num_seqs || self.has_most_prompts() || self.is_closed();
        (!closed).then(|| seq.goal - self.head_start(id).0)
    }

    /// The same, if it fits `budget` whole, or is the first prompt of the step and longer than the `most` that
    /// any step may hold: what was preempted, or lost KV that it came with, needs more than what was accepted.
    pub fn next_whole(&self, budget: u32, most: u32) -> Option<u32> {
        let alone = self.step.chunks.is_empty();
        self.next_waiting().filter(|prompt| *prompt <= budget || alone && *prompt > most)
    }

    /// Blocks of the prefix cache that `id`, which waits, would go on with and that nobody uses now.
    pub fn idle_found(&self, id: SeqId) -> u64 {
        self.found(id).idle.into()
    }

    /// The head of the queue.
    pub fn head(&self) -> Option<SeqId> {
        self.waiting.front()
    }

    /// Most sequences that run at once.
    pub const fn max_num_seqs(&self) -> u32 {
        self.max_num_seqs
    }

    /// Sequences admitted: prefilling, decoding or paused.
    pub const fn running(&self) -> u32 {
        self.running
    }

    /// Sequences that decode.
    pub const fn decoding(&self) -> u32 {
        self.decoding.members()
    }

    /// Prompt tokens left of the `at`-th prompt under way, in admission order.
    pub fn prefill_left(&self, at: usize) -> Option<u32> {
        let seq = self.seq(*self.prefilling.get(at)?);
        Some(seq.goal - seq.computed)
    }

    /// Whether the step composed so far has as many prompts as one may have.
    pub fn has_most_prompts(&self) -> bool {
        self.max_prompts.is_some_and(|most| self.step.chunks.len() >= most.get() as usize)
    }

    /// Whether a prompt stays unfinished after the step composed so far.
    pub fn unfinished_prompt(&self) -> bool {
        let last = self.step.chunks.iter().filter(|chunk| chunk.last).count();
        last < self.prefilling.len()
    }

    /// Prompts under way.
    pub fn prefilling(&self) -> usize {
        self.prefilling.len()
    }

    /// Whether a sequence that lost its KV is next, or computes it again, or one is to come back from the host:
    /// it came before any KV that is to come, which would take its room over and over.
    pub(in crate::clients::llm) fn is_recovering(&self) -> bool {
        let lost = |id: SeqId| self.seq(id).preemptions > 0;
        self.swapped() > 0
            || self.waiting.front().is_some_and(lost)
            || self.prefilling.iter().any(|id| lost(*id))
    }

    /// Prompt tokens left of `id`, if its prompt is under way, and its place among those.
    pub fn prefill_of(&self, id: SeqId) -> Option<(usize, u32)> {
        let at = self.prefilling.iter().position(|other| *other == id)?;
        Some((at, self.prefill_left(at)?))
    }

    /// Whether the sequence that reached this client as the `arrival`-th is still `id`, and admitted.
    pub fn runs(&self, id: SeqId, arrival: u64) -> bool {
        let seq = self.seq(id);
        seq.arrival == arrival && matches!(seq.state, State::Prefilling | State::Decoding | State::Paused)
    }

    /// The sequences that prefill or decode, in the order of their admission. Slow: looks at all that run.
    pub fn in_order(&self) -> impl Iterator<Item = SeqId> {
        let live = |entry: &&(u64, SeqId)| is_admitted(&self.seqs, entry.0, entry.1);
        self.admitted.iter().filter(live).map(|(_, id)| *id)
    }

    /// The sequences that decode, in the order of their admission. Slow: looks at all that run.
    pub fn decodes(&self) -> impl Iterator<Item = SeqId> {
        self.in_order().filter(|id| self.seq(*id).state == State::Decoding)
    }

    /// The sequences that [`pause`](Self::pause) took out, in that order.
    pub fn paused(&self) -> impl Iterator<Item = SeqId> {
        self.paused.iter().copied()
    }

    /// Number of `id` in the order in which requests reached this client; unlike `id`, never reused.
    pub fn arrival(&self, id: SeqId) -> u64 {
        self.seq(id).arrival
    }

    /// When `id` reached this client.
    pub fn arrived(&self, id: SeqId) -> SimTime {
        self.seq(id).arrived
    }

    /// Tokens of `id` whose KV is stored.
    pub fn stored(&self, id: SeqId) -> u32 {
        self.seq(id).computed + self.decoded(id)
    }

    /// Tokens of the prompt of `id`.
    pub fn prompt(&self, id: SeqId) -> u32 {
        self.seq(id).prompt
    }

    /// Tokens that `id` has generated so far.
    pub fn generated(&self, id: SeqId) -> u32 {
        self.seq(id).generated + self.decoded(id)
    }

    fn decoded(&self, id: SeqId) -> u32 {
        let seq = self.seq(id);
        if seq.state == State::Decoding { self.decoding.steps_of(seq) } else { 0 }
    }

    /// Decode steps taken so far.
    pub const fn decode_steps(&self) -> u64 {
        self.decoding.steps()
    }

    /// Blocks that those who decode take for their next tokens.
    pub fn decode_growth(&self) -> u64 {
        self.decoding.growth()
    }

    /// Blocks that the running sequence `id` takes for its next `tokens` tokens.
    pub fn growth_of(&self, id: SeqId, tokens: u32) -> u32 {
        let seq = self.seq(id);
        let stored = self.stored(id);
        let held = if seq.state == State::Decoding && !seq.reserved {
            self.kv.blocks_of(seq.shared, stored, stored)
        } else {
            seq.blocks
        };
        self.kv.blocks_of(seq.shared, stored, stored + tokens).saturating_sub(held)
    }

    /// Whether the packing policy says who is preempted.
    pub fn preempts_by_key(&self) -> bool {
        self.waiting.preempts_largest()
    }

    /// Blocks that can be had: free ones, and those of holdings that nobody who runs needs.
    pub fn available(&self) -> u64 {
        self.kv.free() + self.holdings.idle_blocks(self.prefixes.as_deref().map(Prefixes::cache))
    }

    /// Whether the KV of the holding `id` is there: it may have been evicted.
    pub fn holds(&self, id: u32) -> bool {
        self.holdings.nearest(id).is_some_and(|(nearest, _)| nearest == id)
    }

    /// Whether KV is here that stays until it has been sent away, so that there will be more room then.
    pub fn has_kv_to_send(&self) -> bool {
        self.holdings.any_held()
    }

    /// Holdings: KV of finished sequences that is kept, or that something refers to.
    pub fn holdings(&self) -> usize {
        self.holdings.len()
    }

    /// Blocks that sequences, holdings, KV on its way here and the composed step hold, blocks that are shared once: those taken from the pool. Slow: looks
    /// at all of them.
    pub fn held(&self) -> u64 {
        let of = |(at, seq): (usize, &Sequence)| {
            let own = match seq.state {
                State::Decoding if !seq.reserved => {
                    let stored = seq.computed + self.decoding.steps_of(seq);
                    self.kv.blocks_of(seq.shared, stored, stored)
                }
                State::Swapped => 0,
                _ => seq.blocks,
            };
            let cached = self.in_cache(SeqId(at as u32));
            u64::from(cached.map_or(own, |cached| own + seq.shared - cached))
        };
        let opened = if self.step.decodes { self.decoding.growth() } else { 0 };
        let own = self.seqs.iter().enumerate().map(of).sum::<u64>();
        own + self.holdings.blocks() + self.prefixes_in_use() + opened + self.expected
    }

    /// The KV blocks.
    pub const fn kv(&self) -> &BlockPool {
        &self.kv
    }

    /// Tokens that the step composed so far computes.
    pub fn step_tokens(&self) -> u32 {
        self.step.chunk_tokens() + if self.step.decodes { self.decoding.members() } else { 0 }
    }
}
