//! Whole steps: a law of three terms and a Gaussian process over what it leaves, one deployment and stage at a time.
//!
//! The law (see [`WholeStep`]) is fitted by least squares of the relative error, no term below zero; the process sees
//! the logarithm of what is left over those of tokens and length. Lengths of likeness and noise were chosen on the
//! static batches of TensorRT-LLM 0.9, one pair a stage for all deployments. Many steps are first averaged in cells.

use std::collections::BTreeMap;
use std::path::Path;

use super::errors::Errors;
use super::folds::{FOLDS, folds};
use super::gemm::rounded;
use super::import;
use super::measurements::{StepRow, StepSet};
use super::report::Report;
use super::{CalibrateError, Request};
use crate::catalog::Catalog;
use crate::runtime::profile::kriging::{Kriging, Prior};
use crate::runtime::profile::{Phase, Residuals};
use crate::runtime::{WHOLE_STEPS_FORM, WholeStep, WholeSteps, keys};

/// Steps of different tokens or lengths that are needed for a fit.
const FEWEST: usize = 8;

/// Cells that a process is fitted to, at most.
const MOST_CELLS: usize = 300;

/// Knots that are kept of each axis, at most.
const MOST_KNOTS: [usize; 2] = [24, 12];

/// Fits every deployment of a folder on one GPU; `progress` is told what is being done.
///
/// `mist_steps.csv` has measurements of one's own. Lines that begin with `#` are comments; all columns are needed, in
/// any order, and no others:
///
/// | column | what |
/// |---|---|
/// | `model`, `gpu` | names in the catalog |
/// | `engine`, `version` | `vLLM`, `TensorRT`, `NIM` or `SGLang`; numbers such as 0.15 |
/// | `tp` | GPUs that share every layer |
/// | `weights`, `kv_cache` | bf16, fp16, fp8, … |
/// | `stage` | prefill or decode; steps with both are left to the composition |
/// | `batch` | prompts or sequences in the step |
/// | `tokens` | prefill: tokens of each prompt that the step computes; decode: 1 |
/// | `context` | prefill: tokens of each that are cached; decode: tokens that each attends to, in the mean |
/// | `time_ms` | how long the step took (ms) |
///
/// `step_static_batch_trtllm.csv` has static batches of TensorRT-LLM 0.9: `model`, `gpu`, `tp`, `precision` (Mixed is
/// 16 bit), `batch_size`, `isl`, `osl`, `first_token_latency_ms` (the prefill of all prompts), `token_to_token_ms` (a
/// decode step, mean over the output, so at the context of its middle). GPUs and models of this file have names of its
/// own.
///
/// A step that is faster than the GPU can be is refused, and so is one that is slower by a factor of 300: what was
/// measured then was in another unit, or was no step.
///
/// # Errors
/// The folder cannot be read, has no steps of the GPU, or some that make no sense.
pub fn calibrate_steps(
    request: &Request<'_>,
    mut progress: impl FnMut(&str),
) -> Result<(WholeSteps, Report), CalibrateError> {
    let mut report = Report::default();
    let sets = import::whole_steps(request.folder, Catalog::embedded(), &mut report.remarks)?;
    let gpu = request.accelerator.name.as_str();
    let (own, others): (Vec<StepSet>, Vec<StepSet>) = sets.into_iter().partition(|set| set.gpu == gpu);
    if own.is_empty() {
        return Err(nothing(request.folder, gpu, &others));
    }
    let foreign: usize = others.iter().map(|set| set.rows.len()).sum();
    if foreign > 0 {
        report.remarks.push(format!("left out {foreign} steps of other GPUs than {gpu}"));
    }
    let mut steps = Vec::new();
    for set in &own {
        progress(&format!("{} of {}", stage(set.phase), set.of));
        let held = held_out(set);
        let Some(mut step) = fit(set, &set.rows) else {
            let few = format!(
                "left out {} of {}: {} steps are too few, {FEWEST} of different tokens or lengths are needed",
                stage(set.phase),
                set.of,
                set.rows.len()
            );
            report.remarks.push(few);
            continue;
        };
        let read = |step: &WholeStep| {
            Errors::of(set.rows.iter().map(|row| (step.seconds(row.tokens, row.length), row.seconds)))
        };
        let errors = Errors::of(held.iter().map(Held::pair));
        step.held_out = (rounded(100.0 * errors.mean), rounded(100.0 * errors.median));
        let operator = format!("{} {}", stage(set.phase), set.of);
        report.step(&operator, "steps held out", errors);
        let inside = held.iter().filter(|held| held.inside).map(Held::pair);
        report.step(&operator, "… between others", Errors::of(inside));
        report.step(&operator, "as fitted", read(&step));
        steps.push(step);
    }
    if steps.is_empty() {
        let folder = request.folder.display();
        return Err(report.because(&format!("{folder}: no whole steps of {gpu} that can be fitted")));
    }
    let whole = WholeSteps {
        form: WHOLE_STEPS_FORM,
        gpu: gpu.to_owned(),
        source: request.source.to_owned(),
        licence: request.licence.to_owned(),
        command: request.command.to_owned(),
        steps,
    };
    Ok((whole, report))
}

