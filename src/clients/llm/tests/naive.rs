//! vLLM's two schedulers, written down sequence by sequence as their sources read, without any of
//! the client's shortcuts: the reference it is tested against.

use std::collections::VecDeque;

use super::{Case, Job, Times, price};
use crate::runtime::{Chunk, StepShape};
use crate::units::SimSpan;

#[derive(Clone, Copy)]
struct Seq {
    job: Job,
    /// Tokens there are: the prompt and what was generated.
    tokens: u32,
    computed: u32,
    /// Tokens whose computation is prefill: the prompt, or what a preemption made it recompute.
    goal: u32,
    blocks: u64,
    generated: u32,
    preemptions: u16,
}

enum Kind {
    V1 { budget: u32 },
    V0 { budget: u32, watermark: u64 },
}

pub(super) struct Engine {
    kind: Kind,
    block_size: u32,
    free: u64,
    total: u64,
    max_num_seqs: usize,
    seqs: Vec<Seq>,
    waiting: VecDeque<usize>,
    running: Vec<usize>,
    peak: u64,
}

impl Engine {
    pub(super) fn v1(case: &Case) -> Self {
        Self::new(case, Kind::V1 { budget: case.budget })
    }

    pub(super) fn v0(case: &Case, budget: u32, watermark: f64) -> Self {
        Self::new(case, Kind::V0 { budget, watermark: (watermark * case.blocks as f64) as u64 })
    }

    fn new(case: &Case, kind: Kind) -> Self {
        let seq = |job: &Job| Seq {
            job: *job,
            tokens: job.1,
            goal: job.1,
            computed: 0,
            blocks: 0,
            generated: 0,
            preemptions: 0,
        };
        Self {
            kind,
            block_size: case.block_size,
            free: case.blocks,
            total: case.blocks,
            max_num_seqs: case.max_num_seqs as usize,
            seqs: case.jobs.iter().map(seq).collect(),
            waiting: VecDeque::new(),
            running: Vec::new(),
            peak: 0,
        }
    }

    pub(super) fn preemptions(&self) -> Vec<u16> {
        self.seqs.iter().map(|seq| seq.preemptions).collect()
    }

    pub(super) fn peak_blocks(&self) -> u64 {
        self.peak
    }

    pub(super) fn run(&mut self) -> Times {
        let mut times = vec![(0, 0); self.seqs.len()];
        let (mut now, mut next) = (0_u64, 0);
        loop {
            while next < self.seqs.len() && self.seqs[next].job.0 <= now {
                self.waiting.push_back(next);
                next += 1;
            }
            if self.waiting.is_empty() && self.running.is_empty() {
                if next == self.seqs.len() {
                    return times;
                }
                now = self.seqs[next].job.0;
                continue;
            }
            let step = match self.kind {
                Kind::V1 { budget } => self.schedule_v1(budget),
                Kind::V0 { budget, watermark } => self.schedule_v0(budget, watermark),
            };
            self.peak = self.peak.max(self.total - self.free);
            now += self.duration(&step);
            for (id, tokens) in step {
                let seq = &mut self.seqs[id];
                seq.computed += tokens;
                if seq.computed < seq.tokens {
                    continue;
                }
                seq.generated += 1;
                seq.tokens += 1;
                if seq.generated == 1 {
                    times[id].0 = now;
                }
                if seq.generated == seq.job.2 {
                    times[id].1 = now;
                    self.free += std::mem::take(&mut seq.blocks);
                    self.running.retain(|other| *other != id);
                }
            }
        }
    }

    fn duration(&self, step: &[(usize, u32)]) -> u64 {
        let mut chunks = Vec::new();
        let (mut decode_seqs, mut decode_context) = (0, 0);
        for (id, tokens) in step {
            let seq = &self.seqs[*id];
            if seq.computed >= seq.goal {
                decode_seqs += 1;
                decode_context += u64::from(seq.tokens);
            } else {
                let last = seq.computed + tokens == seq.tokens;
                chunks.push(Chunk { tokens: *tokens, context: seq.computed, last });
            }
        }
        let cost = price(&StepShape { prefill: &chunks, decode_seqs, decode_context });
        SimSpan::from_secs_f64(cost.seconds).as_ns()
    }

    fn take(&mut self, id: usize, upto: u32) -> bool {
        let seq = &mut self.seqs[id];
        let need = u64::from(upto.div_ceil(self.block_size)).saturating_sub(seq.blocks);
        if need > self.free {
            return false;
        }
        self.free -= need;
        seq.blocks += need;
        true
    }

    fn preempt(&mut self, id: usize) {
        let seq = &mut self.seqs[id];
        self.free += std::mem::take(&mut seq.blocks);
        seq.computed = 0;
        seq.goal = seq.tokens;
        seq.preemptions += 1;
        self.waiting.push_front(id);
    }

    /// `vllm/v1/core/sched/scheduler.py`: running requests in order, then the queue.
    fn schedule_v1(&mut self, mut budget: u32) -> Vec<(usize, u32)> {
        let mut step = Vec::new();
        let mut preempted = false;
        let mut at = 0;
        'running: while at < self.running.len() && budget > 0 {
            let id = self.running[at];
            let seq = self.seqs[id];
            let tokens = (seq.tokens - seq.computed).min(budget);
            while !self.take(id, seq.computed + tokens) {
                let victim = self.running.pop().expect("the request itself runs");
                self.preempt(victim);
                preempted = true;
                if victim == id {
                    break 'running;
                }
            }
            step.push((id, tokens));
            budget -= tokens;
            at += 1;
        }
        while !preempted && budget > 0 && self.running.len() < self.max_num_seqs {
            let Some(&id) = self.waiting.front() else { break };
            let tokens = self.seqs[id].tokens.min(budget);
            if !self.take(id, tokens) {
                break;
            }
            self.waiting.pop_front();
            self.running.push(id);
            step.push((id, tokens));
            budget -= tokens;
        }
        step
    }

    /// `vllm/core/scheduler.py`, `_schedule_default`: prefills alone, else all decodes.
    fn schedule_v0(&mut self, limit: u32, watermark: u64) -> Vec<(usize, u32)> {
        let mut step: Vec<(usize, u32)> = Vec::new();
        let mut budget = limit;
        while let Some(&id) = self.waiting.front() {
            let tokens = self.seqs[id].tokens;
            let alone = step.is_empty() && tokens > limit;
            let blocks = u64::from(tokens.div_ceil(self.block_size));
            let spare = if self.running.is_empty() { 0 } else { watermark };
            let full = self.running.len() >= self.max_num_seqs;
            if full || (tokens > budget && !alone) || blocks + spare > self.free {
                break;
            }
            assert!(self.take(id, tokens));
            self.waiting.pop_front();
            self.running.push(id);
            step.push((id, tokens));
            budget = budget.saturating_sub(tokens);
        }
        if step.is_empty() {
            let mut at = 0;
            'running: while at < self.running.len() {
                let id = self.running[at];
                while !self.take(id, self.seqs[id].computed + 1) {
                    let victim = self.running.pop().expect("the request itself runs");
                    self.preempt(victim);
                    if victim == id {
                        break 'running;
                    }
                }
                step.push((id, 1));
                at += 1;
            }
        }
        step
    }
}
