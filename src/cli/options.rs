//! What the user wants, checked: no trace of clap beyond what makes it of arguments.

mod checked;

use std::path::PathBuf;

pub(super) use super::args::TableForm;
use crate::calibrate::Choice;
use crate::catalog::Precision;
use crate::engine::Executor;
use crate::output::{Exporter, ReplicationsExporter};
use crate::simulation::Simulation;

/// One use of the program.
pub(super) enum Command {
    /// `mist run`
    Run(RunOptions),
    /// `mist check`
    Check(ScenarioOptions),
    /// `mist explain`
    Explain { path: String },
    /// `mist reference`
    Reference,
    /// `mist list`
    List(ListOptions),
    /// `mist trace`
    Trace(Trace),
    /// `mist derive`
    Derive(Derive),
    /// `mist tiers`
    Tiers(TiersOptions),
    /// `mist validate`
    Validate(ValidateOptions),
    /// `mist price`
    Price(PriceOptions),
    /// `mist calibrate`
    Calibrate(CalibrateOptions),
}

/// What to fit a profile to, and where to put it.
pub(super) struct CalibrateOptions {
    pub(super) folder: PathBuf,
    pub(super) gpu: String,
    pub(super) output: Option<PathBuf>,
    /// Whether a profile that is there may be replaced.
    pub(super) replace: bool,
    pub(super) choices: Vec<Choice>,
    /// As written, for the record.
    pub(super) tables: Vec<String>,
    /// Whether whole steps are fitted, not operators.
    pub(super) whole_steps: bool,
    pub(super) scored: bool,
    pub(super) source: String,
    pub(super) licence: String,
}

/// A scenario and what is changed in it.
pub(super) struct ScenarioOptions {
    pub(super) file: PathBuf,
    pub(super) sets: Vec<String>,
}

impl ScenarioOptions {
    /// `simulation` with the changes.
    pub(super) fn apply(&self, simulation: Simulation) -> Simulation {
        self.sets.iter().fold(simulation, Simulation::set)
    }
}

/// How to run a scenario and what to do with the outcome.
pub(super) struct RunOptions {
    pub(super) scenario: ScenarioOptions,
    pub(super) format: &'static dyn Exporter,
    pub(super) results: Keep,
    pub(super) quiet: bool,
    pub(super) executor: Executor,
    pub(super) strides: bool,
    pub(super) replications: Option<ReplicationsOptions>,
    pub(super) timeline: Option<TimelineOptions>,
}

/// Whose stages to show one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimelineOptions {
    /// Those of all requests, if there are few.
    All,
    /// Those of so many, the first to arrive.
    First(u64),
}

/// How many replications, and how to print what they come to.
#[derive(Clone, Copy)]
pub(super) struct ReplicationsOptions {
    pub(super) count: u32,
    pub(super) format: &'static dyn ReplicationsExporter,
}

/// Where results are kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// In `results/`, under the scenario's name.
    ByName,
    /// In this folder, whose parent exists.
    At(PathBuf),
    /// Nowhere.
    Nowhere,
}

/// What to show of which catalog.
pub(super) struct ListOptions {
    pub(super) what: Listing,
    /// What names must hold, whatever the case.
    pub(super) filter: Option<String>,
    pub(super) catalog: Option<PathBuf>,
}

/// A part of the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Catalogued {
    Hardware,
    Models,
    Prices,
}

/// What to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    Catalogued(Catalogued),
    /// The runtime profiles that ship.
    Profiles,
}

/// Which tiers of memory to compare, and how to print it.
pub(super) struct TiersOptions {
    /// As written; the paper's if there are none.
    pub(super) tiers: Vec<String>,
    pub(super) model: Option<String>,
    pub(super) form: TableForm,
}

/// Which measurements to judge which model by.
pub(super) struct ValidateOptions {
    pub(super) folder: PathBuf,
    /// All if there are none.
    pub(super) sets: Vec<String>,
    /// As written, if it was.
    pub(super) runtime: Option<String>,
    pub(super) every: u32,
    pub(super) json: bool,
}

/// A step, and what it is to be priced on.
pub(super) struct PriceOptions {
    pub(super) model: String,
    pub(super) hardware: String,
    /// As written.
    pub(super) prefill: Vec<String>,
    /// As written.
    pub(super) decode: Vec<String>,
    pub(super) tensor_parallel: u32,
    pub(super) pipeline_parallel: u32,
    pub(super) data_parallel: u32,
    pub(super) expert_parallel: bool,
    pub(super) weights: Precision,
    pub(super) activations: Option<Precision>,
    pub(super) kv_cache: Precision,
    pub(super) offload_gib: f64,
    /// As written.
    pub(super) runtime: String,
    pub(super) catalog: Option<PathBuf>,
    pub(super) json: bool,
}

/// What to do with traces.
pub(super) enum Trace {
    Gen { class: Class, seed: u64, output: Option<PathBuf> },
    Inspect { trace: Recorded, json: bool },
    Export { scenario: ScenarioOptions, output: Option<PathBuf> },
    Convert { trace: Recorded, output: Option<PathBuf> },
}

/// A class of traffic, as a scenario says it.
pub(super) struct Class {
    pub(super) arrivals: String,
    pub(super) lengths: String,
    pub(super) prefix: Option<String>,
    pub(super) sessions: Option<String>,
    pub(super) requests: u64,
}

/// A trace, and how to read it where it does not say.
pub(super) struct Recorded {
    /// `None` for stdin.
    pub(super) file: Option<PathBuf>,
    pub(super) format: Option<String>,
    pub(super) block_tokens: Option<u32>,
    pub(super) chars_per_token: Option<f64>,
}

/// What to make of which file.
pub(super) enum Derive {
    Lengths { trace: PathBuf, format: Option<String>, name: String, source: String, licence: String },
    Catalog { what: Catalogued, file: PathBuf },
    Collectives { file: PathBuf },
}

#[cfg(test)]
mod tests;
