//! Parity with Vidur: MIST's clients run its schedulers on its step times, and every batch must be the same.
//!
//! ```text
//! cargo run --release --example parity_vidur -- FACTS_DIR
//! ```
//! Each folder in `FACTS_DIR/vidur` with a `trace.csv` and a `requests.csv` is a run of
//! <https://github.com/microsoft/vidur>; `predictor_tables` there has what its predictor says of each batch.
//! What the runs were set to follows from their names, see [`options`]; `--set blocks=2048` overrules.
//! Schedulers, global schedulers and the runtime model come in through public extension points
//! ([`vidur`]), so that the simulator between them is what is compared.
//!
//! Exits with 1 where something differs, and with 0 and a message where the folder is not there.

mod compare;
mod options;
mod recorded;
mod tables;
mod vidur;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use mist::runtime::StepModel;

use compare::Verdict;
use options::{Options, name, settings};
use recorded::Recorded;
use tables::Tables;
use vidur::Global;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let options = Options::parse();
    let skip = |why: String| {
        println!("parity_vidur: skipped: {why}");
        Ok(ExitCode::from(u8::from(options.required)))
    };
    let Some(facts) = &options.facts else { return skip("no folder of facts is given".to_owned()) };
    let folder = if facts.join("vidur").is_dir() { facts.join("vidur") } else { facts.clone() };
    let runs = runs(&folder, options.only.as_deref());
    if runs.is_empty() {
        return skip(format!("{} has no runs", folder.display()));
    }
    let mut differ = 0;
    for run in &runs {
        match check(run, &folder, &options) {
            Ok(verdict) => {
                println!("{}: {verdict}", name(run));
                differ += usize::from(!verdict.holds());
            }
            Err(error) => {
                println!("{}: cannot be compared: {error}", name(run));
                differ += 1;
            }
        }
    }
    println!("parity_vidur: {} of {} runs agree", runs.len() - differ, runs.len());
    Ok(ExitCode::from(u8::from(differ > 0)))
}

/// The folders of runs, by name.
fn runs(folder: &Path, only: Option<&str>) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let asked = |run: &PathBuf| only.is_none_or(|only| name(run).contains(only));
    let mut runs: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    runs.retain(|run| Recorded::is_in(run) && asked(run));
    runs.sort();
    runs
}

/// Runs what was recorded in `run`, and compares.
fn check(run: &Path, facts: &Path, options: &Options) -> Result<Verdict, Box<dyn Error>> {
    let recorded = Recorded::read(run)?;
    let (mut settings, tables) = settings(run, options)?;
    if let Some(replicas) = recorded.replicas() {
        settings.replicas = settings.replicas.max(replicas.iter().max().map_or(1, |last| last + 1));
        settings.global = Global::Recorded(replicas.into());
    }
    let tables = tables_for(run, facts, options.tables.clone().or(tables.map(PathBuf::from)))?;
    let tables = Arc::new(Tables::read(&tables)?);
    let model: Arc<dyn StepModel> = tables.clone();
    let simulated = vidur::simulate(&recorded.load, &settings, &model)?;
    let mut verdict = compare::compare(&simulated, &recorded, settings.replicas);
    if tables.outside() > 0 {
        verdict.fault(format!("the predictor's tables do not hold {} batches", tables.outside()));
    }
    Ok(verdict)
}

/// The tables that are asked for, or those whose name has most in common with that of the run.
fn tables_for(run: &Path, facts: &Path, asked: Option<PathBuf>) -> Result<PathBuf, Box<dyn Error>> {
    let all = facts.join("predictor_tables");
    if let Some(asked) = asked {
        let there = [asked.clone(), all.join(&asked), run.join(&asked)];
        let found = there.into_iter().find(|folder| folder.join("meta.json").exists());
        return found.ok_or_else(|| format!("no tables in {}", asked.display()).into());
    }
    let parts: Vec<String> = name(run).split('_').map(str::to_owned).collect();
    let common =
        |folder: &PathBuf| name(folder).split('_').filter(|part| parts.iter().any(|p| p == part)).count();
    let mut folders: Vec<PathBuf> = fs::read_dir(&all)?.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    folders.reverse();
    let best = folders.into_iter().max_by_key(common);
    best.ok_or_else(|| format!("no tables in {}", all.display()).into())
}
