//! Chunked prefill: one token budget for decodes and pieces of prompts.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BatchingPolicy, budget, watermark};
use crate::clients::llm::scheduler::{Back, Reserve, Scheduler};
use crate::clients::llm::sequence::SeqId;
use crate::memory::BlockPool;

/// Chunked batching, as vLLM V1 schedules: running sequences get what they need next in the order of
/// their admission, a decoding one a token, a prompt a chunk; what is left of the budget goes to prompts
/// from the queue, cut where the budget ends (Sarathi-Serve).
///
/// Blocks are allocated for what a step computes. When a running sequence finds none, the one that
/// was admitted last is preempted and recomputed later, and no new prompt is admitted in that step; under
/// `packing: Priority` it is the least urgent one.
///
/// Mirrors `Scheduler.schedule` of vLLM 0.10 to 0.19:
/// <https://github.com/vllm-project/vllm/blob/v0.10.0/vllm/v1/core/sched/scheduler.py>. Left out:
/// speculative tokens, encoder inputs, `LoRA` limits, asynchronous scheduling.
/// `--max-num-partial-prefills` has no effect in V1 and is not here.
/// With `reserve: Prompt, watermark: 0.01` it is Sarathi-Serve, but for the free block that every decode
/// needs there: <https://github.com/microsoft/sarathi-serve>.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Chunked {
    /// Most tokens a step computes, decodes and prompts together (tokens). At least `max_num_seqs`.
    /// Default 8192, as vLLM serves on H100-class devices. vLLM `--max-num-batched-tokens`,
    /// SGLang `--chunked-prefill-size`.
    #[serde(deserialize_with = "budget")]
    #[schemars(range(min = 1))]
    pub max_num_batched_tokens: u32,
    /// Most tokens of one prompt that a step computes (tokens); 0 for no limit of its own.
    /// Default 0. vLLM `--long-prefill-token-threshold`.
    pub long_prefill_token_threshold: u32,
    /// For how much of a prompt there must be blocks when it is admitted. Default `ChunkIfAllFits`, as vLLM from 0.19
    /// on (`--scheduler-reserve-full-isl`, on by default); before, it was `Chunk`.
    pub reserve: Blocks,
    /// Fraction of all blocks that admission leaves free, 0 to below 1. Default 0: vLLM V1 has none;
    /// Sarathi-Serve's is 0.01.
    #[serde(deserialize_with = "watermark")]
    pub watermark: f64,
}

/// For how much of a prompt KV blocks are taken when it is admitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Blocks {
    /// For the chunk that the step computes, and for each later one when its turn comes (vLLM V1 before 0.19).
    Chunk,
    /// Likewise, but nobody is admitted before there is room for all of its prompt (vLLM V1 from 0.19 on,
    /// `scheduler_reserve_full_isl`).
    #[default]
    ChunkIfAllFits,
    /// For all of it (Sarathi-Serve).
    Prompt,
}

impl Default for Chunked {
    fn default() -> Self {
        Self {
            max_num_batched_tokens: 8192,
            long_prefill_token_threshold: 0,
            reserve: Blocks::ChunkIfAllFits,
            watermark: 0.0,
        }
    }
}

impl Chunked {
    /// Tokens that a prompt with so many left gets.
    fn chunk(self, left: u32, budget: u32) -> u32 {
        let cap =
            if self.long_prefill_token_threshold == 0 { u32::MAX } else { self.long_prefill_token_threshold };
        left.min(cap).min(budget)
    }

    /// Whether it makes a difference in which order running sequences are served: the budget is too small
    /// for all of them, or memory is and it is not the last who gives way.
    fn order_matters(self, scheduler: &Scheduler) -> bool {
        let prompts = || (0..scheduler.prefilling()).filter_map(|at| scheduler.prefill_left(at));
        if scheduler.prefilling() > 1 || self.long_prefill_token_threshold > 0 {
            let wanted = prompts().map(|left| u64::from(self.chunk(left, u32::MAX))).sum::<u64>();
            if wanted + u64::from(scheduler.decoding()) > self.max_num_batched_tokens.into() {
                return scheduler.prefilling() > 0;
            }
        }
        scheduler.preempts_by_key() && {
            let budget = self.max_num_batched_tokens;
            let mut growth = scheduler.decode_growth();
            for id in scheduler.in_order() {
                if let Some((_, left)) = scheduler.prefill_of(id) {
                    growth += u64::from(scheduler.growth_of(id, self.chunk(left, budget)));
                }
            }
            growth > scheduler.available()
        }
    }

    /// Serves those who run; tells whether somebody was preempted.
    fn serve(self, scheduler: &mut Scheduler) -> bool {
        let mut preempted = scheduler.decode_all();
        let mut budget = self.max_num_batched_tokens.saturating_sub(scheduler.step_tokens());
        let mut at = 0;
        while let Some(left) = scheduler.prefill_left(at) {
            let chunk = self.chunk(left, budget);
            if chunk == 0 {
                break;
            }
            if scheduler.continue_prefill(at, chunk) {
                budget -= chunk;
                at += 1;
            } else {
                // May hit the very prompt that is short of blocks: then there is no `at` any more.
                scheduler.preempt_last();
                preempted = true;
            }
        }
        preempted
    }

