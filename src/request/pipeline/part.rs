//! What a visit did, stage by stage: for timelines, which are made only when asked for.
//!
//! Plain Rust beside the walk, which accounts the same times in sums. A prefill and what it generates are
//! one visit but several parts, one after the other.

use smallvec::{SmallVec, smallvec};

use super::journey::Journey;
use super::program::{Generate, Op, Program};
use super::walk::{Ground, Visited};
use crate::units::SimTime;

/// Numbers of branches, each inside the one before.
pub type Branch = SmallVec<[u32; 2]>;

/// A stage of a request at one client, or a wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The stage, a position in [`Program::labels`].
    pub label: u8,
    /// The branch, by the numbers of branches from the outermost in; none outside of all.
    pub branch: Branch,
    /// When it was given to its client.
    pub routed: SimTime,
    /// When the client began to work on it.
    pub started: SimTime,
    /// When it was over.
    pub done: SimTime,
}

impl Ground<'_> {
    /// The parts of the visit from which `thread` comes back; to be asked before it goes on. None if the
    /// client turned it away.
    pub fn parts(&self, journey: &Journey, thread: u32, visited: &Visited) -> SmallVec<[Part; 3]> {
        if visited.rejection.is_some() {
            return SmallVec::new();
        }
        let branch = journey.branch(thread);
        let thread = &journey.threads[thread as usize];
        let (routed, started, done) = (thread.since, visited.started, self.now);
        let label = match &self.program.ops[thread.pc as usize] {
            Op::Visit { label, .. } | Op::Pass { label, .. } | Op::Wait { label, .. } => *label,
            Op::Generate(generate) => {
                let prefills = generate.prefill.is_some() && thread.phase == 0;
                let [reasons, answers] = thread.plan;
                let reasons = reasons.saturating_sub(thread.payload.sampled);
                let [first, answer] = match (prefills, thread.fused) {
                    (true, true) => [visited.first_token, visited.answer],
                    (true, false) => [done; 2],
                    (false, _) => [started, visited.answer],
                };
                let answer = if reasons == 0 { first } else { answer };
                let answer = if answers == 0 { done } else { answer };
                let mut parts = SmallVec::new();
                let mut since = routed;
                if let (Some([set_out, landed]), Some(label)) = (visited.way, generate.transfer) {
                    parts.push(Part {
                        label,
                        branch: branch.clone(),
                        routed,
                        started: set_out,
                        done: landed,
                    });
                    since = landed;
                }
                parts.extend(of_generation(*generate, &branch, [since, started, first, answer, done]));
                return parts;
            }
            _ => return SmallVec::new(),
        };
        smallvec![Part { label, branch, routed, started, done }]
    }

    /// The wait that is over for `thread`; to be asked before it goes on.
    pub fn waited(&self, journey: &Journey, thread: u32) -> Option<Part> {
        let branch = journey.branch(thread);
        let thread = &journey.threads[thread as usize];
        let (routed, done) = (thread.since, self.now);
        match self.program.ops[thread.pc as usize] {
            Op::Wait { label, .. } => Some(Part { label, branch, routed, started: routed, done }),
            _ => None,
        }
    }
}

impl Program {
    /// The parts of a request's only visit, routed when it arrived.
    pub fn parts_of_one_visit(&self, [routed, started, first, done]: [SimTime; 4]) -> SmallVec<[Part; 3]> {
        match self.ops.first() {
            Some(Op::Generate(generate)) => {
                of_generation(*generate, &Branch::new(), [routed, started, first, first, done])
            }
            _ => SmallVec::new(),
        }
    }
}

/// Prefill up to the first token, reasoning up to the answer, the answer; those that took time. What is
/// not generated behind a prefill is given to its client when its first part is.
fn of_generation(generate: Generate, branch: &Branch, times: [SimTime; 5]) -> SmallVec<[Part; 3]> {
    let [routed, started, first, answer, done] = times;
    let mut parts = SmallVec::new();
    let mut at = (routed, started);
    for (label, until) in generate.labels.into_iter().zip([first, answer, done]) {
        if until > at.1 {
            parts.push(Part { label, branch: branch.clone(), routed: at.0, started: at.1, done: until });
            at = (until, until);
        }
    }
    parts
}
