//! Laws that every run keeps, on random small scenarios.

mod ledger;
mod reached;
mod sessions;
mod world;

use std::cell::RefCell;

use mist::metrics::RequestRecord;
use mist::simulation::Simulation;
use mist::units::SimTime;

use crate::scenarios::{Case, Rows, checked, on_random_cases, read};
use ledger::Ledger;
use reached::Reached;

/// 2,000 scenarios, each run to its end and once more up to a horizon; `MIST_CASES` says how many others.
#[test]
fn laws_hold_on_random_scenarios() {
    let reached = RefCell::new(Reached::default());
    let count = std::env::var("MIST_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(2_000);
    on_random_cases(count, |case| {
        let whole = keep_laws(case, None, &reached);
        let horizon = case.stop(&whole);
        let part = keep_laws(case, Some(horizon), &reached);
        let before: Vec<_> = whole.into_iter().filter(|row| row.done <= horizon).collect();
        assert_eq!(part, before, "the horizon changes the past");
    });
    let reached = reached.into_inner();
    assert_eq!(reached.runs, 2 * u64::from(count));
    if count >= 2_000 {
        reached.check();
    }
}

/// Runs the scenario and checks it at many instants, at its end, and in its summary.
fn keep_laws(case: &Case, horizon: Option<SimTime>, reached: &RefCell<Reached>) -> Vec<RequestRecord> {
    let text = case.ron("Checked()", horizon);
    let mut run = read(&Simulation::new().with(checked), &text);
    let rows = Rows::of(&mut run);
    let until = horizon.unwrap_or(SimTime::MAX);
    // A stretch of ticks between two looks, of ever different length; in some runs one tick.
    let mut stretch = 1;
    while run.sim().run_some(until, stretch).unwrap() {
        world::check(run.sim());
        stretch = if case.looks_at_every_tick() { 1 } else { stretch * 7 % 61 + 1 };
    }
    world::check(run.sim());
    let rows = rows.take();
    let ledger = Ledger::of(run.sim(), &rows, case.has_front_end());
    reached.borrow_mut().add_clients(case, run.sim());
    let outcome = run.run().unwrap();
    ledger.check(&outcome.summary, horizon, case.latency(), case.has_front_end());

    let sessions = outcome.summary.sessions.unwrap_or_default();
    assert!(sessions.ended_by_rejection <= sessions.unsent_turns);
    reached.borrow_mut().add(&outcome.summary);
    rows
}
