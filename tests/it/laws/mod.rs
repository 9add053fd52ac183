//! Laws that every run keeps, on random small scenarios.

mod ledger;
mod sessions;
mod world;

use std::cell::RefCell;

use mist::metrics::RequestRecord;
use mist::simulation::Simulation;
use mist::units::SimTime;

use crate::scenarios::{Case, Rows, checked, on_random_cases, read};
use ledger::Ledger;

/// What the scenarios came to together, to be sure that they reach the corners.
#[derive(Default)]
struct Reached {
    runs: u64,
    completed: u64,
    rejected: std::collections::BTreeMap<&'static str, u64>,
    in_flight: u64,
    preemptions: u64,
    swapped: u64,
    conversations: u64,
    unsent: u64,
}

/// 2,000 scenarios, each run to its end and once more up to a horizon.
#[test]
fn laws_hold_on_random_scenarios() {
    let reached = RefCell::new(Reached::default());
    on_random_cases(2_000, |case| {
        let whole = keep_laws(case, None, &reached);
        let horizon = case.stop(&whole);
        let part = keep_laws(case, Some(horizon), &reached);
        let before: Vec<_> = whole.into_iter().filter(|row| row.done <= horizon).collect();
        assert_eq!(part, before, "the horizon changes the past");
    });
    let Reached { runs, completed, rejected, in_flight, preemptions, swapped, conversations, unsent } =
        reached.into_inner();
    assert_eq!(runs, 4_000);
    assert!(completed > 20_000, "{completed} completed");
    assert!(in_flight > 2_000, "{in_flight} in flight at horizons");
    assert!(preemptions > 2_000, "{preemptions} preemptions");
    assert!(swapped > 500, "{swapped} of them swapped");
    assert!(conversations > 2_000 && unsent > 200, "{conversations} conversations, {unsent} turns unsent");
    for reason in ["context_length", "kv_capacity", "prompt_too_long", "empty_prompt", "empty_output"] {
        assert!(rejected.get(reason).is_some_and(|count| *count > 20), "{reason}: {rejected:?}");
    }
}

/// Runs the scenario and checks it at many instants, at its end, and in its summary.
fn keep_laws(case: &Case, horizon: Option<SimTime>, reached: &RefCell<Reached>) -> Vec<RequestRecord> {
    let text = case.ron("Checked()", horizon);
    let mut run = read(&Simulation::new().with(checked), &text);
    let rows = Rows::of(&mut run);
    let until = horizon.unwrap_or(SimTime::MAX);
    // A stretch of ticks between two looks, of ever different length.
    let mut stretch = 1;
    while run.sim().run_some(until, stretch).unwrap() {
        world::check(run.sim());
        stretch = stretch * 7 % 61 + 1;
    }
    world::check(run.sim());
    let rows = rows.take();
    let ledger = Ledger::of(run.sim(), &rows);
    let outcome = run.run().unwrap();
    ledger.check(&outcome.summary, horizon, case.latency());

    let summary = &outcome.summary;
    let mut reached = reached.borrow_mut();
    reached.runs += 1;
    reached.completed += summary.requests.completed;
    reached.in_flight += summary.requests.in_flight;
    reached.preemptions += summary.utilisation.preemptions;
    reached.swapped += summary.utilisation.kv_swaps.map_or(0, |swaps| swaps.preemptions);
    let sessions = summary.sessions.unwrap_or_default();
    reached.conversations += sessions.begun;
    reached.unsent += sessions.unsent_turns;
    assert!(sessions.ended_by_rejection <= sessions.unsent_turns);
    for (reason, count) in &summary.requests.rejected_by_reason {
        *reached.rejected.entry(reason).or_default() += count;
    }
    rows
}