fn nothing(folder: &Path, gpu: &str, others: &[StepSet]) -> CalibrateError {
    let mut known: Vec<&str> = others.iter().map(|set| set.gpu.as_str()).collect();
    known.sort_unstable();
    known.dedup();
    let known = if known.is_empty() { "none at all".to_owned() } else { format!("of {}", known.join(", ")) };
    CalibrateError::Missing(format!(
        "{}: no whole steps of {gpu} here, {known}; expected mist_steps.csv or step_static_batch_trtllm.csv",
        folder.display()
    ))
}

pub(super) fn stage(phase: Phase) -> &'static str {
    match phase {
        Phase::Prefill => "prefill",
        Phase::Decode => "decode",
    }
}

/// A step foretold from others.
pub(super) struct Held {
    pub(super) row: StepRow,
    pub(super) foretold: f64,
    /// Whether others had fewer tokens and more, and shorter and longer lengths, or the same.
    pub(super) inside: bool,
}

impl Held {
    fn pair(&self) -> (f64, f64) {
        (self.foretold, self.row.seconds)
    }
}

/// Each step of a set, foretold from the others, in the order of the rows. Steps of the same
/// tokens and length are left out together.
pub(super) fn held_out(set: &StepSet) -> Vec<Held> {
    let key = |row: &StepRow| (row.tokens.to_bits(), row.length.to_bits());
    let mut conditions: Vec<(u64, u64)> = set.rows.iter().map(key).collect();
    conditions.sort_unstable();
    conditions.dedup();
    let parts = folds(conditions.len());
    let part_of = |row: &StepRow| parts[conditions.binary_search(&key(row)).unwrap_or_default()];
    let fits: Vec<Option<WholeStep>> = (0..FOLDS)
        .map(|part| {
            let seen: Vec<StepRow> = set.rows.iter().filter(|row| part_of(row) != part).copied().collect();
            fit(set, &seen)
        })
        .collect();
    let pairs = set.rows.iter().filter_map(|row| {
        let step = fits[part_of(row)].as_ref()?;
        let foretold = step.seconds(row.tokens, row.length);
        let inside = step.clamp(row.tokens, row.length) == (row.tokens, row.length);
        Some(Held { row: *row, foretold, inside })
    });
    pairs.collect()
}

/// The estimator of some rows of a set; none for too few.
pub(super) fn fit(set: &StepSet, rows: &[StepRow]) -> Option<WholeStep> {
    let cells = cells(rows);
    if cells.len() < FEWEST {
        return None;
    }
    let law = law(set.phase, &cells);
    let terms = |row: &StepRow| [1.0, row.tokens, keys(set.phase, row.tokens, row.length)];
    let foretold = |row: &StepRow| terms(row).iter().zip(&law).map(|(term, by)| term * by).sum::<f64>();
    let place = |tokens: f64, length: f64| vec![libm::log(tokens), libm::log(length)];
    let points = cells.iter().map(|row| place(row.tokens, row.length)).collect();
    let values: Vec<Vec<f64>> =
        cells.iter().map(|row| vec![libm::log(row.seconds / foretold(row))]).collect();
    let process = Kriging::new(prior(set.phase), points, &values);
    let tokens = axis(&cells, |row| row.tokens, MOST_KNOTS[0]);
    let length = axis(&cells, |row| row.length, MOST_KNOTS[1]);
    let residuals: Vec<f64> = tokens
        .iter()
        .flat_map(|tokens| length.iter().map(|length| place(*tokens, *length)))
        .map(|place| process.expect(&place)[0])
        .collect();
    let [step, token, key] = law;
    Some(WholeStep {
        of: set.of.clone(),
        phase: set.phase,
        rows: rows.len(),
        held_out: (0.0, 0.0),
        step_us: significant(step * 1e6),
        token_us: significant(token * 1e6),
        key_ns: significant(key * 1e9),
        residual: Residuals::new(residuals, tokens.len()),
        tokens,
        length,
    })
}

/// Five digits.
fn significant(value: f64) -> f64 {
    if value == 0.0 {
        return 0.0;
    }
    let unit = libm::exp10(libm::floor(libm::log10(value)) - 4.0);
    if unit < 1.0 { (value / unit).round() / (1.0 / unit).round() } else { (value / unit).round() * unit }
}

