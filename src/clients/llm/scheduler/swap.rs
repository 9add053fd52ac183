//! Preemption by swap: KV of preempted sequences waits in host memory.
//!
//! A sequence that is preempted copies the blocks that it has filled to the host and keeps its tokens. Who was
//! swapped out first comes back first, as soon as nobody who runs is short of blocks for the next step, the
//! watermark of the batching policy stays free, and there is room for its own next token, or the next chunk of
//! its prompt; until then, and in the step in which the last one comes back, nobody from the queue is let in.
//! Whoever comes back counts as admitted last. Who finds the host full is computed again, as without it.
//!
//! Mirrors `--preemption-mode swap` of vLLM v0, `_schedule_swapped` and `_schedule_default` in
//! <https://github.com/vllm-project/vllm/blob/v0.6.6/vllm/core/scheduler.py>, `_can_swap` in
//! `block_manager.py` beside it (V1 swaps nothing). Deviations: where the host is full vLLM stops with an error; where nothing runs
//! the watermark protects nobody, and vLLM would wait for ever; with other batching policies than
//! `Continuous`, blocks for the rest of all prompts under way stay free, too; what a sequence shared with a
//! holding is copied along and comes back as its own.

use std::collections::VecDeque;

use super::Scheduler;
use crate::clients::llm::sequence::{SeqId, State};
use crate::memory::BlockPool;

/// What was swapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwapTally {
    /// Preemptions by swap.
    pub preemptions: u64,
    /// Preemptions by recomputation, as the host was full.
    pub found_full: u64,
    /// KV blocks copied to the host.
    pub blocks_out: u64,
    /// KV blocks copied back.
    pub blocks_in: u64,
}

/// The host's blocks of a scheduler, and who waits in them.
#[derive(Clone, Debug)]
pub(super) struct Host {
    kv: BlockPool,
    /// In the order in which they were swapped out.
    line: VecDeque<SeqId>,
    /// Whether nobody is let in by the step that is being composed.
    closed: bool,
    /// Blocks that the composed step copies, either way.
    copies: u64,
    /// Whether somebody was preempted for the composed step, after which others may find room to come back.
    preempted: bool,
    tally: SwapTally,
}

impl Scheduler {
    /// The same, which swaps to so many blocks of host memory. To be called before anything is enqueued.
    #[must_use]
    pub fn with_host_blocks(mut self, blocks: u64) -> Self {
        let kv = BlockPool::new(blocks, self.kv.block_size()).grouped(*self.kv.groups());
        let (line, tally) = (VecDeque::new(), SwapTally::default());
        self.host = Some(Box::new(Host { kv, line, closed: false, copies: 0, preempted: false, tally }));
        self
    }

    /// The KV blocks in host memory, where there are any.
    pub fn host_kv(&self) -> Option<&BlockPool> {
        self.host.as_ref().map(|host| &host.kv)
    }

    /// Sequences that are swapped out.
    pub fn swapped(&self) -> usize {
        self.host.as_ref().map_or(0, |host| host.line.len())
    }

    /// Host blocks that sequences hold: those taken from its pool.
    pub fn held_by_host(&self) -> u64 {
        let line = self.host.iter().flat_map(|host| &host.line);
        line.map(|id| u64::from(self.filled(self.seq(*id).computed))).sum()
    }

    /// Blocks that so many tokens fill, and that are needed yet.
    fn filled(&self, computed: u32) -> u32 {
        self.kv.blocks_of(0, computed, computed)
    }

    /// What was swapped so far; none without host memory.
    pub fn swap_tally(&self) -> Option<SwapTally> {
        self.host.as_ref().map(|host| host.tally)
    }

    pub(super) fn count_swaps_on(&mut self, before: &Self) {
        if let (Some(host), Some(before)) = (&mut self.host, &before.host) {
            host.tally = before.tally;
        }
    }

    /// Blocks that the composed step copies from and to the host.
    pub(in crate::clients::llm) fn copies(&self) -> u64 {
        self.host.as_ref().map_or(0, |host| host.copies)
    }

    /// Whether those in the queue wait for those who are swapped out.
    pub(super) fn is_closed(&self) -> bool {
        self.host.as_ref().is_some_and(|host| host.closed || !host.line.is_empty())
    }

    pub(super) fn clear_copies(&mut self) {
        if let Some(host) = &mut self.host {
            (host.closed, host.copies, host.preempted) = (false, 0, false);
        }
    }

