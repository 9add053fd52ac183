//! What the user wants, checked: no trace of clap beyond this file.

use std::path::PathBuf;

use clap::Parser;

pub(super) use super::args::TableForm;
use super::args::{
    Args, DeriveArgs, ExecutorName, Form, Listed, PriceArgs, RunArgs, ScenarioArgs, TraceArgs, TraceFile,
    Verb,
};
use super::failure::Failure;
use crate::calibrate::Choice;
use crate::catalog::Precision;
use crate::engine::Executor;
use crate::output::{EXPORTERS, Exporter, ReplicationsExporter, exporter};
use crate::scenario::Problem;
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
    /// As written.
    pub(super) runtime: String,
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

impl Command {
    /// What the arguments of this process ask for.
    pub(super) fn from_process() -> Result<Self, Failure> {
        Self::new(Args::try_parse()?.verb)
    }

    fn new(verb: Verb) -> Result<Self, Failure> {
        Ok(match verb {
            Verb::Run(args) => Self::Run(RunOptions::new(args)?),
            Verb::Check { scenario } => Self::Check(ScenarioOptions::new(scenario)),
            Verb::Explain { path } => Self::Explain { path: path.unwrap_or_default() },
            Verb::Reference => Self::Reference,
            Verb::List { what, filter, catalog } => {
                let what = match what {
                    Listed::Hardware => Listing::Catalogued(Catalogued::Hardware),
                    Listed::Models => Listing::Catalogued(Catalogued::Models),
                    Listed::Prices => Listing::Catalogued(Catalogued::Prices),
                    Listed::Profiles if catalog.is_some() => {
                        return Err(Failure::input("profiles are not of a catalog: leave out --catalog"));
                    }
                    Listed::Profiles => Listing::Profiles,
                };
                Self::List(ListOptions { what, filter, catalog })
            }
            Verb::Trace { what } => Self::Trace(Trace::new(what)),
            Verb::Calibrate {
                folder,
                gpu,
                output,
                force,
                tables,
                whole_steps,
                no_scores,
                source,
                licence,
            } => {
                let read = |text: &String| {
                    Choice::read(text).map_err(|why| Failure::input(format!("`--use {text}`: {why}")))
                };
                let choices = tables.iter().map(read).collect::<Result<_, _>>()?;
                let (replace, scored) = (force, !no_scores);
                Self::Calibrate(CalibrateOptions {
                    folder,
                    gpu,
                    output,
                    replace,
                    choices,
                    tables,
                    whole_steps,
                    scored,
                    source,
                    licence,
                })
            }
            Verb::Tiers { tiers, model, format } => Self::Tiers(TiersOptions { tiers, model, form: format }),
            Verb::Validate { folder, sets, runtime, every, format } => {
                let json = format == Form::Json;
                Self::Validate(ValidateOptions { folder, sets, runtime, every, json })
            }
            Verb::Price(args) => Self::Price(PriceOptions::new(args)?),
            Verb::Derive { what } => Self::Derive(match what {
                DeriveArgs::Lengths { trace, name, source, licence, format } => {
                    Derive::Lengths { trace, format, name, source, licence }
                }
                DeriveArgs::Collectives { file } => Derive::Collectives { file },
                DeriveArgs::Hardware { file } => Derive::Catalog { what: Catalogued::Hardware, file },
                DeriveArgs::Models { file } => Derive::Catalog { what: Catalogued::Models, file },
                DeriveArgs::Prices { file } => Derive::Catalog { what: Catalogued::Prices, file },
            }),
        })
    }
}

impl PriceOptions {
    fn new(args: PriceArgs) -> Result<Self, Failure> {
        // Clap lets only known names through.
        let precision = |name: &str| Precision::ALL.into_iter().find(|known| known.name() == name);
        let or_usual = |name: &str| precision(name).unwrap_or(Precision::Bf16);
        if !(args.offload >= 0.0 && args.offload.is_finite()) {
            return Err(Failure::input(format!("`--offload {}` must not be negative", args.offload)));
        }
        Ok(Self {
            weights: or_usual(&args.weights),
            activations: args.activations.as_deref().and_then(precision),
            kv_cache: or_usual(&args.kv_cache),
            model: args.model,
            hardware: args.hardware,
            prefill: args.prefill,
            decode: args.decode,
            tensor_parallel: args.tp,
            pipeline_parallel: args.pp,
            data_parallel: args.dp,
            expert_parallel: args.ep,
            offload_gib: args.offload,
            runtime: args.runtime,
            catalog: args.catalog,
            json: args.format == Form::Json,
        })
    }
}

impl Trace {
    fn new(args: TraceArgs) -> Self {
        match args {
            TraceArgs::Gen { arrivals, lengths, prefix, sessions, requests, seed, out } => {
                let class = Class { arrivals, lengths, prefix, sessions, requests };
                Self::Gen { class, seed, output: out.output }
            }
            TraceArgs::Inspect { trace, format } => {
                Self::Inspect { trace: Recorded::new(trace), json: format == Form::Json }
            }
            TraceArgs::Export { scenario, output } => {
                Self::Export { scenario: ScenarioOptions::new(scenario), output }
            }
            TraceArgs::Convert { trace, out } => {
                Self::Convert { trace: Recorded::new(trace), output: out.output }
            }
        }
    }
}

