//! Iteration-level batching of whole prompts and decodes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BatchingPolicy, budget};
use crate::clients::llm::scheduler::{Reserve, Scheduler};

/// Iteration-level batching, as Orca schedules: in every step all that run, and whole prompts of those who
/// have come since, in one batch; who is done leaves at once.
///
/// KV is reserved for the longest request there may be, so that nothing is ever preempted; who finds no room
/// waits, and everybody behind it.
///
/// Mirrors algorithm 1 of Orca (Yu et al., OSDI 2022, §4.2:
/// <https://www.usenix.org/conference/osdi22/presentation/yu>), which has no public source; its batch size
/// is `max_num_seqs`. Orca's own limit on a batch is that size alone; `max_num_batched_tokens` is there because
/// memory for activations must have a bound. Left out: pipelining of batches over stages.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Orca {
    /// Most tokens a step computes, decodes and prompts together (tokens); a prompt that is longer alone is
    /// rejected. At least `max_num_seqs`. Default 8192.
    #[serde(deserialize_with = "budget")]
    #[schemars(range(min = 1))]
    pub max_num_batched_tokens: u32,
    /// Tokens for which KV is reserved for each request, prompt and answer together (tokens); all of memory
    /// where that is less. A request that is longer holds what it needs. Default 2048. Orca `max_tokens`.
    pub max_request_tokens: u32,
}

impl Default for Orca {
    fn default() -> Self {
        Self { max_num_batched_tokens: 8192, max_request_tokens: 2048 }
    }
}

impl BatchingPolicy for Orca {
    fn form(&mut self, scheduler: &mut Scheduler) {
        scheduler.decode_all();
        let reserve = Reserve::at_most(self.max_request_tokens, scheduler.kv());
        let mut budget = self.max_num_batched_tokens.saturating_sub(scheduler.step_tokens());
        while let Some(prompt) = scheduler.next_whole(budget, self.max_num_batched_tokens) {
            if !scheduler.admit(prompt, reserve) {
                break;
            }
            budget = budget.saturating_sub(prompt);
        }
        scheduler.repeat_decodes();
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
}
