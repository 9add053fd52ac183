//! `faster_transformer_replica_scheduler.py`.

use std::collections::VecDeque;

use mist::clients::llm::{BatchingPolicy, Reserve, Scheduler};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::list::{self, List};

/// Static batches: nobody joins before all are done; each request holds the blocks of the longest there
/// may be. Who is done before the others never gives them back, so that a replica serves so many
/// requests and then no more.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FasterTransformer {
    /// Tokens of the longest request. Vidur `max_tokens`.
    pub max_tokens: u32,
    /// Most requests of a batch. Vidur `batch_size_cap`, or its request slots if they are fewer.
    pub batch_size_cap: u32,
    #[serde(skip)]
    list: List,
    /// Requests whose blocks are lost.
    #[serde(skip)]
    lost: u64,
    /// Requests of the batch when it began.
    #[serde(skip)]
    begun: u64,
}

impl BatchingPolicy for FasterTransformer {
    fn form(&mut self, scheduler: &mut Scheduler) {
        let last = self.list.last_batch() as u64;
        let mut batch: Vec<_> = self.list.take(scheduler).into();
        if batch.is_empty() {
            self.lost += self.begun - last;
            let each = u64::from(self.max_tokens / scheduler.kv().block_size());
            while let (Some(request), Some(prompt)) = (list::head(scheduler), scheduler.next_waiting()) {
                let room = (self.lost + batch.len() as u64 + 1) * each <= scheduler.kv().total();
                if !room || !scheduler.admit(prompt, Reserve::Tokens(self.max_tokens)) {
                    break;
                }
                batch.push(request);
            }
            self.begun = batch.len() as u64;
        } else {
            scheduler.decode_all();
        }
        self.list.run(VecDeque::new(), batch);
    }

    fn max_step_tokens(&self) -> u32 {
        self.max_tokens.max(self.batch_size_cap)
    }
}
