//! From arguments to options: what is wrong with them is said here.

use clap::Parser;

use super::{
    CalibrateOptions, Catalogued, Class, Command, Derive, Keep, ListOptions, Listing, PriceOptions, Recorded,
    ReplicationsOptions, RunOptions, ScenarioOptions, TiersOptions, TimelineOptions, Trace, ValidateOptions,
};
use crate::calibrate::Choice;
use crate::catalog::Precision;
use crate::cli::args::{
    Args, DeriveArgs, ExecutorName, Form, Listed, PriceArgs, RunArgs, ScenarioArgs, TraceArgs, TraceFile,
    Verb,
};
use crate::cli::failure::Failure;
use crate::engine::Executor;
use crate::output::{EXPORTERS, Exporter, exporter};
use crate::scenario::Problem;

impl Command {
    /// What the arguments of this process ask for.
    pub(in crate::cli) fn from_process() -> Result<Self, Failure> {
        Self::new(Args::try_parse()?.verb)
    }

    pub(super) fn new(verb: Verb) -> Result<Self, Failure> {
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
