//! Runs of one's own: scenarios, each with changes, and what was measured of them, or nothing yet.
//!
//! Format, `runs.csv`: `run` (what it is called), `scenario` (a file, from the folder of the table), `set` (changes to
//! it as `mist run --set` takes them, with `;` between), and what was measured, a cell empty where nothing was:
//! `makespan_s` (from the first arrival to the last token), `ttft_ms`, `tpot_ms` and `e2e_ms` (means), `out_tok_s`
//! (output tokens a second over the makespan).
//!
//! Every run is predicted, with the runtime model that its scenario names; those that were measured are compared.
//! `scenarios/validation` has those of the paper (§IV-B), to be filled in.

use std::path::Path;

use super::report::{Point, Prediction, SetReport};
use super::table::Table;
use super::{Context, ValidationError};
use crate::simulation::Simulation;

/// Columns of what was measured.
const FIGURES: [&str; 5] = ["makespan_s", "ttft_ms", "tpot_ms", "e2e_ms", "out_tok_s"];

pub(super) fn judge(folder: &Path, context: &Context<'_>) -> Result<SetReport, ValidationError> {
    let mut columns = vec!["run", "scenario", "set"];
    columns.extend(FIGURES);
    let table = Table::read(&folder.join("runs.csv"), &columns)?;
    let (mut points, mut predictions) = (Vec::new(), Vec::new());
    for row in table.rows().step_by(context.every) {
        let scenario = row.text("scenario");
        let changes: Vec<&str> =
            row.text("set").split(';').map(str::trim).filter(|change| !change.is_empty()).collect();
        let simulation = changes.iter().fold(Simulation::new(), |with, change| with.set(*change));
        let refused = |error: crate::simulation::RunError| row.refuse(error.to_string());
        let outcome = simulation.load(folder.join(scenario)).map_err(refused)?.run().map_err(refused)?;
        let summary = outcome.summary;
        if summary.requests.completed == 0 {
            return Err(row.refuse(format!("{scenario}: no request was completed")));
        }
        let mean = |of: &Option<crate::stats::Statistics>| of.as_ref().map_or(0.0, |found| found.mean_ms);
        let latency = &summary.latency;
        let foretold = [
            summary.duration_s,
            mean(&latency.ttft),
            mean(&latency.tpot),
            mean(&latency.e2e),
            summary.throughput.output_tokens_per_s,
        ];
        let mut figures = Vec::new();
        for (quantity, predicted) in FIGURES.into_iter().zip(foretold) {
            let measured = if row.text(quantity).is_empty() { None } else { Some(row.number(quantity)?) };
            if measured == Some(0.0) {
                return Err(row.refuse(format!("column `{quantity}`: nothing takes 0; leave it empty")));
            }
            figures.push((quantity, predicted, measured));
            points.extend(measured.map(|measured| Point {
                group: scenario.trim_end_matches(".ron").to_owned(),
                quantity,
                load: summary.requests.arrived as f64,
                measured,
                predicted,
            }));
        }
        predictions.push(Prediction { run: row.text("run").to_owned(), figures });
    }
    Ok(SetReport {
        name: "runs",
        title: "Runs of one's own",
        command: context.again(folder, "runs"),
        fitted: "nothing".to_owned(),
        load: "requests",
        noise: "not stated",
        left_out: Vec::new(),
        points,
        predictions,
    })
}