    /// Whether the composed step may be repeated as far as swapping goes.
    pub(super) fn swaps_nothing(&self) -> bool {
        self.host.as_ref().is_none_or(|host| host.copies == 0 && !host.preempted)
    }

    pub(in crate::clients::llm) fn count_preemption(&mut self, id: SeqId) {
        let seq = self.seq_mut(id);
        seq.preemptions = seq.preemptions.saturating_add(1);
        self.preemptions += 1;
        if let Some(host) = &mut self.host {
            host.preempted = true;
        }
    }

    /// Preempts `id`, which runs, to the host; `false`, and nothing done, where there is none or it is full, or
    /// there is nothing to copy.
    pub(super) fn swap_out(&mut self, id: SeqId) -> bool {
        let stored = self.stored(id);
        let needed = u64::from(self.kv.blocks_of(0, stored, stored + 1));
        let Some(host) = self.host.as_mut().filter(|_| stored > 0) else { return false };
        if needed > host.kv.free() {
            host.tally.found_full += 1;
            return false;
        }
        self.take_out(id);
        let seq = *self.seq(id);
        if let Some(base) = seq.base {
            self.holdings.unpin(base);
            self.forget(base);
        }
        self.release(id, State::Swapped);
        let filled = self.filled(seq.computed);
        // Blocks that it will take when it comes back: a prompt under way and a reservation hold more.
        let decoded = seq.computed >= seq.goal && !seq.reserved;
        let shared = filled - self.kv.blocks_of(seq.shared, seq.computed, seq.computed);
        let blocks = if decoded { filled } else { shared + seq.blocks };
        let kept = self.seq_mut(id);
        (kept.base, kept.shared, kept.blocks) = (None, 0, blocks);
        self.count_preemption(id);
        let Some(host) = &mut self.host else { return false };
        let took = host.kv.take(filled.into());
        debug_assert!(took, "the host has room");
        host.line.push_back(id);
        host.copies += u64::from(filled);
        host.tally.preemptions += 1;
        host.tally.blocks_out += u64::from(filled);
        true
    }

    /// Lets those come back who are swapped out, as far as there is room for them beside `watermark` blocks;
    /// to be called before a step is composed, which holds `chunk` tokens of a prompt at most. Tells whether
    /// somebody did.
    pub(in crate::clients::llm) fn swap_in(&mut self, watermark: u64, chunk: u32) -> bool {
        let before = self.swapped();
        while let Some(id) = self.host.as_ref().and_then(|host| host.line.front().copied()) {
            if self.running >= self.max_num_seqs || !self.bring_back(id, watermark, chunk) {
                break;
            }
        }
        let came = self.swapped() < before;
        if let Some(host) = &mut self.host {
            host.closed |= came;
        }
        came
    }

    fn bring_back(&mut self, id: SeqId, watermark: u64, chunk: u32) -> bool {
        let seq = *self.seq(id);
        // Of a prompt that is under way, the whole next chunk: else it would give way again at once.
        let tokens = seq.goal.saturating_sub(seq.computed).min(chunk).max(1);
        let next = self.kv.blocks_of(0, seq.computed, seq.computed + tokens).saturating_sub(seq.blocks);
        let watermark = if self.running == 0 { 0 } else { watermark };
        let spare = u64::from(next) + self.wanted_by_running() + watermark;
        if !self.take_leaving(seq.blocks.into(), spare) {
            return false;
        }
        let filled = u64::from(self.filled(seq.computed));
        if let Some(host) = &mut self.host {
            host.line.pop_front();
            host.kv.give_back(filled);
            host.copies += filled;
            host.tally.blocks_in += filled;
        }
        self.admissions += 1;
        self.running += 1;
        let admission = self.admissions;
        self.seq_mut(id).admission = admission;
        if seq.computed >= seq.goal {
            self.start_decoding(id);
        } else {
            self.seq_mut(id).state = State::Prefilling;
            self.prefilling.push(id);
        }
        self.remember_admission(id);
        true
    }

    /// Blocks that those who run take before any of them is done: for the next token of each, and for what is
    /// left of prompts.
    fn wanted_by_running(&self) -> u64 {
        let paused = self.paused.iter().map(|id| self.growth_of(*id, 1));
        let left = |id: &SeqId| self.seq(*id).goal - self.seq(*id).computed;
        let prompts = self.prefilling.iter().map(|id| self.growth_of(*id, left(id)));
        self.decode_growth() + paused.chain(prompts).map(u64::from).sum::<u64>()
    }
}
