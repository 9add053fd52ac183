//! What a client did with its time and its memory, in integers so that the order of events cannot matter.

use bevy_ecs::component::Component;

use super::llm::SwapTally;
use crate::memory::prefix::PrefixTally;
use crate::runtime::Bound;
use crate::units::{SimSpan, SimTime};

/// Running totals of one client.
#[derive(Component, Clone, Debug, Default)]
pub struct Usage {
    /// Steps executed.
    pub steps: u64,
    /// Time in steps, by what bound each; index with `Bound as usize`.
    pub busy: [SimSpan; Bound::ALL.len()],
    /// Time in which a front end handed answers on.
    pub streaming: SimSpan,
    /// When the last step ended.
    pub last_step_end: SimTime,
    /// Prompt tokens computed, recomputation after preemption included.
    pub prefill_tokens: u64,
    /// Tokens decoded, one a sequence and decode step.
    pub decode_tokens: u64,
    /// Σ sequences in the step over steps: divided by `steps`, the mean batch size.
    pub batch_seqs: u64,
    /// Whether the client serves several models by turns.
    pub shared: bool,
    /// Changes of models.
    pub swaps: u64,
    /// Time in changes of models, which is bound by the host and part of `busy`.
    pub swapping: SimSpan,
    /// Sequences preempted for want of KV blocks, by recomputation and by swap.
    pub preemptions: u64,
    /// What was swapped to the host; none if the client does not.
    pub swapped: Option<SwapTally>,
    /// KV that other clients took over from here (bytes), counted when it sets out.
    pub kv_sent_bytes: u64,
    /// KV that came from other clients (bytes), counted when it lands.
    pub kv_received_bytes: u64,
    /// What came of prefix caching; none if the client does not.
    pub prefix: Option<PrefixTally>,
    /// KV blocks the client has.
    pub kv_blocks: u64,
    /// Most KV blocks in use at once.
    pub kv_blocks_peak: u64,
    /// Σ KV blocks in use × time [block·ns], over steps.
    pub kv_block_ns: u128,
}

impl Usage {
    /// Time in steps, whatever bound them.
    pub fn busy_total(&self) -> SimSpan {
        self.busy.iter().fold(SimSpan::ZERO, |sum, span| sum + *span)
    }

    /// Mean number of sequences in a step; zero before the first.
    pub fn mean_batch(&self) -> f64 {
        if self.steps == 0 { 0.0 } else { self.batch_seqs as f64 / self.steps as f64 }
    }
}
