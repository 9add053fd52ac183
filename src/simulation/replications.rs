//! Independent replications of a scenario: the same deployment and workload under different random numbers.
//!
//! ```text
//!  scenario, count ─▶ seeds ─┬─▶ world ─▶ Outcome 0 ─┐
//!                            ├─▶ world ─▶ Outcome 1 ─┼─▶ in order of their number, whoever ended first
//!                            └─▶ …  (one a thread)  ─┘
//! ```
//!
//! *Seeds.* Replication 0 has the seed of the scenario, so that its outcome is that of a plain run. The seed of
//! replication r > 0 is the first draw of the stream (seed of the scenario, `replication`, r) of
//! [`Streams`], its upper 53 bits, which any reader of JSON takes whole. It depends on nothing else: more
//! replications add to those there were, and each can be run again alone with `--set seed=…`.
//!
//! *Threads.* Those of the current rayon pool, by default one a core, take replications in order; every world
//! lives and dies on one thread and shares nothing, so neither their number nor their pace is seen in outcomes.
//!
//! *Failures.* The first replication, by number, that fails ends those behind it and is what is reported.
//!
//! Left out: variance reduction, and removal of the start-up transient; choose a run long enough for it not to matter.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use rand::RngExt;
use rayon::iter::{ParallelBridge, ParallelIterator};

use super::{Outcome, Run, RunError, Simulation};
use crate::engine::Streams;
use crate::scenario::{Document, Problem, Scenario};

/// Replications of a scenario, ready to run.
///
/// ```no_run
/// use mist::simulation::Simulation;
/// use mist::stats::Interval;
///
/// let outcomes = Simulation::new().replicate("scenarios/quickstart.ron", 20)?.run()?;
/// let rates: Vec<f64> = outcomes.iter().map(|one| one.summary.throughput.requests_per_s).collect();
/// let rate = Interval::of(&rates).expect("there are 20");
/// println!("{:.2} requests/s, 95 %: {:.2?} to {:.2?}", rate.mean, rate.ci_low, rate.ci_high);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Replications<'a> {
    simulation: &'a Simulation,
    document: Document,
    notes: Vec<Problem>,
    count: u32,
}

/// How far replications are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicationsProgress {
    /// Replications that ran to their end.
    pub completed: u32,
    /// Replications in all.
    pub count: u32,
}

/// What the threads tell each other.
struct Tally {
    completed: AtomicU32,
    first_failure: AtomicU32,
    stopped: AtomicBool,
}

impl<'a> Replications<'a> {
    /// Of the scenario of `first`, which was found sound.
    pub(super) fn new(simulation: &'a Simulation, first: Run, count: u32) -> Self {
        let notes = first.notes();
        Self { simulation, document: first.document, notes, count }
    }

    /// The scenario, with every default, as replication 0 runs it.
    pub fn scenario(&self) -> &Scenario {
        &self.document.scenario
    }

    /// What whoever reads the results should know, beside the field it is about; no faults.
    pub fn notes(&self) -> &[Problem] {
        &self.notes
    }

    /// The seed of each replication.
    pub fn seeds(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.count).map(|at| self.seed(at))
    }

    fn seed(&self, at: u32) -> u64 {
        let seed = self.document.scenario.seed;
        match at {
            0 => seed,
            at => Streams::new(seed).stream("replication", at.into()).random::<u64>() >> 11,
        }
    }

    /// Runs all of them; outcomes in the order of their number.
    ///
    /// # Errors
    /// One of them fails.
    pub fn run(self) -> Result<Vec<Outcome>, RunError> {
        self.run_with(|_| ControlFlow::Continue(()))
    }

    /// Runs all of them; `watch` is shown the progress every so often, by any thread, and may stop them all.
    ///
    /// # Errors
    /// One of them fails, or `watch` stops them.
    pub fn run_with(
        self,
        watch: impl Fn(ReplicationsProgress) -> ControlFlow<()> + Sync,
    ) -> Result<Vec<Outcome>, RunError> {
        let tally = Tally {
            completed: AtomicU32::new(0),
            first_failure: AtomicU32::new(u32::MAX),
            stopped: AtomicBool::new(false),
        };
        let look = || {
            let completed = tally.completed.load(Relaxed);
            let stop = watch(ReplicationsProgress { completed, count: self.count });
            if stop.is_break() {
                tally.stopped.store(true, Relaxed);
            }
            stop
        };
        let ended = |at: u32| {
            if at > tally.first_failure.load(Relaxed) {
                return None;
            }
            let outcome = self.one(at, &tally, look);
            if outcome.is_err() {
                tally.first_failure.fetch_min(at, Relaxed);
            }
            Some((at, outcome))
        };
        // The bridge hands replications out in order, so those before a failure have at least begun.
        let mut outcomes: Vec<_> = (0..self.count).par_bridge().filter_map(ended).collect();
        outcomes.sort_unstable_by_key(|(at, _)| *at);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// One replication, from nothing to its outcome.
    fn one(&self, at: u32, tally: &Tally, look: impl Fn() -> ControlFlow<()>) -> Result<Outcome, RunError> {
        let over = || tally.stopped.load(Relaxed) || at > tally.first_failure.load(Relaxed);
        let go_on = || if over() { ControlFlow::Break(()) } else { look() };
        if go_on().is_break() {
            return Err(RunError::Stopped);
        }
        let run = self.simulation.reseeded(&self.document, self.seed(at))?;
        let outcome = run.run_with(None, |_| go_on())?;
        tally.completed.fetch_add(1, Relaxed);
        // Shown even if it was the last.
        if look().is_break() { Err(RunError::Stopped) } else { Ok(outcome) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::sample;

    fn replications(simulation: &Simulation, count: u32) -> Replications<'_> {
        let text = sample::with("requests: 1000", "requests: 40");
        simulation.replicate_text(text, "sample.ron", count).unwrap()
    }

    #[test]
    fn seeds_begin_with_the_scenarios_and_do_not_depend_on_the_count() {
        let simulation = Simulation::new();
        let many: Vec<u64> = replications(&simulation, 1_000).seeds().collect();
        let few: Vec<u64> = replications(&simulation, 3).seeds().collect();
        assert_eq!((many[0], &many[..3]), (42, &few[..]));
        assert!(many.iter().all(|seed| *seed < 1 << 53));
        let distinct: std::collections::BTreeSet<_> = many.iter().collect();
        assert_eq!(distinct.len(), 1_000);
    }

    #[test]
    fn watching_shows_every_end_and_can_stop_all() {
        let simulation = Simulation::new();
        let most = AtomicU32::new(0);
        let watch = |progress: ReplicationsProgress| {
            assert_eq!(progress.count, 3);
            most.fetch_max(progress.completed, Relaxed);
            ControlFlow::Continue(())
        };
        let outcomes = replications(&simulation, 3).run_with(watch).unwrap();
        assert_eq!((outcomes.len(), most.into_inner()), (3, 3));
        let begun = AtomicU32::new(0);
        let stopped = replications(&simulation, 1_000_000).run_with(|progress| {
            begun.fetch_add(1, Relaxed);
            if progress.completed >= 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(stopped, Err(RunError::Stopped)));
        assert!(begun.into_inner() < 1_000);
    }
}
