//! `orca_replica_scheduler.py`.

use mist::clients::llm::{BatchingPolicy, Reserve, Scheduler};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Every batch has all decodes and as many whole prompts as find room; each request holds the blocks of
/// the longest there may be.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Orca {
    /// Tokens of the longest request. Vidur `max_tokens`.
    pub max_tokens: u32,
    /// Most requests that are admitted. Vidur `batch_size_cap`, or its request slots if they are fewer.
    pub batch_size_cap: u32,
}

impl BatchingPolicy for Orca {
    fn form(&mut self, scheduler: &mut Scheduler) {
        scheduler.decode_all();
        let each = u64::from(self.max_tokens / scheduler.kv().block_size());
        while let Some(prompt) = scheduler.next_waiting() {
            let room = (u64::from(scheduler.running()) + 1) * each <= scheduler.kv().total();
            if !room || !scheduler.admit(prompt, Reserve::Tokens(self.max_tokens)) {
                break;
            }
        }
    }

    fn max_step_tokens(&self) -> u32 {
        self.max_tokens.max(self.batch_size_cap)
    }
}
