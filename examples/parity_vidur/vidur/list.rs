//! The list of admitted requests from which batches are made.

use std::collections::VecDeque;

use mist::clients::llm::{Back, Scheduler, SeqId};

/// A request on a client, by its number in the order of arrival: names of sequences are used again.
#[derive(Clone, Copy)]
pub struct Member {
    pub id: SeqId,
    arrival: u64,
}

/// What the reference calls its preempted requests: all that are admitted and not in a batch that runs.
#[derive(Clone, Default)]
pub struct List {
    /// Those that the last batch left out.
    left: VecDeque<Member>,
    /// The last batch.
    batch: Vec<Member>,
}

impl List {
    /// The list now that the last batch has run: who was left out, then who was in it and is not done.
    pub fn take(&mut self, scheduler: &Scheduler) -> VecDeque<Member> {
        let mut list = std::mem::take(&mut self.left);
        list.extend(self.batch.drain(..).filter(|member| scheduler.runs(member.id, member.arrival)));
        list
    }

    /// A batch begins without `left`.
    pub fn run(&mut self, left: VecDeque<Member>, batch: Vec<Member>) {
        (self.left, self.batch) = (left, batch);
    }

    /// How many were in the last batch.
    pub fn last_batch(&self) -> usize {
        self.batch.len()
    }
}

/// The request at the head of the queue, which is about to be admitted.
pub fn head(scheduler: &Scheduler) -> Option<Member> {
    scheduler.head().map(|id| Member { id, arrival: scheduler.arrival(id) })
}

/// Sorts by time of arrival; who came at the same time stays in order.
pub fn sort(list: &mut VecDeque<Member>, scheduler: &Scheduler) {
    list.make_contiguous().sort_by_key(|member| scheduler.arrived(member.id));
}

/// Finds a block for `request`, which decodes: at least one must be free, whether it opens one or not. Until
/// that is so, the last of `others`, those not yet considered, has to start over; when there are none,
/// `request` itself, and then `false`. `opened` counts blocks that this batch's decodes open.
pub fn may_decode(
    request: Member,
    others: &mut VecDeque<Member>,
    opened: &mut u64,
    scheduler: &mut Scheduler,
) -> bool {
    while scheduler.kv().free() <= *opened {
        let Some(victim) = others.pop_back() else {
            scheduler.preempt_cutting_prompt(request.id, Back::Head);
            return false;
        };
        scheduler.preempt_cutting_prompt(victim.id, Back::Head);
    }
    let full = scheduler.stored(request.id).is_multiple_of(scheduler.kv().block_size());
    *opened += u64::from(full);
    true
}

/// Blocks that admission leaves free.
pub fn watermark(fraction: f64, scheduler: &Scheduler) -> u64 {
    (fraction * scheduler.kv().total() as f64) as u64
}