    /// The same, one by one in the order of admission, as the engine does it. Slow: looks at all that run.
    fn serve_in_order(self, scheduler: &mut Scheduler) -> bool {
        let running: Vec<SeqId> = scheduler.in_order().collect();
        let mut served = Served { budget: self.max_num_batched_tokens, ..Served::default() };
        let mut preempted = Vec::new();
        'running: for id in &running {
            if served.budget == 0 {
                break;
            }
            if preempted.contains(id) {
                continue;
            }
            let left = scheduler.prefill_of(*id).map_or(1, |(_, left)| left);
            let tokens = self.chunk(left, served.budget);
            let growth = scheduler.growth_of(*id, tokens).into();
            while served.growth + growth > scheduler.available() {
                let Some(victim) = scheduler.victim() else { break 'running };
                served.drop(victim);
                scheduler.preempt(victim, Back::Head);
                preempted.push(victim);
                if victim == *id {
                    break 'running;
                }
            }
            served.push(*id, tokens, growth);
        }
        let ids: BTreeSet<SeqId> = served.seqs.iter().map(|(id, ..)| *id).collect();
        for id in scheduler.decodes().filter(|id| !ids.contains(id)).collect::<Vec<_>>() {
            scheduler.pause(id);
        }
        let fits = scheduler.decode_if_room();
        debug_assert!(fits, "room was counted");
        for (id, tokens, _) in served.seqs {
            if let Some((at, _)) = scheduler.prefill_of(id) {
                let fits = scheduler.continue_prefill(at, tokens);
                debug_assert!(fits, "room was counted");
            }
        }
        !preempted.is_empty()
    }
}

/// Who is in a step that is composed one by one, with tokens and the blocks that they take.
#[derive(Default)]
struct Served {
    seqs: Vec<(SeqId, u32, u64)>,
    budget: u32,
    growth: u64,
}

impl Served {
    fn push(&mut self, id: SeqId, tokens: u32, growth: u64) {
        self.seqs.push((id, tokens, growth));
        self.budget -= tokens;
        self.growth += growth;
    }

    fn drop(&mut self, id: SeqId) {
        if let Some(at) = self.seqs.iter().position(|(other, ..)| *other == id) {
            let (_, tokens, growth) = self.seqs.remove(at);
            self.budget += tokens;
            self.growth -= growth;
        }
    }
}

impl BatchingPolicy for Chunked {
    fn form(&mut self, scheduler: &mut Scheduler) {
        let preempted = loop {
            scheduler.resume_all();
            let preempted = if self.order_matters(scheduler) {
                self.serve_in_order(scheduler)
            } else {
                self.serve(scheduler)
            };
            // Who gives way for itself may leave nobody in the step: then the engine composes the next one.
            if !preempted || scheduler.has_step() {
                break preempted;
            }
        };
        let mut budget = self.max_num_batched_tokens.saturating_sub(scheduler.step_tokens());
        let spare = self.watermark(scheduler.kv());
        let reserve = match self.reserve {
            Blocks::Chunk | Blocks::ChunkIfAllFits => Reserve::Chunk,
            Blocks::Prompt => Reserve::Prompt,
        };
        while !preempted && budget > 0 {
            let Some(prompt) = scheduler.next_waiting() else { break };
            let chunk = self.chunk(prompt, budget);
            // With nothing running there is nobody the watermark could protect.
            let mut spare = if scheduler.running() == 0 { 0 } else { spare };
            if self.reserve == Blocks::ChunkIfAllFits {
                let blocks = |tokens| u64::from(scheduler.kv().blocks_for(tokens));
                spare += blocks(prompt) - blocks(chunk);
            }
            if !scheduler.admit_leaving(chunk, reserve, spare) {
                break;
            }
            budget -= chunk;
        }
        if !preempted {
            scheduler.repeat_decodes();
        }
    }

    fn max_step_tokens(&self) -> u32 {
        self.max_num_batched_tokens
    }

    fn compose_rounds(&mut self, stages: u32, copies: u32) -> bool {
        // A prompt may be in every batch of one copy.
        let one = match self.long_prefill_token_threshold {
            0 => self.max_num_batched_tokens,
            threshold => threshold.min(self.max_num_batched_tokens),
        };
        self.long_prefill_token_threshold = one.saturating_mul(stages);
        self.max_num_batched_tokens =
            self.max_num_batched_tokens.saturating_mul(stages).saturating_mul(copies);
        true
    }

    fn largest_chunk(&self) -> Option<u32> {
        (self.reserve == Blocks::Chunk).then(|| self.chunk(u32::MAX, self.max_num_batched_tokens))
    }

    fn watermark(&self, kv: &BlockPool) -> u64 {
        (self.watermark * kv.total() as f64) as u64
    }
}
