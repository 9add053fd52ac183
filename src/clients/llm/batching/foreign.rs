//! A scheduler of another simulator, ported roughly, to show that the batching interface holds it: the
//! instance of splitwise-sim (<https://github.com/Mutinifni/splitwise-sim>) with prompt and decode on one
//! machine. It must serve random jobs to the end, leave no block behind, and not care about strides.
//!
//! Not held: the order of its queue where it follows from a sort key that changes while queued.
//! Vidur's schedulers are in `examples/parity_vidur`.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::BatchingPolicy;
use crate::clients::llm::scheduler::{Reserve, Scheduler};
use crate::clients::llm::sequence::{Landed, SeqId};
use crate::clients::llm::tests::{Case, Outcome, cases, run};
use crate::request::pipeline::Work;
use crate::stats::TokenGaps;
use crate::units::SimTime;

/// Whole prompts and decodes within a token budget. Decodes squeezed out keep their KV and count how
/// often; from a limit on they go first. The choice stands until something finishes, a prompt was in
/// the step, or an arrival asks for a new one, which a prompt beyond the budget does not.
struct Splitwise {
    max_batch_size: u32,
    max_batch_tokens: u32,
    max_preemptions: u32,
    /// How often each sequence here was passed over, by arrival.
    passed_over: BTreeMap<u64, u32>,
    /// Whose decode has begun, with all its memory, by arrival.
    begun: BTreeSet<u64>,
    chosen: u32,
    had_prompt: bool,
    asked: bool,
}

/// What is left of a step's budget; the first always fits.
struct Room {
    tokens: u32,
    seqs: u32,
    untouched: bool,
}

impl Room {
    const fn has(&self, tokens: u32) -> bool {
        self.seqs > 0 && (tokens <= self.tokens || self.untouched)
    }

    const fn take(&mut self, tokens: u32) {
        self.seqs -= 1;
        self.tokens = self.tokens.saturating_sub(tokens);
        self.untouched = false;
    }
}

impl Splitwise {
    fn new(max_batch_size: u32, max_batch_tokens: u32) -> Self {
        Self {
            max_batch_size,
            max_batch_tokens,
            max_preemptions: 4,
            passed_over: BTreeMap::new(),
            begun: BTreeSet::new(),
            chosen: 0,
            had_prompt: false,
            asked: false,
        }
    }

    fn select(&mut self, scheduler: &mut Scheduler) {
        let (paused, decodes): (Vec<_>, Vec<_>) =
            (scheduler.paused().collect(), scheduler.decodes().collect());
        let begun = |id: &SeqId| self.begun.contains(&scheduler.arrival(*id));
        let (mut preempted, unbegun): (Vec<_>, Vec<_>) = paused.into_iter().partition(begun);
        let (current, fresh): (Vec<_>, Vec<_>) = decodes.into_iter().partition(begun);
        let mut rest = [unbegun, fresh.clone()].concat();
        rest.sort_by_key(|id| scheduler.arrival(*id));
        let mut room = Room { tokens: self.max_batch_tokens, seqs: self.max_batch_size, untouched: true };

        let passed_over = |id: &SeqId| self.passed_over.get(&scheduler.arrival(*id)).copied().unwrap_or(0);
        let starved = preempted.iter().take_while(|id| passed_over(id) >= self.max_preemptions).count();
        for id in preempted.drain(..starved).collect::<Vec<_>>() {
            resume_if_room(id, &mut room, scheduler);
        }
        while let Some(prompt) = scheduler.next_waiting().filter(|prompt| room.has(*prompt)) {
            if !scheduler.admit(prompt, Reserve::Prompt) {
                break;
            }
            room.take(prompt);
        }
        for id in preempted {
            resume_if_room(id, &mut room, scheduler);
        }
        for id in current {
            if room.has(1) {
                room.take(1);
            } else {
                scheduler.pause(id);
            }
        }
        let mut blocked = false;
        for id in rest {
            let is_fresh = fresh.contains(&id);
            blocked = blocked || !room.has(1) || !scheduler.reserve_oracle_whole(id);
            if !blocked {
                room.take(1);
                self.begun.insert(scheduler.arrival(id));
            }
            match (is_fresh, blocked) {
                (true, true) => scheduler.pause(id),
                (false, false) => scheduler.resume(id),
                _ => {}
            }
        }
        if room.untouched {
            self.break_deadlock(scheduler);
        }
        self.count(scheduler);
    }

    /// Prompts hold all memory and no decode finds any: the original hangs; here the latest give way.
    fn break_deadlock(&mut self, scheduler: &mut Scheduler) {
        let mut paused: Vec<_> = scheduler.paused().collect();
        paused.sort_by_key(|id| scheduler.arrival(*id));
        let Some(oldest) = paused.first().copied() else { return };
        while !scheduler.reserve_oracle_whole(oldest) {
            scheduler.resume(paused.pop().expect("alone it fits"));
            scheduler.preempt_last();
        }
        scheduler.resume(oldest);
        self.begun.insert(scheduler.arrival(oldest));
    }

