//! Calibration: from tables of measured operators to a runtime profile.
//!
//! ```text
//!  folder ─▶ import ─▶ measurements ─▶ physics ─▶ fits ─▶ profile.ron
//!            a format     seconds        what is     └──▶ report: how well each regime foretells what it
//!            a file                      impossible       was not fitted to, held-out shapes first
//!                                        is refused
//! ```
//!
//! [`validate`] lays predictions beside other measurements, of whole steps and of engines.
//!
//! Whole steps of an engine, where somebody measured them, become [estimators of their own](calibrate_steps).
//!
//! One file an operator: `gemm`, `attention`, `chunks`, `moe`, `collectives`. Of several tables of
//! the same operator, the newest that passes the checks is taken, unless the user names one.

mod attention;
mod choose;
mod chunks;
mod collectives;
mod errors;
mod folds;
mod gemm;
mod import;
mod measurements;
mod moe;
mod paths;
mod physics;
mod report;
mod silicon;
mod simplex;
mod steps;
#[cfg(test)]
mod tests;
mod trees;
pub mod validate;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use choose::Choice;
pub use errors::Errors;
pub use report::{Line, Report};
pub use steps::calibrate_steps;

use crate::catalog::{Accelerator, Precision};
use crate::runtime::profile::{Elementwise, FORM, Library, MixedRule, Operation, Phase, PrefixRule, Profile};
use measurements::{Measurements, StreamRow};

/// Why there is no profile.
#[derive(Debug, Error)]
pub enum CalibrateError {
    /// A file or folder cannot be read.
    #[error("{}: {problem}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the reader says.
        problem: String,
    },
    /// A table is not what its name promises.
    #[error("{}: {problem}", .file.display())]
    Table {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A column as a whole makes no sense.
    #[error("{}: column `{column}`: {problem}", .file.display())]
    Column {
        /// The file.
        file: PathBuf,
        /// The column.
        column: String,
        /// What is wrong.
        problem: String,
    },
    /// A cell makes no sense.
    #[error("{}: column `{column}`, row {row}: {problem}", .file.display())]
    Cell {
        /// The file.
        file: PathBuf,
        /// The column.
        column: String,
        /// The row: of a CSV file its line, comments counted; of a Parquet file from 1.
        row: usize,
        /// What is wrong.
        problem: String,
    },
    /// The folder has no measurements.
    #[error(
        "{}: no measurements here; expected aiconfigurator's gemm_perf.parquet and its like, LLMServingSim's \
         MODEL/tpN/attention.csv, or mist_gemm.csv, mist_attention.csv, mist_all_reduce.csv",
        .folder.display()
    )]
    Nothing {
        /// The folder.
        folder: PathBuf,
    },
    /// A table that was asked for is not there, or cannot be used.
    #[error("{0}")]
    Choice(String),
    /// The device is not known well enough.
    #[error("{0}")]
    Device(String),
    /// What is needed for a profile was not measured.
    #[error("{0}")]
    Missing(String),
}

impl CalibrateError {
    fn unreadable(file: &Path, problem: &dyn Display) -> Self {
        Self::Unreadable { file: file.to_owned(), problem: problem.to_string() }
    }
}

/// What to calibrate, and how.
pub struct Request<'a> {
    /// The folder of measurements.
    pub folder: &'a Path,
    /// The device they were taken on.
    pub accelerator: &'a Accelerator,
    /// Which tables to take where there are several.
    pub choices: &'a [Choice],
    /// Whether to find out how well the fits foretell, which takes five times as long.
    pub scored: bool,
    /// Where the measurements come from, for the record.
    pub source: &'a str,
    /// Their licence, for the record.
    pub licence: &'a str,
    /// The command that the user gave, for the record.
    pub command: &'a str,
}

