//! Chunked prefill: one token budget for decodes and pieces of prompts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::BatchingPolicy;
use crate::clients::llm::scheduler::{Reserve, Scheduler};

/// Chunked batching, as vLLM V1 schedules: every running sequence gets a token, what is left of the
/// budget goes to prompts, first come first served, cut where the budget ends (Sarathi-Serve).
///
/// Blocks are allocated for what a step computes. When a running sequence finds none, the one that
/// was admitted last is preempted and recomputed later, and no new prompt is admitted in that step.
/// One deviation: decoding sequences are served before prompts under way, where vLLM serves both in
/// the order of their admission. Without a `long_prefill_token_threshold` there is no difference, as at
/// most one prompt is under way, and it was admitted last.
///
/// Mirrors `Scheduler.schedule` of vLLM 0.10 to 0.19 with prefix caching off:
/// <https://github.com/vllm-project/vllm/blob/v0.10.0/vllm/v1/core/sched/scheduler.py>.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Chunked {
    /// Most tokens a step computes, decodes and prompts together (tokens). At least `max_num_seqs`.
    /// Default 8192, as vLLM serves on H100-class devices. vLLM `--max-num-batched-tokens`,
    /// SGLang `--chunked-prefill-size`.
    pub max_num_batched_tokens: u32,
    /// Most tokens of one prompt that a step computes (tokens); 0 for no limit of its own.
    /// Default 0. vLLM `--long-prefill-token-threshold`.
    pub long_prefill_token_threshold: u32,
}

impl Default for Chunked {
    fn default() -> Self {
        Self { max_num_batched_tokens: 8192, long_prefill_token_threshold: 0 }
    }
}

impl Chunked {
    fn chunk(self, left: u32, budget: u32) -> u32 {
        let cap =
            if self.long_prefill_token_threshold == 0 { u32::MAX } else { self.long_prefill_token_threshold };
        left.min(cap).min(budget)
    }
}

impl BatchingPolicy for Chunked {
    fn form(&mut self, scheduler: &mut Scheduler) {
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
        while !preempted && budget > 0 {
            let Some(prompt) = scheduler.next_waiting() else { break };
            let chunk = self.chunk(prompt, budget);
            if !scheduler.admit(chunk, Reserve::Chunk) {
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
}
