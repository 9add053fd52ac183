//! Static batching: a batch runs to its end before the next one begins.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BatchingPolicy, budget};
use crate::clients::llm::scheduler::{Reserve, Scheduler};

/// Static batching, as `FasterTransformer` behind a server that batches requests (Triton): whoever waits when
/// nothing runs makes up a batch, which is served to the end of its longest answer before anybody else is
/// let in (§II-B of the paper).
///
/// KV is reserved for the longest request there may be, so that nothing is ever preempted. The size of a
/// batch is limited by `max_num_seqs`, by the prompts' tokens, and by memory.
///
/// Mirrors `FasterTransformer` 5.3, whose buffers are laid out for a whole batch before it starts:
/// <https://github.com/NVIDIA/FasterTransformer/blob/release/v5.3_tag/src/fastertransformer/models/multi_gpu_gpt/ParallelGpt.cc>.
/// Left out: padding. There prompts are padded to the longest and finished answers are computed on until
/// the last one is done, which a step has no shape for; so steps of uneven batches are cheaper here. And a
/// request is done with its own last token, as when tokens are streamed. Waiting for a batch to fill
/// (Triton's `max_queue_delay_microseconds`) is left out too.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Static {
    /// Most prompt tokens in a batch (tokens); a longer prompt is rejected. At least `max_num_seqs`.
    /// Default 8192. `FasterTransformer`'s batch size times `max_input_len`.
    #[serde(deserialize_with = "budget")]
    #[schemars(range(min = 1))]
    pub max_num_batched_tokens: u32,
    /// Tokens for which KV is reserved for each request, prompt and answer together (tokens); all of memory
    /// where that is less. A request that is longer holds what it needs. Default 2048.
    /// `FasterTransformer` `max_seq_len`.
    pub max_request_tokens: u32,
}

impl Default for Static {
    fn default() -> Self {
        Self { max_num_batched_tokens: 8192, max_request_tokens: 2048 }
    }
}

impl BatchingPolicy for Static {
    fn form(&mut self, scheduler: &mut Scheduler) {
        if scheduler.running() > 0 {
            scheduler.decode_all();
            scheduler.repeat_decodes();
            return;
        }
        let reserve = Reserve::at_most(self.max_request_tokens, scheduler.kv());
        let mut budget = self.max_num_batched_tokens;
        while let Some(prompt) = scheduler.next_whole(budget, self.max_num_batched_tokens) {
            if !scheduler.admit(prompt, reserve) {
                break;
            }
            budget = budget.saturating_sub(prompt);
        }
    }

    fn max_step_tokens(&self) -> u32 {
        self.max_num_batched_tokens
    }

    fn preempts(&self) -> bool {
        false
    }

    fn longest_prompt(&self) -> Option<u32> {
        Some(self.max_num_batched_tokens)
    }

    fn arrival_interrupts(&mut self, _: u32, scheduler: &Scheduler) -> bool {
        scheduler.running() == 0
    }
}
