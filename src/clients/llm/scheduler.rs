//! The scheduler of an LLM client: its queue, its running sequences, its KV blocks, the next step.
//!
//! Plain Rust without a world. A [`BatchingPolicy`](super::BatchingPolicy) composes steps through
//! the verbs here; [`land`](Scheduler::land) makes a finished step take effect. Invariants: the
//! blocks taken from the pool are exactly those that admitted sequences hold, and every sequence is
//! in exactly one of queue, prefill list, decode set and pause list.

use std::collections::VecDeque;

use bevy_ecs::entity::Entity;
use smallvec::SmallVec;

use super::decoding::DecodeSet;
use super::sequence::{Finished, FirstToken, Landed, SeqId, Sequence, State};
use super::step::Step;
use super::token_clock::TokenClock;
use crate::memory::BlockPool;
use crate::runtime::{Chunk, StepShape};
use crate::stats::TokenGaps;
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
    /// Prompt and output, to the token, which only an oracle knows: emulations of simulators that
    /// peek (splitwise-sim) do this.
    OracleWhole,
}

/// Queue, running sequences, KV blocks and next step of one client.
#[derive(Clone, Debug)]
pub struct Scheduler {
    seqs: Vec<Sequence>,
    vacant: Vec<SeqId>,
    waiting: VecDeque<SeqId>,
    prefilling: SmallVec<[SeqId; 4]>,
    paused: VecDeque<SeqId>,
    decoding: DecodeSet,
    /// Admissions in order, to find the latest; entries whose admission is over are stale.
    admitted: Vec<(u64, SeqId)>,
    admissions: u64,
    arrivals: u64,
    running: u32,
    max_num_seqs: u32,
    kv: BlockPool,
    step: Step,
    clock: TokenClock,
    preemptions: u64,
}

impl Scheduler {
    /// An idle scheduler over `kv` that runs `max_num_seqs` sequences at most.
    pub fn new(kv: BlockPool, max_num_seqs: u32) -> Self {
        Self {
            seqs: Vec::new(),
            vacant: Vec::new(),
            waiting: VecDeque::new(),
            prefilling: SmallVec::new(),
            paused: VecDeque::new(),
            decoding: DecodeSet::new(kv.block_size()),
            admitted: Vec::new(),
            admissions: 0,
            arrivals: 0,
            running: 0,
            max_num_seqs,
            kv,
            step: Step::default(),
            clock: TokenClock::default(),
            preemptions: 0,
        }
    }

    // ---- what a policy sees ----

