//! Continuous batching: prompts go first, in steps of their own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BatchingPolicy, budget, watermark};
use crate::clients::llm::scheduler::{Reserve, Scheduler};
use crate::memory::BlockPool;
use crate::request::Rejection;

/// Continuous batching, as vLLM v0 schedules without chunked prefill (Orca's iteration-level
/// batching with paged KV): whole prompts in steps of their own, before anything decodes; otherwise
/// every running sequence decodes one token.
///
/// A prompt is admitted when blocks for all of it are free and a watermark of 1 % stays so; one that would
/// not leave the watermark of an empty cache, or exceeds the budget, is turned away. When a
/// decoding sequence finds no block, the one admitted last is preempted, and recomputed later or swapped out as
/// `preemption` says.
///
/// Mirrors `_schedule_default` of vLLM 0.6:
/// <https://github.com/vllm-project/vllm/blob/v0.6.6/vllm/core/scheduler.py>. One deviation: a sequence that
/// was preempted and has grown beyond the budget or the watermark by then is let in once nothing else runs,
/// where vLLM ends it with what it has generated. Left out: `--scheduler-delay-factor`, and
/// preempting for the sake of more urgent requests.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Continuous {
    /// Most prompt tokens in a step (tokens); a longer prompt is rejected.
    /// Default 8192. vLLM v0 `--max-num-batched-tokens`.
    #[serde(deserialize_with = "budget")]
    #[schemars(range(min = 1))]
    pub max_num_batched_tokens: u32,
    /// Fraction of all blocks that admission leaves free, 0 to below 1. Default 0.01. vLLM v0 `watermark`.
    #[serde(deserialize_with = "watermark")]
    pub watermark: f64,
}

impl Default for Continuous {
    fn default() -> Self {
        Self { max_num_batched_tokens: 8192, watermark: 0.01 }
    }
}

impl Continuous {
    fn spare(self, kv: &BlockPool) -> u64 {
        (self.watermark * kv.total() as f64) as u64
    }
}

impl BatchingPolicy for Continuous {
    fn form(&mut self, scheduler: &mut Scheduler) {
        let watermark = self.spare(scheduler.kv());
        let mut budget = self.max_num_batched_tokens;
        while let Some(prompt) = scheduler.next_whole(budget, self.max_num_batched_tokens) {
            // With nothing running there is nobody the watermark could protect.
            let spare = if scheduler.running() == 0 { 0 } else { watermark };
            if !scheduler.admit_leaving(prompt, Reserve::Prompt, spare) {
                break;
            }
            budget = budget.saturating_sub(prompt);
        }
        if scheduler.step_tokens() == 0 && !scheduler.decode_all() {
            scheduler.repeat_decodes();
        }
    }

    fn max_step_tokens(&self) -> u32 {
        self.max_num_batched_tokens
    }

    fn longest_prompt(&self) -> Option<u32> {
        Some(self.max_num_batched_tokens)
    }

    fn watermark(&self, kv: &BlockPool) -> u64 {
        self.spare(kv)
    }

    fn refuses(&self, prompt: u32, kv: &BlockPool) -> Option<Rejection> {
        if prompt > self.max_num_batched_tokens {
            return Some(Rejection::PromptTooLong);
        }
        let needs = u64::from(kv.blocks_of(0, 0, prompt)) + self.spare(kv);
        (needs > kv.of_one_copy()).then_some(Rejection::KvCapacity)
    }
}
