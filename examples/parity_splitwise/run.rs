//! Simulates a run.

use std::fmt::Write;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use mist::metrics::{RequestRecord, RowSink};
use mist::request::pipeline::Lap;
use mist::simulation::Simulation;

use crate::Options;
use crate::case::Case;
use crate::deploy::Policies;
use crate::reference::{Cluster, Job, Knots, SplitwiseSim, knots};
use crate::results::Served;

/// Collects what was served.
#[derive(Clone, Default)]
struct Rows(Arc<Mutex<Vec<RequestRecord>>>);

impl RowSink for Rows {
    fn row(&mut self, request: &RequestRecord, _: &[Lap]) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(*request);
        Ok(())
    }
}

/// Reads step times, from the table of the reference.
fn read_knots(path: &Path, case: &Case, hardware: &str) -> Result<Knots, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut rows = csv::Reader::from_path(path).map_err(|error| wrong(&error))?;
    let mut points = Vec::new();
    for row in rows.records() {
        let row = row.map_err(|error| wrong(&error))?;
        if row[0] == *case.model && row[1] == *hardware && row[2] == case.tensor_parallel.to_string() {
            let number = |at: usize| row[at].parse::<f64>().map_err(|error| wrong(&error));
            points.push((number(3)?, number(4)? / 1e3, number(5)? / 1e3));
        }
    }
    if points.is_empty() {
        return Err(wrong(&format!("nothing of {} on {} × {hardware}", case.model, case.tensor_parallel)));
    }
    Ok(Knots { points })
}

/// The trace in MIST's own format.
pub fn native(jobs: &[Job]) -> String {
    let mut text = "{\"mist_trace\":1,\"block_tokens\":16}\n".to_owned();
    for Job { arrival, prompt, output } in jobs {
        let ns = (arrival * 1e9).round();
        let _ =
            writeln!(text, "{{\"arrival_ns\":{ns},\"prompt_tokens\":{prompt},\"output_tokens\":{output}}}");
    }
    text
}

/// Runs `case` with these policies; what was served, in the order of the trace.
pub fn simulate(case: &Case, policies: Policies, options: &Options) -> Result<Vec<Served>, String> {
    let jobs = case.jobs()?;
    let mean = jobs.iter().map(|job| f64::from(job.output)).sum::<f64>() / jobs.len().max(1) as f64;
    let expected = options.overrides.expected_output.unwrap_or_else(|| mean.round() as u32);
    let trace = std::env::temp_dir().join(format!("mist-{}-{}.jsonl", std::process::id(), case.name));
    std::fs::write(&trace, native(&jobs)).map_err(|error| format!("{}: {error}", trace.display()))?;
    let table = options.facts.join("perf_knots.csv");
    let [prefills, decodes] = &case.hardware;
    let times = [read_knots(&table, case, prefills)?, read_knots(&table, case, decodes)?];
    let text = case.scenario(policies, &times, (crate::catalog(), &trace), expected);
    let simulation = Simulation::new();
    let simulation = match policies {
        Policies::Reference => {
            let cluster = Cluster::new(jobs, case.memory(), case.limits(), case.router());
            simulation.with(SplitwiseSim::new(cluster))
        }
        Policies::Own => simulation.with(knots),
    };
    let rows = Rows::default();
    let run = simulation.read(text, "parity.ron").map_err(|error| error.to_string())?;
    let outcome = run.run_with(Some(Box::new(rows.clone())), |_| std::ops::ControlFlow::Continue(()));
    let _ = std::fs::remove_file(&trace);
    outcome.map_err(|error| error.to_string())?;
    let mut rows = std::mem::take(&mut *rows.0.lock().unwrap_or_else(PoisonError::into_inner));
    rows.sort_by_key(|row| row.id);
    Ok(rows.iter().map(Served::from).collect())
}
