//! `mist validate`: predictions beside measurements.

use std::fmt::Write as _;

use super::columns::{Align, table};
use super::failure::Failure;
use super::options::ValidateOptions;
use super::terminal;
use crate::calibrate::Errors;
use crate::calibrate::validate::{Context, Prediction, SetReport, sets_in, takes_runtime, validate as judge};
use crate::scenario::Problem;

/// Prints the errors, set by set.
pub(super) fn validate(options: &ValidateOptions) -> Result<(), Failure> {
    let written = options.runtime.as_deref().unwrap_or("Analytical");
    let runtime = super::price::choice(written)?;
    let context = Context { runtime: &runtime, every: options.every.max(1) as usize };
    let names: Vec<&str> = if options.sets.is_empty() {
        sets_in(&options.folder).map_err(|error| Failure::input(error.to_string()))?
    } else {
        options.sets.iter().map(String::as_str).collect()
    };
    if options.runtime.is_some() && !names.iter().any(|name| takes_runtime(name)) {
        let message = format!(
            "--runtime does nothing here: {} {} not priced with it",
            names.join(", "),
            if names.len() == 1 { "is" } else { "are" }
        );
        let help = "runs of one's own are priced with the runtime model that their scenarios name: change it there, or \
                    in the column `set`";
        let help = if names.contains(&"runs") { help } else { "leave it out" };
        return Err(Failure::Input(Problem::new("", message).help(help)));
    }
    let mut reports = Vec::new();
    for name in names {
        reports
            .push(judge(&options.folder, name, &context).map_err(|error| Failure::input(error.to_string()))?);
    }
    if options.json {
        let text =
            serde_json::to_string_pretty(&reports).map_err(|error| Failure::Broken(error.to_string()))?;
        return terminal::print((text + "\n").as_bytes());
    }
    let text: Vec<String> =
        reports.iter().map(|report| page(report, &priced_with(report.name, options))).collect();
    terminal::print(text.join("\n\n").as_bytes())
}

/// The runtime model that a set is priced with, in words.
fn priced_with(set: &str, options: &ValidateOptions) -> String {
    if takes_runtime(set) {
        return options.runtime.clone().unwrap_or_else(|| "Analytical".to_owned());
    }
    let own = if set == "runs" { "as the scenarios name it" } else { "as the comparison asks" };
    match &options.runtime {
        Some(asked) => format!("{own}, not {asked}"),
        None => own.to_owned(),
    }
}

/// One set, to be read.
fn page(report: &SetReport, runtime: &str) -> String {
    let heads = [
        ("", Align::Words),
        ("", Align::Words),
        ("ROWS", Align::Numbers),
        ("MEAN", Align::Numbers),
        ("MEDIAN", Align::Numbers),
        ("P90", Align::Numbers),
        ("BIAS", Align::Numbers),
        ("-40%      0     +40%", Align::Words),
    ];
    let percent = |share: f64| format!("{:.1}%", share * 100.0);
    let row = |group: &str, quantity: &str, errors: &Errors, strip: String| {
        let bias = format!("{:+.1}%", errors.bias * 100.0);
        let rows = errors.count.to_string();
        let [mean, median, p90] = [errors.mean, errors.median, errors.p90].map(percent);
        vec![group.to_owned(), quantity.to_owned(), rows, mean, median, p90, bias, strip]
    };
    let mut rows = Vec::new();
    for (group, quantity, errors) in report.errors() {
        let of = report.points.iter().filter(|point| point.group == group && point.quantity == quantity);
        rows.push(row(
            group,
            quantity,
            &errors,
            strip(of.map(|point| point.predicted / point.measured - 1.0)),
        ));
    }
    for (quantity, errors) in report.totals() {
        let of = report.points.iter().filter(|point| point.quantity == quantity);
        rows.push(row(
            "all",
            quantity,
            &errors,
            strip(of.map(|point| point.predicted / point.measured - 1.0)),
        ));
    }
    let mut text = format!("{}\n{}\n\n", report.title, "=".repeat(report.title.chars().count()));
    if !report.predictions.is_empty() {
        text.push_str(&predicted(&report.predictions));
        text.push('\n');
    }
    if !rows.is_empty() {
        text.push_str(&table(&heads, &rows));
        text.push('\n');
    }
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  runtime   {runtime}");
    let _ = writeln!(text, "  fitted    {}", report.fitted);
    let _ = writeln!(text, "  noise     {}", report.noise);
    for (why, count) in &report.left_out {
        let _ = writeln!(text, "  left out  {count} rows: {why}");
    }
    let _ = writeln!(text, "  again     {}", report.command);
    text
}

/// Runs, with what was measured in brackets behind what is predicted.
fn predicted(predictions: &[Prediction]) -> String {
    let mut heads = vec![("RUN", Align::Words)];
    let quantities = predictions.first().map_or(&[][..], |first| &first.figures);
    heads.extend(quantities.iter().map(|(quantity, ..)| (*quantity, Align::Numbers)));
    let rows: Vec<Vec<String>> = predictions
        .iter()
        .map(|Prediction { run, figures }| {
            let figure = |value: f64| format!("{value:.*}", if value < 100.0 { 2 } else { 0 });
            let cell = |measured: Option<f64>, value: f64| match measured {
                Some(measured) => format!("{} ({})", figure(value), figure(measured)),
                None => figure(value),
            };
            let cells = figures.iter().map(|(_, value, measured)| cell(*measured, *value));
            std::iter::once(run.clone()).chain(cells).collect()
        })
        .collect();
    table(&heads, &rows)
}

/// How errors are spread, in 21 cells of 4 %: `.` some, `:` a tenth, `+` a fifth, `#` two fifths of them.
fn strip(errors: impl Iterator<Item = f64>) -> String {
    const CELLS: usize = 21;
    let mut cells = [0_usize; CELLS];
    let mut all = 0;
    for error in errors {
        let at = (error / 0.04).round().clamp(-10.0, 10.0) + 10.0;
        cells[at as usize] += 1;
        all += 1;
    }
    let mark = |count: usize| match (count as f64 / f64::from(all.max(1)), count) {
        (_, 0) => ' ',
        (share, _) if share < 0.1 => '.',
        (share, _) if share < 0.2 => ':',
        (share, _) if share < 0.4 => '+',
        _ => '#',
    };
    cells.into_iter().map(mark).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_strip_shows_where_errors_lie() {
        let text = super::strip([0.0, 0.0, 0.0, 0.1, -9.0].into_iter());
        assert_eq!((text.chars().count(), &text[10..11], &text[0..1]), (21, "#", "+"));
    }
}
