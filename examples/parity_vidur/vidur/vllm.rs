//! `vllm_replica_scheduler.py`.

use mist::clients::llm::{BatchingPolicy, Reserve, Scheduler};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::list::{self, List};

/// Whole prompts in batches of their own, before anything decodes; their padded size is limited.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vllm {
    /// Most tokens of a batch of prompts, each counted as long as the longest. Vidur `max_tokens_in_batch`.
    pub max_tokens_in_batch: u32,
    /// Most requests that are admitted. Vidur `batch_size_cap`.
    pub batch_size_cap: u32,
    /// Fraction of the blocks that admission leaves free. Vidur `watermark_blocks_fraction`.
    pub watermark: f64,
    #[serde(skip)]
    list: List,
}

impl BatchingPolicy for Vllm {
    fn form(&mut self, scheduler: &mut Scheduler) {
        let mut list = self.list.take(scheduler);
        let mut batch = Vec::new();
        let watermark = list::watermark(self.watermark, scheduler);
        let mut longest = 0;
        while let (Some(request), Some(prompt)) = (list::head(scheduler), scheduler.next_waiting()) {
            longest = longest.max(u64::from(prompt));
            let padded = longest * (batch.len() as u64 + 1);
            let fits = padded <= self.max_tokens_in_batch.into();
            if !fits || !scheduler.admit_leaving(prompt, Reserve::Prompt, watermark) {
                break;
            }
            batch.push(request);
        }
        if batch.is_empty() {
            list::sort(&mut list, scheduler);
            let mut opened = 0;
            while let Some(request) = list.pop_front() {
                if list::may_decode(request, &mut list, &mut opened, scheduler) {
                    batch.push(request);
                }
            }
            scheduler.decode_all();
        }
        self.list.run(list, batch);
    }

    fn max_step_tokens(&self) -> u32 {
        self.max_tokens_in_batch.max(self.batch_size_cap)
    }
}
