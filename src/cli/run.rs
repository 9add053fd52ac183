//! `mist run`: simulates a scenario, prints the summary, keeps the results.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::failure::Failure;
use super::inputs;
use super::options::{RunOptions, TimelineOptions};
use super::place::Place;
use super::progress::Bar;
use super::terminal;
use crate::engine::Executor;
use crate::metrics::RowSink;
use crate::output::figures::{figure, thousands};
use crate::output::{Input, Provenance, Report, digest, timeline};
use crate::scenario::Problem;
use crate::simulation::{Outcome, Simulation};
use crate::units::SimTime;

/// Runs the scenario; results are kept before the summary is printed, so that a reader who goes away
/// takes nothing with them.
pub(super) fn run(options: RunOptions, simulation: Simulation) -> Result<(), Failure> {
    let interrupted = listen_for_interrupts()?;
    let simulation = options.scenario.apply(simulation);
    let mut run =
        simulation.executor(options.executor).strides(options.strides).load(&options.scenario.file)?;
    if let Some(timeline) = options.timeline {
        run.log_stages(shown(timeline, run.expected())?);
    }
    let clients = run.client_names();
    let scenario = run.scenario();
    let place = Place::reserve(&options.results, scenario.name.as_deref().unwrap_or_default())?;
    let rows = place.as_ref().map(|place| {
        place.folder().request_rows(run.row_sources(), run.client_names(), run.caches_prefixes())
    });
    let rows = rows.transpose().map_err(|error| Failure::no_place(&error))?;
    let rows = rows.map(|rows| Box::new(rows) as Box<dyn RowSink>);

    if !options.quiet {
        say_notes(&run.notes());
    }
    let inputs = if place.is_some() { inputs::inputs(scenario) } else { Vec::new() };
    let horizon = scenario.horizon.map(|horizon| SimTime::ZERO + horizon.to_sim());
    let bar = Bar::new(terminal::watched() && !options.quiet, horizon);
    let outcome = run.run_with(rows, |progress| {
        bar.show(progress);
        if interrupted.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let wall_s = bar.finish();
    let outcome = outcome?;

    let provenance = provenance(&outcome, wall_s, inputs);
    let kept = place.map(|place| place.commit(&outcome, &provenance)).transpose()?;
    let mut report = Vec::new();
    let written =
        options.format.write(Report { summary: &outcome.summary, provenance: &provenance }, &mut report);
    written.map_err(|error| Failure::Broken(format!("cannot write the summary: {error}")))?;
    if let Some(asked) = options.timeline {
        report.push(b'\n');
        report.extend(chart(asked, &outcome, &clients).into_bytes());
    }
    terminal::print(&report)?;
    if !options.quiet {
        terminal::say(&farewell(&outcome, wall_s, kept.as_deref()));
    }
    Ok(())
}

/// Most requests, and most of their stages, that are shown without being asked for by number.
const SHOWN: usize = 200;

/// How many requests a timeline shows of a run that expects so many.
fn shown(asked: TimelineOptions, expected: Option<u64>) -> Result<u64, Failure> {
    match (asked, expected) {
        (TimelineOptions::First(requests), _) => Ok(requests),
        (TimelineOptions::All, Some(requests)) if requests > SHOWN as u64 => {
            let message = format!("a timeline of {} requests is more than anyone reads", thousands(requests));
            let help = "--timeline=20 shows the first 20 requests; any number may stand there";
            Err(Failure::Input(Problem::new("", message).help(help)))
        }
        (TimelineOptions::All, _) => Ok(u64::MAX),
    }
}

/// The timeline, or why there is none.
fn chart(asked: TimelineOptions, outcome: &Outcome, clients: &[String]) -> String {
    let stages = outcome.stages.len();
    if asked == TimelineOptions::All && stages > SHOWN {
        let stages = thousands(stages as u64);
        return format!(
            "Timeline      left out: {stages} stages; --timeline=20 shows the first 20 requests\n"
        );
    }
    timeline(&outcome.stages, clients)
}

/// A flag that ctrl-C and a request to terminate raise.
pub(super) fn listen_for_interrupts() -> Result<Arc<AtomicBool>, Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let raise = Arc::clone(&interrupted);
    ctrlc::set_handler(move || raise.store(true, Ordering::Relaxed))
        .map_err(|error| Failure::Broken(format!("cannot listen for interrupts: {error}")))?;
    Ok(interrupted)
}

/// Says what whoever reads the results should know.
pub(super) fn say_notes(notes: &[Problem]) {
    for note in notes {
        terminal::say(&format!("note: {note}"));
    }
}

pub(super) fn provenance(outcome: &Outcome, wall_s: f64, inputs: Vec<Input>) -> Provenance {
    Provenance {
        mist_version: env!("CARGO_PKG_VERSION").to_owned(),
        scenario_digest: digest(&outcome.resolved),
        seed: outcome.seed,
        replications: None,
        executor: match outcome.executor {
            Executor::Gated => "gated",
            Executor::Stock => "stock",
        }
        .to_owned(),
        strides: outcome.strides,
        ticks: outcome.ticks,
        events: outcome.events,
        wall_s,
        latency_sources: outcome.latency_sources.clone(),
        inputs,
    }
}

/// Where the results are and what they took.
fn farewell(outcome: &Outcome, wall_s: f64, kept: Option<&Path>) -> String {
    let place = kept.map_or("no results kept".to_owned(), |place| format!("results in {}", place.display()));
    let requests = thousands(outcome.summary.requests.arrived);
    let simulated = figure(outcome.summary.duration_s);
    format!("{place}: {requests} requests, {simulated} s simulated in {} s", figure(wall_s))
}
