//! `mist calibrate`: a runtime profile from measured operators, and how far it can be trusted.

use std::fmt::Write as _;

use super::columns::{Align, table};
use super::failure::Failure;
use super::options::CalibrateOptions;
use super::sink::{Drafts, Sink};
use super::terminal;
use crate::calibrate::{CalibrateError, Line, Report, Request, calibrate as fit, calibrate_steps};
use crate::catalog::Catalog;
use crate::output::figures::thousands;
use crate::workload::trace_tools::TraceToolError;

/// Fits, prints the errors, and keeps the profile if a place for it is given.
pub(super) fn calibrate(options: &CalibrateOptions) -> Result<(), Failure> {
    let accelerator = Catalog::embedded()
        .accelerator(&options.gpu)
        .map_err(|unknown| Failure::input(unknown.to_string()))?;
    if let Some(target) = options.output.as_ref().filter(|target| target.is_file() && !options.replace) {
        let message = format!("{} is there already; --force replaces it", target.display());
        return Err(Failure::input(message));
    }
    // Found out before the work, not after it.
    let drafts = Drafts::watch()?;
    let sink = options.output.as_ref().map(|target| Sink::open(Some(target), &drafts)).transpose()?;
    let command = command(options);
    let request = Request {
        folder: &options.folder,
        accelerator,
        choices: &options.choices,
        scored: options.scored,
        source: &options.source,
        licence: &options.licence,
        command: &command,
    };
    let fitted = if options.whole_steps {
        calibrate_steps(&request, terminal::say).map(|(steps, report)| (steps.write(), report))
    } else {
        fit(&request, terminal::say).map(|(profile, report)| (profile.write(), report))
    };
    let (text, report) = fitted.map_err(|error| match error {
        error @ CalibrateError::Unreadable { .. } => Failure::input(format!("cannot read {error}")),
        error => Failure::input(error.to_string()),
    })?;
    terminal::print(page(&report).as_bytes())?;
    if let Some(mut sink) = sink {
        sink.fill(|out| out.write_all(text.as_bytes()).map(|()| 1).map_err(TraceToolError::Write))?;
        sink.keep()?;
    }
    Ok(())
}

/// What makes this profile again, wherever the folder is.
fn command(options: &CalibrateOptions) -> String {
    let folder =
        options.folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let mut command = format!("mist calibrate {folder} --gpu {}", options.gpu);
    if options.whole_steps {
        command.push_str(" --whole-steps");
    }
    for choice in &options.tables {
        let _ = write!(command, " --use {choice}");
    }
    let _ = write!(command, " --source '{}' --licence '{}'", options.source, options.licence);
    command
}

fn page(report: &Report) -> String {
    let heads = [
        ("OPERATOR", Align::Words),
        ("FORETOLD", Align::Words),
        ("TABLE", Align::Words),
        ("ROWS", Align::Numbers),
        ("MEDIAN %", Align::Numbers),
        ("MEAN %", Align::Numbers),
        ("P90 %", Align::Numbers),
        ("BIAS %", Align::Numbers),
    ];
    let row = |line: &Line| {
        let errors = &line.errors;
        vec![
            line.operator.clone(),
            line.regime.clone(),
            line.table.clone(),
            thousands(errors.count as u64),
            format!("{:.1}", 100.0 * errors.median),
            format!("{:.1}", 100.0 * errors.mean),
            format!("{:.1}", 100.0 * errors.p90),
            format!("{:+.1}", 100.0 * errors.bias),
        ]
    };
    let rows: Vec<Vec<String>> = report.lines.iter().map(row).collect();
    let mut text = if rows.is_empty() { String::new() } else { table(&heads, &rows) };
    if !report.remarks.is_empty() && !rows.is_empty() {
        text.push('\n');
    }
    for remark in &report.remarks {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{remark}");
    }
    text
}
