//! The schedulers of engines, written down sequence by sequence as their sources read, without any of
//! the client's shortcuts: the references it is tested against.

use std::collections::VecDeque;

use super::{Case, Job, Times, naive_sglang, price, priority};
use crate::clients::llm::HostKv;
use crate::clients::llm::packing::{Order, PackingPolicy, Waiting};
use crate::memory::KvGroups;
use crate::runtime::{Chunk, StepShape};
use crate::units::{SimSpan, SimTime};

#[derive(Clone, Copy)]
pub(super) struct Seq {
    pub job: Job,
    /// Tokens there are: the prompt and what was generated.
    pub tokens: u32,
    pub computed: u32,
    /// Tokens whose computation is prefill: the prompt, or what a preemption made it recompute.
    pub goal: u32,
    pub blocks: u64,
    pub generated: u32,
    pub preemptions: u16,
}

impl Seq {
    pub fn is_done(&self) -> bool {
        self.generated == self.job.2
    }
}

pub(super) enum Kind {
    V1 { budget: u32, threshold: u32, whole: bool },
    V0 { budget: u32, watermark: u64, host: Option<Host> },
    Orca { budget: u32, reserve: u32 },
    Sglang(naive_sglang::Server),
}

/// Host memory of vLLM v0.
pub(super) struct Host {
    pub free: u64,
    pub seconds_per_block: f64,
    pub swapped: VecDeque<usize>,
    pub copies: u64,
}

pub(super) struct Engine {
    kind: Kind,
    /// The order of the queue, unless it is that of arrival.
    packing: Option<Box<dyn PackingPolicy>>,
    pub block_size: u32,
    pub free: u64,
    pub total: u64,
    pub max_num_seqs: usize,
    pub seqs: Vec<Seq>,
    pub waiting: VecDeque<usize>,
    pub running: Vec<usize>,
    peak: u64,
    groups: KvGroups,
}

/// Who computes how many tokens.
pub(super) type Step = Vec<(usize, u32)>;

impl Engine {
    pub(super) fn v1(case: &Case, threshold: u32) -> Self {
        Self::new(case, Kind::V1 { budget: case.budget, threshold, whole: true })
    }

    /// vLLM before 0.19, which admits a prompt when its first piece fits.
    pub(super) fn v1_by_pieces(case: &Case, threshold: u32) -> Self {
        Self::new(case, Kind::V1 { budget: case.budget, threshold, whole: false })
    }

    pub(super) fn v0(case: &Case, budget: u32, watermark: f64) -> Self {
        Self::v0_swapping(case, budget, watermark, None)
    }

    pub(super) fn v0_swapping(case: &Case, budget: u32, watermark: f64, host: Option<HostKv>) -> Self {
        let watermark = (watermark * case.blocks as f64) as u64;
        let host = host.map(|HostKv { blocks: free, seconds_per_block }| Host {
            free,
            seconds_per_block,
            swapped: VecDeque::new(),
            copies: 0,
        });
        Self::new(case, Kind::V0 { budget, watermark, host })
    }

    pub(super) fn orca(case: &Case, budget: u32, reserve: u32) -> Self {
        Self::new(case, Kind::Orca { budget, reserve })
    }