    /// Sequences in the queue.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Prompt tokens that the head of the queue needs computed; `None` when nothing waits or
    /// `max_num_seqs` sequences run already.
    pub fn next_waiting(&self) -> Option<u32> {
        let id = *self.waiting.front()?;
        (self.running < self.max_num_seqs).then(|| self.seq(id).goal)
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

    /// The sequences that decode, in the order of their admission. Slow: looks at all that run.
    pub fn decodes(&self) -> impl Iterator<Item = SeqId> {
        let live = |entry: &&(u64, SeqId)| is_admitted(&self.seqs, entry.0, entry.1);
        let ids = self.admitted.iter().filter(live).map(|(_, id)| *id);
        ids.filter(|id| self.seq(*id).state == State::Decoding)
    }

    /// The sequences that [`pause`](Self::pause) took out, in that order.
    pub fn paused(&self) -> impl Iterator<Item = SeqId> {
        self.paused.iter().copied()
    }

    /// Number of `id` in the order in which requests reached this client; unlike `id`, never reused.
    pub fn arrival(&self, id: SeqId) -> u64 {
        self.seq(id).arrival
    }

    /// Tokens of `id` whose KV is stored.
    pub fn stored(&self, id: SeqId) -> u32 {
        let seq = self.seq(id);
        let decoded = if seq.state == State::Decoding { self.decoding.steps_of(seq) } else { 0 };
        seq.computed + decoded
    }

    /// The KV blocks.
    pub const fn kv(&self) -> &BlockPool {
        &self.kv
    }

    /// Tokens that the step composed so far computes.
    pub fn step_tokens(&self) -> u32 {
        self.step.chunk_tokens() + if self.step.decodes { self.decoding.members() } else { 0 }
    }

    // ---- what a policy does ----

    /// Puts every decoding sequence into the step. Where blocks for their new tokens are short, the
    /// latest admissions are preempted until the rest fit; tells whether that was so.
    pub fn decode_all(&mut self) -> bool {
        let mut preempted = false;
        while self.decoding.members() > 0 {
            if self.kv.take(self.decoding.growth(0)) {
                self.step.decodes = true;
                break;
            }
            self.preempt_last();
            preempted = true;
        }
        preempted
    }

    /// Puts the next `tokens` of the `at`-th prompt under way into the step; `false`, and nothing
    /// done, when blocks for them are short.
    pub fn continue_prefill(&mut self, at: usize, tokens: u32) -> bool {
        let id = self.prefilling[at];
        self.compute(id, tokens, 0)
    }

    /// Admits the head of the queue, with its first `tokens` tokens in the step; `false`, and
    /// nothing done, when nothing waits, enough run already, or blocks are short.
    pub fn admit(&mut self, tokens: u32, reserve: Reserve) -> bool {
        let Some(goal) = self.next_waiting() else { return false };
        let id = self.waiting[0];
        let hold = match reserve {
            Reserve::Chunk => 0,
            Reserve::Prompt => goal,
            Reserve::Tokens(tokens) => tokens.max(self.seq(id).longest()),
            Reserve::OracleWhole => self.seq(id).longest(),
        };
        if !self.compute(id, tokens, hold) {
            return false;
        }
        self.waiting.pop_front();
        self.admissions += 1;
        let admission = self.admissions;
        let seq = self.seq_mut(id);
        seq.admission = admission;
        seq.reserved = matches!(reserve, Reserve::Tokens(_) | Reserve::OracleWhole);
        seq.state = State::Prefilling;
        self.prefilling.push(id);
        self.running += 1;
        self.remember_admission(id);
        true
    }

    /// Preempts the sequence admitted last: its blocks are free at once, it goes to the head of the
    /// queue, and all of it will be computed again. Paused ones are spared; `false` when no other runs.
    pub fn preempt_last(&mut self) -> bool {
        let Some(id) = self.last_admitted() else { return false };
        self.step.drop_chunk(id);
        self.prefilling.retain(|other| *other != id);
        self.withdraw(id);
        let seq = self.seq_mut(id);
        seq.goal = seq.prompt + seq.generated;
        seq.computed = 0;
        seq.preemptions = seq.preemptions.saturating_add(1);
        self.preemptions += 1;
        self.release(id, State::Waiting);
        self.waiting.push_front(id);
        true
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

    /// Takes blocks for all that the decoding or paused sequence `id` will ever store; `false`, and
    /// nothing done, when they are short. Only an oracle knows how much that is. To be called before
    /// [`decode_all`](Self::decode_all).
    pub fn reserve_oracle_whole(&mut self, id: SeqId) -> bool {
        debug_assert!(!self.step.decodes, "the step's blocks are taken already");
        let decodes = self.seq(id).state == State::Decoding;
        self.stop_decoding(id);
        let seq = *self.seq(id);
        let need = self.kv.blocks_for(seq.longest()).saturating_sub(seq.blocks);
        let took = self.kv.take(u64::from(need));
        if took {
            let seq = self.seq_mut(id);
            seq.blocks += need;
            seq.reserved = true;
        }
        if decodes {
            self.start_decoding(id);
        }
        took
    }

    /// Promises that, if the step holds decodes alone, the next one would be composed the same as
    /// long as no sequence completes or arrives and blocks suffice: steps may be run as a stride.
    pub fn repeat_decodes(&mut self) {
        self.step.repeats = self.step.decodes && self.step.chunks.is_empty();
    }

    // ---- what the client's systems do ----

    /// Takes in a request.
    pub fn enqueue(&mut self, stage: Entity, prompt: u32, output: u32) {
        let seq = Sequence::new(stage, prompt, output, self.arrivals);
        self.arrivals += 1;
        let id = if let Some(id) = self.vacant.pop() {
            *self.seq_mut(id) = seq;
            id
        } else {
            self.seqs.push(seq);
            SeqId(self.seqs.len() as u32 - 1)
        };
        self.waiting.push_back(id);
    }

    /// Whether any sequence is here.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.running == 0
    }

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
        let mut free = self.kv.free();
        for ahead in 1..most {
            let growth = self.decoding.growth(ahead);
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

    /// Makes one executed step of a stride take effect at `now`, when it ends.
    ///
    /// `begun` is when the stride began; `first` marks its first step, whose blocks were taken when
    /// it was composed. What that means for stages is added to `landed`. Returns the KV blocks in use during the step.
    pub fn land(
        &mut self,
        begun: SimTime,
        now: SimTime,
        first: bool,
        gaps: &mut TokenGaps,
        landed: &mut Landed,
    ) -> u64 {
        if !first {
            let took = self.kv.take(self.decoding.growth(0));
            debug_assert!(took, "a stride ends before blocks run short");
        }
        let in_use = self.kv.used();
        if self.step.decodes {
            self.clock.tick(now, gaps);
            self.decoding.step();
            while let Some(id) = self.pop_completed() {
                self.stop_decoding(id);
                self.finish(id, landed);
            }
        }
        if !self.step.chunks.is_empty() {
            self.land_chunks(begun, now, gaps, landed);
        }
        in_use
    }

    /// Forgets the composed step, once all of it has landed.
    pub fn clear_step(&mut self) {
        self.step.clear();
    }

    fn land_chunks(&mut self, begun: SimTime, now: SimTime, gaps: &mut TokenGaps, landed: &mut Landed) {
        for at in 0..self.step.chunks.len() {
            let (id, chunk) = (self.step.owners[at], self.step.chunks[at]);
            let seq = &mut self.seqs[id.0 as usize];
            seq.started = seq.started.min(begun);
            seq.computed += chunk.tokens;
            if !chunk.last {
                continue;
            }
            seq.generated += 1;
            if seq.first_token == SimTime::MAX {
                seq.first_token = now;
                let Sequence { stage, started, .. } = *seq;
                landed.first_tokens.push(FirstToken { stage, started, at: now });
            } else {
                gaps.record(now.since(seq.last_token), 1);
            }
            seq.last_token = now;
            let complete = seq.generated >= seq.output;
            self.prefilling.retain(|other| *other != id);
            if complete {
                self.finish(id, landed);
            } else {
                self.start_decoding(id);
            }
        }
    }

    fn finish(&mut self, id: SeqId, landed: &mut Landed) {
        let Sequence { stage, preemptions, .. } = *self.seq(id);
        landed.finished.push(Finished { stage, preemptions });
        self.release(id, State::Gone);
        self.vacant.push(id);
    }

    /// Adds `tokens` of `id` to the step, with blocks for all computed then or for `hold` tokens.
    fn compute(&mut self, id: SeqId, tokens: u32, hold: u32) -> bool {
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

    fn start_decoding(&mut self, id: SeqId) {
        let seq = &mut self.seqs[id.0 as usize];
        seq.state = State::Decoding;
        self.clock.enter(seq.last_token);
        self.decoding.enter(id, seq);
    }

    /// Takes `id` out of the decode set, if it is in it, with all its counts brought up to date.
    fn stop_decoding(&mut self, id: SeqId) {
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
    fn withdraw(&mut self, id: SeqId) {
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

    fn release(&mut self, id: SeqId, state: State) {
        let seq = &mut self.seqs[id.0 as usize];
        self.kv.give_back(u64::from(seq.blocks));
        seq.blocks = 0;
        seq.state = state;
        self.running -= 1;
    }

    fn pop_completed(&mut self) -> Option<SeqId> {
        let seqs = &self.seqs;
        self.decoding.pop_completed(|step, admission, id| is_due(seqs, step, admission, id))
    }

    fn remember_admission(&mut self, id: SeqId) {
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

    fn last_admitted(&mut self) -> Option<SeqId> {
        while let Some((admission, id)) = self.admitted.last() {
            if is_admitted(&self.seqs, *admission, *id) {
                return Some(*id);
            }
            self.admitted.pop();
        }
        None
    }

    fn seq(&self, id: SeqId) -> &Sequence {
        &self.seqs[id.0 as usize]
    }

    fn seq_mut(&mut self, id: SeqId) -> &mut Sequence {
        &mut self.seqs[id.0 as usize]
    }
}

/// Whether an entry of the completion heap is not stale.
fn is_due(seqs: &[Sequence], step: u64, admission: u64, id: SeqId) -> bool {
    let seq = &seqs[id.0 as usize];
    seq.state == State::Decoding && seq.admission == admission && seq.completion() == step
}

/// Whether an entry of the admission list is not stale.
fn is_admitted(seqs: &[Sequence], admission: u64, id: SeqId) -> bool {
    let seq = &seqs[id.0 as usize];
    seq.admission == admission && matches!(seq.state, State::Prefilling | State::Decoding)
}
