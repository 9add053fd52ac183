//! `mist run --replications`: simulates a scenario many times, prints means with intervals, keeps the results.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use super::failure::Failure;
use super::inputs;
use super::options::{ReplicationsOptions, RunOptions};
use super::place::Place;
use super::progress::Bar;
use super::run::{listen_for_interrupts, provenance, say_notes};
use super::terminal;
use crate::output::figures::{figure, thousands};
use crate::output::{Provenance, ReplicationSummary};
use crate::simulation::{Outcome, RunError, Simulation};

/// Runs the replications; results are kept before they are printed, as those of a plain run.
pub(super) fn replicate(
    options: RunOptions,
    ReplicationsOptions { count, format }: ReplicationsOptions,
    simulation: Simulation,
) -> Result<(), Failure> {
    let interrupted = listen_for_interrupts()?;
    let simulation = options.scenario.apply(simulation).executor(options.executor).strides(options.strides);
    let replications = simulation.replicate(&options.scenario.file, count)?;
    let name = replications.scenario().name.clone();
    if !options.quiet {
        say_notes(replications.notes());
    }
    let inputs = inputs::inputs(replications.scenario());
    let place = Place::reserve(&options.results, name.as_deref().unwrap_or_default())?;

    let bar = Bar::new(terminal::watched() && !options.quiet, None);
    let outcomes = replications.run_with(|progress| {
        bar.show_replications(progress);
        if interrupted.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let wall_s = bar.finish();
    let outcomes = outcomes?;
    let first = outcomes.first().ok_or(RunError::Stopped)?;

    let unwritten = |error| Failure::Broken(format!("cannot write the summary: {error}"));
    let summary = ReplicationSummary::new(&outcomes).map_err(unwritten)?;
    let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(of).sum();
    let provenance = Provenance {
        replications: Some(count),
        ticks: sum(|one| one.ticks),
        events: sum(|one| one.events),
        ..provenance(first, wall_s, inputs)
    };
    let kept =
        place.map(|place| place.commit_replications(&summary, &first.resolved, &provenance)).transpose()?;
    let mut report = Vec::new();
    format.write_replications(&summary, &mut report).map_err(unwritten)?;
    terminal::print(&report)?;
    if !options.quiet {
        let place = kept.map_or("no results kept".to_owned(), |at| format!("results in {}", at.display()));
        let count = thousands(count.into());
        terminal::say(&format!("{place}: {count} replications in {} s", figure(wall_s)));
    }
    Ok(())
}