    /// Counts who was passed over, and forgets who has left.
    fn count(&mut self, scheduler: &Scheduler) {
        let here: BTreeSet<u64> =
            scheduler.paused().chain(scheduler.decodes()).map(|id| scheduler.arrival(id)).collect();
        self.begun.retain(|arrival| here.contains(arrival));
        self.passed_over.retain(|arrival, _| here.contains(arrival));
        for id in scheduler.paused() {
            *self.passed_over.entry(scheduler.arrival(id)).or_default() += 1;
        }
    }
}

fn resume_if_room(id: SeqId, room: &mut Room, scheduler: &mut Scheduler) {
    if room.has(1) {
        room.take(1);
        scheduler.resume(id);
    }
}

impl BatchingPolicy for Splitwise {
    fn form(&mut self, scheduler: &mut Scheduler) {
        let finished = scheduler.decoding() < self.chosen;
        if self.chosen == 0 || finished || self.had_prompt || self.asked {
            self.select(scheduler);
        }
        scheduler.decode_all();
        scheduler.repeat_decodes();
        self.chosen = scheduler.decoding();
        self.had_prompt = scheduler.prefill_left(0).is_some();
        self.asked = false;
    }

    fn max_step_tokens(&self) -> u32 {
        self.max_batch_tokens
    }

    fn arrival_interrupts(&mut self, prompt: u32, scheduler: &Scheduler) -> bool {
        let (tokens, decodes) = (scheduler.step_tokens(), scheduler.decoding());
        let joins = decodes < self.max_batch_size && tokens + prompt <= self.max_batch_tokens;
        let asks = joins || tokens.saturating_sub(decodes) + prompt <= self.max_batch_tokens;
        self.asked |= asks;
        asks
    }
}

/// Runs the jobs with and without strides, to the same end.
fn both<P: BatchingPolicy>(case: &Case, policy: impl Fn() -> P) -> Outcome {
    let (on, off) = (run(case, policy(), true), run(case, policy(), false));
    assert_eq!(on.times, off.times);
    assert_eq!(format!("{:?}", on.usage), format!("{:?}", off.usage));
    let prompts: u64 = case.jobs.iter().map(|job| u64::from(job.1)).sum();
    if on.preemptions.iter().all(|count| *count == 0) {
        assert_eq!(on.usage.prefill_tokens, prompts, "nothing is computed twice");
    }
    for ((first, end), job) in on.times.iter().zip(&case.jobs) {
        assert!(job.0 < *first && first <= end, "every job is done");
        assert_eq!(first == end, job.2 == 1);
    }
    on
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn splitwise_instance(case in cases(), max_batch_size in 1_u32..12) {
        both(&case, || Splitwise::new(max_batch_size, 64));
    }
}

/// Drives a scheduler step by step, for the looks of a single step.
fn land(scheduler: &mut Scheduler, now: u64) {
    let now = SimTime::from_ns(now);
    scheduler.land(now, now, true, &mut TokenGaps::default(), &mut Landed::default());
    scheduler.clear_step();
}

#[test]
fn splitwise_squeezes_decodes_out_and_lets_them_back_in() {
    let stage = bevy_ecs::entity::Entity::from_raw_u32(0).unwrap();
    let mut scheduler = Scheduler::new(crate::memory::BlockPool::new(1_000, 16), 100);
    let mut policy = Splitwise::new(100, 8);
    for _ in 0..4 {
        scheduler.enqueue(stage, &Work::new(2, 100), None, None, SimTime::ZERO);
    }
    policy.form(&mut scheduler);
    assert_eq!((scheduler.step_tokens(), scheduler.running()), (8, 4), "all prompts in one step");
    land(&mut scheduler, 1);
    policy.form(&mut scheduler);
    assert_eq!((scheduler.decoding(), scheduler.waiting()), (4, 0));
    land(&mut scheduler, 2);
    let used = scheduler.kv().used();

    assert!(!policy.arrival_interrupts(9, &scheduler), "beyond the budget it waits");
    assert!(policy.arrival_interrupts(7, &scheduler));
    scheduler.enqueue(stage, &Work::new(7, 100), None, None, SimTime::ZERO);
    policy.form(&mut scheduler);
    assert_eq!((scheduler.step_tokens(), scheduler.decoding()), (8, 1), "room for one decode");
    assert_eq!(scheduler.paused().count(), 3);
    assert_eq!(scheduler.kv().used(), used + 1, "they keep their blocks");
    assert_eq!(scheduler.preemptions(), 0);
    land(&mut scheduler, 3);
    policy.form(&mut scheduler);
    assert_eq!((scheduler.decoding(), scheduler.paused().count()), (5, 0), "all are back");
}
