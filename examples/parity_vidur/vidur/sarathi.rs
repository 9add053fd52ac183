//! `sarathi_replica_scheduler.py`.

use std::collections::VecDeque;

use mist::clients::llm::{BatchingPolicy, Reserve, Scheduler};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::list::{self, List};

/// Decodes, then prompts under way, then new ones, within a budget of tokens that decodes may exceed.
/// All blocks of a prompt are taken at its admission.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sarathi {
    /// Most tokens of a batch, unless more decode. Vidur `chunk_size`.
    pub chunk_size: u32,
    /// Most requests that are admitted. Vidur `batch_size_cap`.
    pub batch_size_cap: u32,
    /// Fraction of the blocks that admission leaves free. Vidur `watermark_blocks_fraction`.
    pub watermark: f64,
    #[serde(skip)]
    list: List,
}

impl BatchingPolicy for Sarathi {
    fn form(&mut self, scheduler: &mut Scheduler) {
        let mut list = self.list.take(scheduler);
        let (mut batch, mut under_way, mut opened) = (Vec::new(), Vec::new(), 0);
        while let Some(request) = list.pop_front() {
            if scheduler.prefill_of(request.id).is_some() {
                under_way.push(request);
            } else if list::may_decode(request, &mut list, &mut opened, scheduler) {
                batch.push(request);
            }
        }
        scheduler.decode_all();

        let mut skipped = VecDeque::new();
        for request in under_way {
            let Some((at, left)) = scheduler.prefill_of(request.id) else { continue };
            let chunk = self.chunk(left, scheduler);
            if chunk > 0 && scheduler.continue_prefill(at, chunk) {
                batch.push(request);
            } else {
                skipped.push_back(request);
            }
        }
        list::sort(&mut skipped, scheduler);

        let watermark = list::watermark(self.watermark, scheduler);
        while let (Some(request), Some(prompt)) = (list::head(scheduler), scheduler.next_waiting()) {
            let chunk = self.chunk(prompt, scheduler);
            if chunk == 0 || !scheduler.admit_leaving(chunk, Reserve::Prompt, watermark) {
                break;
            }
            batch.push(request);
        }
        self.list.run(skipped, batch);
    }

    fn max_step_tokens(&self) -> u32 {
        self.chunk_size.max(self.batch_size_cap)
    }
}

impl Sarathi {
    fn chunk(&self, left: u32, scheduler: &Scheduler) -> u32 {
        left.min(self.chunk_size.saturating_sub(scheduler.step_tokens()))
    }
}