/// What steps are told before they are seen: likeness within a factor of e^l, residuals of some 10 %, noise of 0.7 %.
fn prior(phase: Phase) -> Prior<'static> {
    let lengths: &[f64] = match phase {
        Phase::Decode => &[1.0, 3.0],
        Phase::Prefill => &[3.0, 10.0],
    };
    Prior { lengths, mean: 9.0, nugget: 0.005 }
}

/// The rows as they are if they are few, else their means in cells of at least a tenth of an octave.
fn cells(rows: &[StepRow]) -> Vec<StepRow> {
    let mut finest = 64.0;
    loop {
        let mut cells: BTreeMap<(i64, i64), (f64, [f64; 3])> = BTreeMap::new();
        for row in rows {
            let logs = [row.tokens, row.length, row.seconds].map(libm::log2);
            let key = ((logs[0] * finest).round() as i64, (logs[1] * finest).round() as i64);
            let (count, sums) = cells.entry(key).or_default();
            *count += 1.0;
            sums.iter_mut().zip(logs).for_each(|(sum, log)| *sum += log);
        }
        if cells.len() <= MOST_CELLS || finest < 1.0 {
            let mean = |(count, sums): (f64, [f64; 3])| {
                let [tokens, length, seconds] = sums.map(|sum| libm::exp2(sum / count));
                StepRow { tokens: rounded(tokens), length: rounded(length), seconds }
            };
            return cells.into_values().map(mean).collect();
        }
        finest /= 2.0;
    }
}

/// The values of an axis, at most so many, evenly chosen.
fn axis(cells: &[StepRow], figure: impl Fn(&StepRow) -> f64, most: usize) -> Vec<f64> {
    let mut axis: Vec<f64> = cells.iter().map(figure).collect();
    axis.sort_unstable_by(f64::total_cmp);
    axis.dedup();
    if axis.len() <= most {
        return axis;
    }
    let step = (axis.len() - 1) as f64 / (most - 1) as f64;
    (0..most).map(|at| axis[(at as f64 * step).round() as usize]).collect()
}

/// Least squares of the relative error over the three terms, none below zero and the first above: of all choices of
/// terms that may stay the best that keeps to it.
fn law(phase: Phase, cells: &[StepRow]) -> [f64; 3] {
    let fastest = cells.iter().map(|row| row.seconds).fold(f64::INFINITY, f64::min);
    let rows: Vec<[f64; 3]> = cells
        .iter()
        .map(|row| [1.0, row.tokens, keys(phase, row.tokens, row.length)].map(|term| term / row.seconds))
        .collect();
    let error = |law: &[f64; 3]| -> f64 {
        let off = |row: &[f64; 3]| row.iter().zip(law).map(|(term, by)| term * by).sum::<f64>() - 1.0;
        rows.iter().map(|row| off(row) * off(row)).sum()
    };
    // No step is free, or the logarithm of what is left had no end.
    let least = 0.05 * fastest;
    let mut best = [fastest, 0.0, 0.0];
    for chosen in 1_u8..8 {
        let found = solve(&rows, chosen);
        if found.iter().all(|by| *by >= 0.0) && found[0] >= least && error(&found) < error(&best) {
            best = found;
        }
    }
    best
}

/// The normal equations of the chosen terms, a bit each.
fn solve(rows: &[[f64; 3]], chosen: u8) -> [f64; 3] {
    let terms: Vec<usize> = (0..3).filter(|term| chosen >> term & 1 == 1).collect();
    // Terms differ by orders of magnitude.
    let scale = |term: usize| rows.iter().map(|row| row[term]).sum::<f64>() / rows.len() as f64;
    let mut matrix: Vec<Vec<f64>> = Vec::new();
    for one in &terms {
        let mut line: Vec<f64> = terms
            .iter()
            .map(|other| rows.iter().map(|row| row[*one] / scale(*one) * row[*other] / scale(*other)).sum())
            .collect();
        line.push(rows.iter().map(|row| row[*one] / scale(*one)).sum());
        matrix.push(line);
    }
    let n = terms.len();
    for pivot in 0..n {
        let line = matrix[pivot].clone();
        if line[pivot].abs() < 1e-9 * rows.len() as f64 {
            return [-1.0; 3];
        }
        for row in (0..n).filter(|row| *row != pivot) {
            let by = matrix[row][pivot] / line[pivot];
            matrix[row].iter_mut().zip(&line).for_each(|(value, own)| *value -= by * own);
        }
    }
    let mut law = [0.0; 3];
    for (at, term) in terms.iter().enumerate() {
        law[*term] = matrix[at][n] / matrix[at][at] / scale(*term);
    }
    law
}