impl Recorded {
    fn new(args: TraceFile) -> Self {
        let TraceFile { file, from, block_tokens, chars_per_token } = args;
        let file = Some(file).filter(|file| file.as_os_str() != "-");
        Self { file, format: from, block_tokens, chars_per_token }
    }
}

impl ScenarioOptions {
    fn new(ScenarioArgs { file, sets }: ScenarioArgs) -> Self {
        Self { file, sets }
    }
}

impl RunOptions {
    fn new(args: RunArgs) -> Result<Self, Failure> {
        let RunArgs {
            scenario,
            format,
            results,
            no_results,
            quiet,
            replications,
            timeline,
            executor,
            no_strides,
        } = args;
        // Clap lets only known names through.
        let format = exporter(&format).unwrap_or(EXPORTERS[0]);
        let replications = replications.map(|count| ReplicationsOptions::new(count, format)).transpose()?;
        Ok(Self {
            scenario: ScenarioOptions::new(scenario),
            format,
            replications,
            timeline: timeline.map(|first| TimelineOptions::new(first, format)).transpose()?,
            results: match results {
                _ if no_results => Keep::Nowhere,
                Some(folder) => Keep::At(folder),
                None => Keep::ByName,
            },
            quiet,
            executor: match executor {
                ExecutorName::Gated => Executor::Gated,
                ExecutorName::Stock => Executor::Stock,
            },
            strides: !no_strides,
        })
    }
}

impl TimelineOptions {
    fn new(first: u64, format: &'static dyn Exporter) -> Result<Self, Failure> {
        if format.name() != EXPORTERS[0].name() {
            let message = format!("`--format {}` has no room for a timeline", format.name());
            let help = "leave out --format, or take the stages from stages.csv among the results";
            return Err(Failure::Input(Problem::new("", message).help(help)));
        }
        // No number stands for all.
        Ok(if first == 0 { Self::All } else { Self::First(first) })
    }
}

impl ReplicationsOptions {
    fn new(count: u32, format: &'static dyn Exporter) -> Result<Self, Failure> {
        let Some(format) = format.for_replications() else {
            let message = format!("`--format {}` holds one run only, not replications", format.name());
            let help = "leave out --replications, or ask for `--format json`";
            return Err(Failure::Input(Problem::new("", message).help(help)));
        };
        Ok(Self { count, format })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn command(line: &str) -> Command {
        let command = Command::new(Args::try_parse_from(line.split(' ')).unwrap().verb);
        command.unwrap_or_else(|failure| panic!("{}", failure.text(false)))
    }

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn defaults_of_a_run() {
        let Command::Run(options) = command("mist run a.ron") else { panic!("not a run") };
        assert_eq!((options.format.name(), options.results), ("table", Keep::ByName));
        assert_eq!((options.executor, options.strides, options.quiet), (Executor::Gated, true, false));
    }

    #[test]
    fn every_option_of_a_run() {
        let line =
            "mist run --format vllm --results out -q --executor stock --no-strides --set a=1 --set b=2 a.ron";
        let Command::Run(options) = command(line) else { panic!("not a run") };
        assert_eq!((options.format.name(), options.results), ("vllm", Keep::At("out".into())));
        assert_eq!((options.executor, options.strides, options.quiet), (Executor::Stock, false, true));
        assert_eq!(options.scenario.sets, ["a=1", "b=2"]);
    }

    #[test]
    fn replications_need_a_format_for_several_runs() {
        let Command::Run(options) = command("mist run a.ron --replications 20") else { panic!("not a run") };
        assert_eq!(options.replications.map(|replications| replications.count), Some(20));
        for count in ["0", "1", "10001", "many"] {
            assert!(Args::try_parse_from(["mist", "run", "a.ron", "--replications", count]).is_err());
        }
        let line = "mist run a.ron --replications 20 --format vllm";
        let refused = Command::new(Args::try_parse_from(line.split(' ')).unwrap().verb);
        assert_eq!(refused.err().map(|failure| failure.exit_code()), Some(2));
    }

    #[test]
    fn a_timeline_is_of_all_or_of_the_first() {
        for (line, expected) in [
            ("mist run a.ron", None),
            ("mist run --timeline a.ron", Some(TimelineOptions::All)),
            ("mist run a.ron --timeline=20", Some(TimelineOptions::First(20))),
        ] {
            let Command::Run(options) = command(line) else { panic!("not a run") };
            assert_eq!(options.timeline, expected);
        }
        assert!(Args::try_parse_from("mist run a.ron --timeline --replications 3".split(' ')).is_err());
        let json = Args::try_parse_from("mist run a.ron --timeline --format json".split(' ')).unwrap();
        assert_eq!(Command::new(json.verb).err().map(|failure| failure.exit_code()), Some(2));
    }

    #[test]
    fn results_are_kept_in_one_place_or_none() {
        assert!(Args::try_parse_from("mist run a.ron --results out --no-results".split(' ')).is_err());
        let Command::Run(options) = command("mist run a.ron --no-results") else { panic!("not a run") };
        assert_eq!(options.results, Keep::Nowhere);
    }
}
