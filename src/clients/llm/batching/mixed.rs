//! Mixed batching: whole prompts first, decodes ride along.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BatchingPolicy, budget};
use crate::clients::llm::scheduler::{Reserve, Scheduler};
use crate::clients::llm::sequence::SeqId;

/// Mixed batching, as Splitwise's machines of the mixed pool do it: whole prompts go first, and those who
/// decode ride along in the same step as far as its budget reaches (§II-B of the paper).
///
/// Who does not find room in a step keeps its KV and waits; after `max_passes` times it goes before prompts.
/// A prompt beyond the budget is computed in a step with no other prompt. Prompts take their blocks when they
/// are admitted, and leave those that the decoding need next; when a decoding sequence finds none, the one
/// admitted last is preempted and recomputed later.
///
/// Mirrors the batching of Splitwise (Patel et al., ISCA 2024) as its simulator has it:
/// <https://github.com/Mutinifni/splitwise-sim/blob/main/instance.py>. Left out: that simulator's memory,
/// which knows how long an output will be and is not paged, and that it keeps a batch until something
/// finishes or joins.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Mixed {
    /// Most tokens a step computes, prompts and decodes together, but for a single longer prompt (tokens).
    /// At least `max_num_seqs`. Default 2048. splitwise-sim `max_batch_tokens`.
    #[serde(deserialize_with = "budget")]
    #[schemars(range(min = 1))]
    pub max_num_batched_tokens: u32,
    /// How often in a row a decoding sequence may be passed over; with 0 decodes go first, and a prompt
    /// beyond the budget waits until nobody decodes. Default 4. splitwise-sim
    /// `max_preemptions`.
    pub max_passes: u32,
    /// How often each sequence that decodes has been passed over in a row, by arrival.
    #[serde(skip)]
    passed_over: BTreeMap<u64, u32>,
}

impl Default for Mixed {
    fn default() -> Self {
        Self { max_num_batched_tokens: 2048, max_passes: 4, passed_over: BTreeMap::new() }
    }
}

impl Mixed {
    /// At most so many tokens in a step.
    pub fn new(max_num_batched_tokens: u32) -> Self {
        Self { max_num_batched_tokens, ..Self::default() }
    }

    /// Lets in prompts while `budget` lasts; what is left of it.
    fn admit(&self, scheduler: &mut Scheduler, mut budget: u32) -> u32 {
        let nobody_is_urgent = budget == self.max_num_batched_tokens;
        while let Some(prompt) = scheduler.next_waiting() {
            let too_long = prompt > self.max_num_batched_tokens;
            let alone = too_long && scheduler.step_tokens() == 0 && nobody_is_urgent;
            let next = scheduler.decode_growth();
            if prompt > budget && !alone || !scheduler.admit_leaving(prompt, Reserve::Prompt, next) {
                break;
            }
            budget = budget.saturating_sub(prompt);
        }
        budget
    }

    /// Takes those who decode beyond `room` out of the step, the latest first, but nobody who has been
    /// passed over too often.
    fn pass_over(&mut self, scheduler: &mut Scheduler, room: u32) {
        let decodes: Vec<(SeqId, u64)> = scheduler.decodes().map(|id| (id, scheduler.arrival(id))).collect();
        let passes = |arrival: &u64| self.passed_over.get(arrival).copied().unwrap_or(0);
        let (first, rest): (Vec<_>, Vec<_>) =
            decodes.into_iter().partition(|(_, arrival)| passes(arrival) >= self.max_passes);
        let room = (room as usize).saturating_sub(first.len());
        let mut passed_over = BTreeMap::new();
        for (id, arrival) in rest.into_iter().skip(room) {
            passed_over.insert(arrival, passes(&arrival) + 1);
            scheduler.pause(id);
        }
        self.passed_over = passed_over;
    }
}

impl BatchingPolicy for Mixed {
    fn form(&mut self, scheduler: &mut Scheduler) {
        scheduler.resume_all();
        let nobody_was_passed_over = self.passed_over.is_empty();
        let urgent = match self.max_passes {
            0 => scheduler.decoding(),
            most => self.passed_over.values().filter(|passes| **passes >= most).count() as u32,
        };
        let room = self.admit(scheduler, self.max_num_batched_tokens.saturating_sub(urgent)) + urgent;
        if scheduler.decoding() > room {
            self.pass_over(scheduler, room);
        } else {
            self.passed_over.clear();
        }
        let preempted = scheduler.decode_all();
        // Those who were passed over may have kept a prompt out that comes in next time.
        if !preempted && nobody_was_passed_over && self.passed_over.is_empty() {
            scheduler.repeat_decodes();
        }
    }

    fn max_step_tokens(&self) -> u32 {
        self.max_num_batched_tokens
    }
}