    pub(super) fn new(case: &Case, kind: Kind) -> Self {
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
            packing: None,
            block_size: case.block_size,
            free: case.blocks,
            total: case.blocks,
            max_num_seqs: case.max_num_seqs as usize,
            seqs: case.jobs.iter().map(seq).collect(),
            waiting: VecDeque::new(),
            running: Vec::new(),
            peak: 0,
            groups: KvGroups::ONE,
        }
    }

    pub(super) fn packed(self, packing: impl PackingPolicy) -> Self {
        Self { packing: (packing.order() == Order::Key).then(|| Box::new(packing) as _), ..self }
    }

    pub(super) fn grouped(self, groups: KvGroups) -> Self {
        Self { groups, ..self }
    }

    /// Blocks of `upto` tokens, without those of which no token is seen any more when `computed` are there.
    fn blocks(&self, computed: u32, upto: u32) -> u64 {
        let last = |block: u32| (block + 1) * self.block_size - 1;
        let seen =
            |block: &u32| u64::from(last(*block)) + u64::from(self.groups.window()) > u64::from(computed);
        let all = 0..upto.div_ceil(self.block_size);
        let windowed = u64::from(self.groups.windowed());
        let full = u64::from(self.groups.count()) - windowed;
        let of_window = if windowed == 0 { 0 } else { all.clone().filter(seen).count() as u64 };
        full * all.count() as u64 + windowed * of_window
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
            self.sort();
            let preempted: u32 = self.seqs.iter().map(|seq| u32::from(seq.preemptions)).sum();
            let step = match &mut self.kind {
                Kind::V1 { budget, threshold, whole } => {
                    let (budget, threshold, whole) = (*budget, *threshold, *whole);
                    self.schedule_v1(budget, threshold, whole)
                }
                Kind::V0 { budget, watermark, host } => {
                    let (budget, watermark) = (*budget, *watermark);
                    let mut memory = host.take();
                    let step = self.schedule_v0(budget, watermark, &mut memory);
                    self.kind = Kind::V0 { budget, watermark, host: memory };
                    step
                }
                Kind::Orca { budget, reserve } => {
                    let (budget, reserve) = (*budget, *reserve);
                    self.schedule_orca(budget, reserve)
                }
                Kind::Sglang(server) => {
                    let mut server = std::mem::take(server);
                    let step = server.next_batch(self);
                    self.kind = Kind::Sglang(server);
                    step
                }
            };
            if step.is_empty() {
                if self.seqs.iter().map(|seq| u32::from(seq.preemptions)).sum::<u32>() > preempted {
                    continue;
                }
                assert!(self.seqs[..next].iter().all(Seq::is_done), "idle with work at {now}");
                if next == self.seqs.len() {
                    return times;
                }
                now = self.seqs[next].job.0;
                continue;
            }
            self.peak = self.peak.max(self.total - self.free);
            now += self.duration(&step);
            if let Kind::V0 { host: Some(host), .. } = &mut self.kind {
                host.copies = 0;
            }
            for (id, tokens) in step {
                if self.groups.windowed() > 0 {
                    let computed = self.seqs[id].computed + tokens;
                    let behind = self.seqs[id].blocks - self.blocks(computed, computed);
                    self.free += behind;
                    self.seqs[id].blocks -= behind;
                }
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
                if seq.is_done() {
                    times[id].1 = now;
                    self.free += std::mem::take(&mut seq.blocks);
                    self.running.retain(|other| *other != id);
                }
            }
        }
    }

    fn key(&self, id: usize) -> (i128, usize) {
        let seq = &self.seqs[id];
        let waiting = Waiting {
            prompt_tokens: seq.job.1,
            left_tokens: seq.tokens,
            cached_tokens: 0,
            generated_tokens: seq.generated,
            priority: priority(id),
            arrived: SimTime::from_ns(seq.job.0),
        };
        (self.packing.as_ref().map_or(0, |packing| packing.key(&waiting)), id)
    }

    fn sort(&mut self) {
        if self.packing.is_some() {
            let mut waiting: Vec<usize> = self.waiting.drain(..).collect();
            waiting.sort_by_key(|id| self.key(*id));
            self.waiting.extend(waiting);
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
        let copying = match &self.kind {
            Kind::V0 { host: Some(host), .. } => host.copies as f64 * host.seconds_per_block,
            _ => 0.0,
        };
        SimSpan::from_secs_f64(cost.seconds + copying).as_ns()
    }

    pub fn take(&mut self, id: usize, upto: u32) -> bool {
        let all = self.blocks(self.seqs[id].computed, upto);
        let seq = &mut self.seqs[id];
        let need = all.saturating_sub(seq.blocks);
        if need > self.free {
            return false;
        }
        self.free -= need;
        seq.blocks += need;
        true
    }

    pub fn preempt(&mut self, id: usize) {
        let seq = &mut self.seqs[id];
        self.free += std::mem::take(&mut seq.blocks);
        seq.computed = 0;
        seq.goal = seq.tokens;
        seq.preemptions += 1;
        self.waiting.push_front(id);
        self.sort();
    }

    /// Takes the sequence to be preempted out of those that run: the last, or by priority.
    fn pop_victim(&mut self) -> usize {
        if self.packing.as_ref().is_some_and(|packing| packing.preempts_largest()) {
            let id = *self.running.iter().max_by_key(|id| self.key(**id)).expect("the request itself runs");
            self.running.retain(|other| *other != id);
            return id;
        }
        self.running.pop().expect("the request itself runs")
    }

    /// `vllm/v1/core/sched/scheduler.py`: running requests in order, then the queue.
    fn schedule_v1(&mut self, mut budget: u32, threshold: u32, whole: bool) -> Step {
        let cap = if threshold == 0 { u32::MAX } else { threshold };
        let mut step: Step = Vec::new();
        let mut preempted = false;
        let mut at = 0;
        'running: while at < self.running.len() && budget > 0 {
            let id = self.running[at];
            let seq = self.seqs[id];
            let tokens = (seq.tokens - seq.computed).min(cap).min(budget);
            while !self.take(id, seq.computed + tokens) {
                let victim = self.pop_victim();
                if let Some(scheduled) = step.iter().position(|(other, _)| *other == victim) {
                    budget += step.remove(scheduled).1;
                    at -= 1;
                }
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
            let tokens = self.seqs[id].tokens.min(cap).min(budget);
            let fits = !whole || self.blocks(0, self.seqs[id].tokens) <= self.free;
            if !fits || !self.take(id, tokens) {
                break;
            }
            self.waiting.pop_front();
            self.running.push(id);
            step.push((id, tokens));
            budget -= tokens;
        }
        step
    }

    /// `_preempt_by_swap`; `false` where the host is full.
    fn swap_out(&mut self, id: usize, host: &mut Host) -> bool {
        let seq = &mut self.seqs[id];
        if u64::from((seq.computed + 1).div_ceil(self.block_size)) > host.free {
            return false;
        }
        let filled = u64::from(seq.computed.div_ceil(self.block_size));
        host.free -= filled;
        host.copies += filled;
        host.swapped.push_back(id);
        self.free += std::mem::take(&mut seq.blocks);
        seq.preemptions += 1;
        true
    }

    /// `_schedule_swapped`.
    fn swap_in(&mut self, watermark: u64, host: &mut Host, step: &mut Step) {
        while let Some(&id) = host.swapped.front() {
            let computed = self.seqs[id].computed;
            let touched = u64::from(computed / self.block_size) + 1;
            let spare = if self.running.is_empty() { 0 } else { watermark };
            if touched + spare > self.free || self.running.len() >= self.max_num_seqs {
                break;
            }
            host.swapped.pop_front();
            let filled = u64::from(computed.div_ceil(self.block_size));
            host.free += filled;
            host.copies += filled;
            assert!(self.take(id, computed + 1));
            self.running.push(id);
            step.push((id, 1));
        }
    }

    /// `vllm/core/scheduler.py`, `_schedule_default`: prefills alone, else all decodes.
    fn schedule_v0(&mut self, limit: u32, watermark: u64, host: &mut Option<Host>) -> Step {
        let mut step: Step = Vec::new();
        let mut budget = limit;
        let swapped = host.as_ref().is_some_and(|host| !host.swapped.is_empty());
        while let Some(&id) = self.waiting.front().filter(|_| !swapped) {
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
            let mut preempted = false;
            'running: while at < self.running.len() {
                let id = self.running[at];
                while !self.take(id, self.seqs[id].computed + 1) {
                    let victim = self.pop_victim();
                    preempted = true;
                    if !host.as_mut().is_some_and(|host| self.swap_out(victim, host)) {
                        self.preempt(victim);
                    }
                    if victim == id {
                        break 'running;
                    }
                }
                step.push((id, 1));
                at += 1;
            }
            if let Some(host) = host.as_mut().filter(|_| !preempted) {
                self.swap_in(watermark, host, &mut step);
            }
        }
        step
    }

    /// Orca, algorithm 1: those that run, then whole prompts while their reservations fit.
    fn schedule_orca(&mut self, mut budget: u32, reserve: u32) -> Step {
        let mut step: Step = self.running.iter().map(|id| (*id, 1)).collect();
        budget -= step.len() as u32;
        while let Some(&id) = self.waiting.front() {
            let (_, prompt, output) = self.seqs[id].job;
            let most = u64::from(reserve).min(self.total * u64::from(self.block_size)) as u32;
            let room = self.running.len() < self.max_num_seqs && prompt <= budget;
            if !room || !self.take(id, most.max(prompt + output - 1)) {
                break;
            }
            self.waiting.pop_front();
            self.running.push(id);
            step.push((id, prompt));
            budget -= prompt;
        }
        step
    }
}
