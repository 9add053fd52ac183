//! The set of decoding sequences, kept as aggregates.
//!
//! All members advance by one token a step, so nothing about a single member needs touching: with
//! *d* decode steps taken, a member that entered at step *e* with *s* tokens stored has
//! *s + d − e* now. Kept are the number of members, Σ stored, a heap of completions keyed by step
//! number, and, for block accounting, how many members there are for each phase
//! (*s − e*) mod block size: the step from *d* to *d + 1* opens a new block for exactly the members
//! whose phase is −*d*. A step costs O(1), whatever the batch. Layers with a window let go of blocks in the same
//! rhythm, once a member is far enough.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::sequence::{SeqId, Sequence};
use crate::memory::BlockPool;

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
    /// The phase of those who open one with the next step.
    opening: usize,
    completions: BinaryHeap<Completion>,
    /// Blocks that a member opens at once: one for each group of layers.
    groups: u64,
    windows: Option<Box<Windows>>,
}

/// Members whose blocks lie behind a window, one after the other.
#[derive(Clone, Debug)]
struct Windows {
    /// Groups of layers with it.
    groups: u64,
    tokens: u64,
    /// Members that let go of blocks, by phase.
    past: Box<[u32]>,
    /// Those who do not yet, by the step with which they begin.
    coming: BTreeMap<u64, u32>,
}

impl Windows {
    /// The step with which `seq` lets go of its first own block, if it is not so far yet.
    fn begins(&self, seq: &Sequence) -> Option<u64> {
        let first = self.tokens - 1 + (u64::from(seq.shared) + 1) * self.past.len() as u64;
        let ahead = first.checked_sub(seq.computed.into()).filter(|ahead| *ahead > 0)?;
        Some(seq.entered + ahead)
    }

    /// The phase of those who let go of a block with `step`.
    fn phase(&self, step: u64) -> usize {
        let size = self.past.len() as u64;
        ((self.tokens - 1 + size - step % size) % size) as usize
    }

    /// Blocks that the end of `step` frees, `now` being the last one that was taken.
    fn frees(&self, now: u64, step: u64) -> u64 {
        let alike = |begins: &u64| (step - begins).is_multiple_of(self.past.len() as u64);
        let coming = self.coming.range(now + 1..=step).filter(|(begins, _)| alike(begins));
        let members = self.past[self.phase(step)] + coming.map(|(_, members)| members).sum::<u32>();
        self.groups * u64::from(members)
    }

    fn take(&mut self, step: u64) -> u64 {
        let at = self.phase(step);
        self.past[at] += self.coming.remove(&step).unwrap_or(0);
        self.groups * u64::from(self.past[at])
    }
}

impl DecodeSet {
    /// An empty one over the blocks of `kv`.
    pub fn new(kv: &BlockPool) -> Self {
        let phases = vec![0; kv.block_size() as usize].into_boxed_slice();
        let groups = kv.groups();
        let windows = (groups.windowed() > 0).then(|| {
            let (past, coming) = (phases.clone(), BTreeMap::new());
            let tokens = u64::from(groups.window());
            Box::new(Windows { groups: groups.windowed().into(), tokens, past, coming })
        });
        let groups = groups.count().into();
        let completions = BinaryHeap::new();
        Self { steps: 0, stored: 0, members: 0, phases, opening: 0, completions, groups, windows }
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

    /// Blocks that the next step opens.
    #[inline]
    pub fn growth(&self) -> u64 {
        self.groups * u64::from(self.phases[self.opening])
    }

    /// Blocks that the steps after the next one open.
    pub fn later_growth(&self) -> impl Iterator<Item = u64> {
        let mut opening = self.opening;
        std::iter::repeat_with(move || {
            opening = self.phase_before(opening);
            self.groups * u64::from(self.phases[opening])
        })
    }

    #[inline]
    const fn phase_before(&self, phase: usize) -> usize {
        if phase > 0 { phase - 1 } else { self.phases.len() - 1 }
    }

    /// Blocks that the end of the `ahead`-th step from now frees.
    #[inline]
    pub fn frees(&self, ahead: u64) -> u64 {
        self.windows.as_ref().map_or(0, |windows| windows.frees(self.steps, self.steps + ahead + 1))
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
            let phase = self.phase(seq);
            self.phases[phase] += 1;
            if let Some(windows) = &mut self.windows {
                match windows.begins(seq) {
                    Some(step) => *windows.coming.entry(step).or_default() += 1,
                    None => windows.past[phase] += 1,
                }
            }
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
        if let Some(windows) = self.windows.as_mut().filter(|_| !seq.reserved) {
            match windows.begins(seq).filter(|step| *step > self.steps) {
                Some(step) => *windows.coming.entry(step).or_insert(1) -= 1,
                None => windows.past[phase] -= 1,
            }
        }
        seq.computed += steps;
        seq.generated += steps;
        self.members -= 1;
        self.stored -= u64::from(seq.computed);
        if !seq.reserved {
            self.phases[phase] -= 1;
        }
    }

    /// Every member advances by one token; the blocks that are then free.
    #[inline]
    pub fn step(&mut self) -> u64 {
        self.steps += 1;
        self.stored += u64::from(self.members);
        self.opening = self.phase_before(self.opening);
        self.windows.as_mut().map_or(0, |windows| windows.take(self.steps))
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