/// Fits a profile; `progress` is told what is being done.
///
/// # Errors
/// The folder cannot be read, holds no measurements, or holds some that make no sense.
pub fn calibrate(
    request: &Request<'_>,
    mut progress: impl FnMut(&str),
) -> Result<(Profile, Report), CalibrateError> {
    let silicon = silicon::of(request.accelerator)?;
    progress("reading tables");
    let found = import::gather(request.folder, &request.accelerator.name)?;
    let mut report = Report { remarks: found.remarks.clone(), ..Report::default() };
    let Measurements { gemm, attention, moe, collectives, chunks, streams, .. } = found;
    for set in &chunks {
        physics::check_chunks(&silicon, set)?;
    }
    for set in &streams {
        physics::check_streams(&silicon, set)?;
    }
    let streams: Vec<StreamRow> = streams.into_iter().flat_map(|(_, rows)| rows).collect();
    let gemm = choose::gemm(&silicon, gemm, request.choices, &mut report)?;
    let measured: BTreeSet<Precision> = attention.iter().map(|set| set.kv_cache).collect();
    let attention = choose::attention(&silicon, attention, request.choices, &mut report)?;
    let moe = choose::moe(&silicon, moe, request.choices, &mut report)?;
    let collectives = choose::collectives(collectives, request.choices)?;
    if gemm.is_empty() {
        let folder = request.folder.display();
        return Err(report.because(&format!(
            "{folder}: no table of products with weights (mist_gemm.csv, gemm_perf) can be used, and a profile \
             cannot do without"
        )));
    }
    choose::expect_attention(request.folder, &measured, &attention, &mut report)?;
    let mut profile = Profile {
        form: FORM,
        gpu: request.accelerator.name.clone(),
        silicon: silicon.clone(),
        source: request.source.to_owned(),
        licence: request.licence.to_owned(),
        command: request.command.to_owned(),
        gemm: Vec::new(),
        attention: Vec::new(),
        prefix: PrefixRule {
            tile: 64,
            ns_per_key: 0.0,
            free_keys: 0.0,
            later_waves: 1.0,
            fitted_to: String::new(),
        },
        mixed: MixedRule::Apart { because: "no step with both was measured".to_owned() },
        moe: Vec::new(),
        collectives,
        elementwise: stream_rule(&silicon, &streams),
    };
    for set in &gemm {
        progress(&format!("products of {}", set.kind));
        let (table, scores) = gemm::calibrate(&silicon, set, request.scored)?;
        profile.gemm.push(table);
        report.gemm(set, scores);
    }
    for set in &attention {
        progress(&format!("{:?} attention of head size {}", set.phase, set.head_dim).to_lowercase());
        let (table, scores) = attention::calibrate(&silicon, set, request.scored);
        profile.attention.push(table);
        if scores.as_ref().is_some_and(|scores| scores.all.count == 0) {
            report.remarks.push(format!(
                "{}: how well {:?} attention of head size {} foretells other heads is not known: all rows have the same \
                 `heads` and `kv_heads`; measure two kinds at least",
                set.origin.file.display(),
                set.phase,
                set.head_dim
            ));
        }
        report.attention(set, scores);
    }
    let prompts = attention
        .iter()
        .filter(|set| set.phase == Phase::Prefill && set.window.is_none())
        .find(|set| set.head_dim == 128)
        .or_else(|| attention.iter().find(|set| set.phase == Phase::Prefill));
    progress("chunks and mixed steps");
    let scores = chunks::calibrate(&mut profile, &chunks, prompts);
    report.chunks(scores);
    for set in &moe {
        progress(&format!("experts of {}", set.kind));
        match moe::calibrate(&silicon, set, request.scored) {
            Some((table, scores)) => {
                profile.moe.push(table);
                report.moe(set, scores);
            }
            None => report.remarks.push(format!(
                "{}: left out experts of {}: too few layers, or too few counts of tokens",
                set.origin.file.display(),
                set.kind
            )),
        }
    }
    let all = [Library::Custom, Library::Nccl];
    for (operator, libraries, reduce) in [
        ("all-reduce", &all[..], true),
        ("all-reduce custom", &all[..1], true),
        ("all-reduce nccl", &all[1..], true),
        ("other collectives", &all[..], false),
    ] {
        let tables = profile.collectives.iter().filter(|table| {
            libraries.contains(&table.library) && (table.operation == Operation::AllReduce) == reduce
        });
        report.collectives(operator, collectives::sizes_left_out(tables));
    }
    Ok((profile, report))
}

/// The floor and the bandwidth of kernels that stream.
fn stream_rule(silicon: &crate::runtime::profile::Silicon, rows: &[StreamRow]) -> Elementwise {
    if rows.len() < 10 {
        let fitted_to = "nothing: 2 µs and three quarters of the bandwidth are assumed".to_owned();
        return Elementwise { floor_us: 2.0, share: 0.75, fitted_to };
    }
    let cost = |x: &[f64]| {
        let (floor, share) = (libm::exp(x[0]) * 1e-6, libm::exp(x[1]));
        let each = rows.iter().map(|row| {
            let foretold = (row.bytes / (silicon.bandwidth() * share)).max(floor);
            simplex::soft(libm::log(foretold / row.seconds))
        });
        each.sum()
    };
    let found = simplex::minimise(cost, &[0.8, -0.3], 0.3, 300);
    Elementwise {
        floor_us: gemm::rounded(libm::exp(found[0])),
        share: gemm::rounded(libm::exp(found[1]).min(1.0)),
        fitted_to: format!("{} norms, rotations and activations", rows.len()),
    }
}
