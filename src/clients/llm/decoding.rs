//! The set of decoding sequences, kept as aggregates.
//!
//! All members advance by one token a step, so nothing about a single member needs touching: with
//! *d* decode steps taken, a member that entered at step *e* with *s* tokens stored has
//! *s + d − e* now. Kept are the number of members, Σ stored, a heap of completions keyed by step
//! number, and, for block accounting, how many members there are for each phase
//! (*s − e*) mod block size: the step from *d* to *d + 1* opens a new block for exactly the members
//! whose phase is −*d*. A step costs O(1), whatever the batch.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::sequence::{SeqId, Sequence};

/// Completion step, admission number and name of a member; stale once the admission is over.
type Completion = Reverse<(u64, u64, SeqId)>;

#[derive(Clone, Debug)]
pub(super) struct DecodeSet {
    /// Decode steps taken.
    steps: u64,
    /// Σ tokens stored over members.
    stored: u64,
    members: u32,
    /// Members that still open blocks, by phase.
    phases: Box<[u32]>,
    completions: BinaryHeap<Completion>,
}

impl DecodeSet {
    pub fn new(block_size: u32) -> Self {
        let phases = vec![0; block_size as usize].into_boxed_slice();
        Self { steps: 0, stored: 0, members: 0, phases, completions: BinaryHeap::new() }
    }

    pub const fn members(&self) -> u32 {
        self.members
    }

    /// Decode steps taken.
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// Σ over members of the tokens that the next step attends to, each member's new one included.
    pub fn context(&self) -> u64 {
        self.stored + u64::from(self.members)
    }

    /// Blocks that the `ahead`-th step from now opens.
    #[inline]
    pub fn growth(&self, ahead: u64) -> u64 {
        let size = self.phases.len() as u64;
        u64::from(self.phases[((size - (self.steps + ahead) % size) % size) as usize])
    }

    /// Steps that `seq`, a member, has taken since it entered.
    pub fn steps_of(&self, seq: &Sequence) -> u32 {
        (self.steps - seq.entered) as u32
    }

    fn phase(&self, seq: &Sequence) -> usize {
        let size = self.phases.len() as u64;
        ((u64::from(seq.computed) + size - seq.entered % size) % size) as usize
    }

    /// Lets `seq`, which has `computed` tokens stored and `generated` generated, decode from now on.
    pub fn enter(&mut self, id: SeqId, seq: &mut Sequence) {
        seq.entered = self.steps;
        self.members += 1;
        self.stored += u64::from(seq.computed);
        if !seq.reserved {
            self.phases[self.phase(seq)] += 1;
        }
        let completion = seq.completion();
        if let Some(milestone) = seq.milestone().filter(|milestone| *milestone < completion) {
            self.completions.push(Reverse((milestone, seq.admission, id)));
        }
        self.completions.push(Reverse((completion, seq.admission, id)));
    }

    /// Takes `seq` out, with its token counts brought up to date. Its completion stays behind, stale.
    pub fn leave(&mut self, seq: &mut Sequence) {
        let phase = self.phase(seq);
        let steps = self.steps_of(seq);
        seq.computed += steps;
        seq.generated += steps;
        self.members -= 1;
        self.stored -= u64::from(seq.computed);
        if !seq.reserved {
            self.phases[phase] -= 1;
        }
    }

    /// Every member advances by one token.
    #[inline]
    pub fn step(&mut self) {
        self.steps += 1;
        self.stored += u64::from(self.members);
    }

    /// Steps from now to the next completion or first token of an answer; `current` tells a live entry from a stale one.
    pub fn next_completion(&mut self, current: impl Fn(u64, u64, SeqId) -> bool) -> Option<u64> {
        while let Some(Reverse((step, admission, id))) = self.completions.peek() {
            if current(*step, *admission, *id) {
                return Some(step - self.steps);
            }
            self.completions.pop();
        }
        None
    }

    /// Takes the next member that is complete now, or begins its answer, off the heap; if complete, the
    /// caller makes it leave.
    pub fn pop_completed(&mut self, current: impl Fn(u64, u64, SeqId) -> bool) -> Option<SeqId> {
        (self.next_completion(current)? == 0).then(|| self.completions.pop().expect("peeked").0.2)
    }
}
