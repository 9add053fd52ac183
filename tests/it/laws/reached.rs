//! What random scenarios came to together, to be sure that they reach the corners.

use std::collections::BTreeMap;

use mist::clients::Usage;
use mist::clients::llm::LlmClient;
use mist::engine::Sim;
use mist::metrics::Summary;

use crate::scenarios::Case;
use crate::scenarios::policies::{Kv, Mode, modes};

/// Sums over runs.
#[derive(Default)]
pub struct Reached {
    pub runs: u64,
    completed: u64,
    rejected: BTreeMap<&'static str, u64>,
    in_flight: u64,
    conversations: u64,
    unsent: u64,
    modes: BTreeMap<Mode, Tally>,
}

/// What clients that schedule alike came to.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    steps: u64,
    preemptions: u64,
    swapped: u64,
    hits: u64,
    evicted: u64,
}

impl Tally {
    fn of(usage: &Usage) -> Self {
        let prefix = usage.prefix.unwrap_or_default();
        Self {
            steps: usage.steps,
            preemptions: usage.preemptions,
            swapped: usage.swapped.unwrap_or_default().preemptions,
            hits: prefix.hits,
            evicted: prefix.evicted_blocks,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            steps: self.steps + other.steps,
            preemptions: self.preemptions + other.preemptions,
            swapped: self.swapped + other.swapped,
            hits: self.hits + other.hits,
            evicted: self.evicted + other.evicted,
        }
    }
}

impl Reached {
    /// Adds what a run of `case` left in its world.
    pub fn add_clients(&mut self, case: &Case, sim: &mut Sim) {
        let modes = case.modes();
        let world = sim.world_mut();
        for (client, usage) in world.query::<(&LlmClient, &Usage)>().iter(world) {
            let sum = self.modes.entry(modes[client.index() as usize]).or_default();
            *sum = sum.plus(Tally::of(usage));
        }
    }

    /// Adds the summary of a run.
    pub fn add(&mut self, summary: &Summary) {
        self.runs += 1;
        self.completed += summary.requests.completed;
        self.in_flight += summary.requests.in_flight;
        let sessions = summary.sessions.unwrap_or_default();
        self.conversations += sessions.begun;
        self.unsent += sessions.unsent_turns;
        for (reason, count) in &summary.requests.rejected_by_reason {
            *self.rejected.entry(reason).or_default() += count;
        }
    }

    /// 4,000 runs reach every way to schedule, and with each what can happen with it.
    pub fn check(&self) {
        let Self { completed, rejected, in_flight, conversations, unsent, .. } = self;
        assert!(*completed > 20_000, "{completed} completed");
        assert!(*in_flight > 2_000, "{in_flight} in flight at horizons");
        assert!(*conversations > 2_000 && *unsent > 200, "{conversations} begun, {unsent} turns unsent");
        for reason in ["context_length", "kv_capacity", "prompt_too_long", "empty_prompt", "empty_output"] {
            assert!(rejected.get(reason).is_some_and(|count| *count > 20), "{reason}: {rejected:?}");
        }
        for mode in modes() {
            let steps = self.modes.get(&mode).map_or(0, |tally| tally.steps);
            assert!(steps > 0, "nothing was scheduled with {mode:?}");
        }
        self.check_each(|(batching, _, kv)| (batching.preempts(), kv, format!("{batching:?}")));
        self.check_each(|(_, packing, kv)| (true, kv, format!("{packing:?}")));
    }

    /// The same of clients that have a policy in common, which is named beside whether it preempts.
    fn check_each(&self, policy: impl Fn(Mode) -> (bool, Kv, String)) {
        let mut sums = BTreeMap::<(bool, Kv, String), Tally>::new();
        for (mode, tally) in &self.modes {
            let sum = sums.entry(policy(*mode)).or_default();
            *sum = sum.plus(*tally);
        }
        let mut short = Vec::new();
        for ((preempts, kv, name), tally) in sums {
            let Tally { steps, preemptions, swapped, hits, evicted } = tally;
            let enough = [
                steps > 1_000,
                if preempts { preemptions > 20 } else { preemptions == 0 },
                kv != Kv::Swap || swapped > 20,
                !kv.caches() || hits > 100,
                !kv.caches() || evicted > 100,
            ];
            if enough != [true; 5] {
                short.push(format!("{name}, {kv:?}: {tally:?}"));
            }
        }
        assert!(short.is_empty(), "{short:#?}");
    }
}
