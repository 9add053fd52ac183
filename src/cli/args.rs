//! Arguments as clap reads them; [`options`](super::options) checks them and is all that others see.

mod measured;
mod price;
mod trace;

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args as Group, Parser, Subcommand, ValueEnum, ValueHint};

pub(super) use self::price::PriceArgs;
pub(super) use self::trace::{TraceArgs, TraceFile};
use crate::output::EXPORTERS;

const EXAMPLES: &str = "\
Examples:
  mist run scenarios/quickstart.ron
  mist run scenarios/quickstart.ron --set 'workload[0].requests=500' --format json
  mist check scenarios/quickstart.ron
  mist explain workload.arrivals
  mist list models llama
  mist trace inspect trace.jsonl

Exit codes: 0 done, 1 the run failed, 2 bad input, 130 interrupted";

/// Simulates LLM serving: latency, throughput and cost of a deployment from one file
#[derive(Debug, Parser)]
#[command(name = "mist", version, after_help = EXAMPLES, arg_required_else_help = true)]
#[command(disable_help_subcommand = true, subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Run a scenario: a summary on stdout, details in a results folder
    #[command(after_help = "\
Examples:
  mist run scenarios/quickstart.ron
  mist run scenarios/quickstart.ron --set 'workload[0].arrivals.rate=per_s(20)' --set seed=7
  mist run scenarios/quickstart.ron --format json --no-results | jq .latency.ttft
  mist run scenarios/quickstart.ron --replications 20
  mist run scenarios/use_cases/news_search.ron --timeline=3

The results folder holds summary.json, requests.csv, scenario.resolved.ron (the scenario
with every default; running it again gives the same bytes) and provenance.json.
Replications leave replications.json and replications.csv in place of the first two; the
latter has the seeds, to run one of them again alone with --set seed=SEED.")]
    Run(RunArgs),
    /// Check a scenario and say what it comes to, without running it
    Check {
        #[command(flatten)]
        scenario: ScenarioArgs,
    },
    /// Explain a field of the scenario language: meaning, unit, range, default
    #[command(after_help = "\
Examples:
  mist explain                      the whole scenario
  mist explain clients.runs         what a client may be
  mist explain workload.arrivals.Poisson.rate")]
    Explain {
        /// The field, such as `workload.arrivals`; default: the top of the scenario
        path: Option<String>,
    },
    /// Print the reference of the whole scenario language, in Markdown
    #[command(after_help = "\
Example:
  mist reference > REFERENCE.md")]
    Reference,
    /// List what the catalog knows, with its sources
    #[command(arg_required_else_help = true)]
    #[command(after_help = "\
Examples:
  mist list hardware h100
  mist list models qwen3
  mist list profiles
  mist list prices --catalog my-catalog")]
    List {
        /// What to list
        what: Listed,
        /// Only names that contain this, whatever the case
        filter: Option<String>,
        /// A folder with hardware.ron, models.ron or prices.ron to lay over the built-in catalog
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        catalog: Option<PathBuf>,
    },
    /// Make, describe and convert traces of requests
    #[command(
        arg_required_else_help = true,
        subcommand_value_name = "WHAT",
        subcommand_help_heading = "What"
    )]
    #[command(disable_help_subcommand = true)]
    Trace {
        #[command(subcommand)]
        what: TraceArgs,
    },
    /// Print how long it takes to get KV out of tiers of memory, by its size
    #[command(after_help = "\
Examples:
  mist tiers                                     DDR4 and NVMe, as in Fig. 8b of the MIST paper
  mist tiers --model Llama-3.1-70B               with the tokens whose KV it is
  mist tiers 'DDR4(hit_rate: 0.6)' 'NVMe(hit_rate: 0.8)'
  mist tiers DDR4 'CXL(lookup: ns(300), bandwidth: gb_per_s(50), capacity: gib(512))' --format csv

Tiers that may miss are asked one after another: EXPECTED is the mean over hits and misses, and
RECOMPUTED how often no tier has it, so that the model computes it anew.")]
    Tiers {
        /// The tiers, fastest first: `DDR4`, `NVMe`, or a name of your own with figures; default:
        /// these two
        #[arg(value_name = "TIER")]
        tiers: Vec<String>,
        /// The model whose KV it is, in 16 bit: a name in the catalog or a Hugging Face config.json
        #[arg(long)]
        model: Option<String>,
        /// Form of the table
        #[arg(long, value_enum, default_value_t = TableForm::Table)]
        format: TableForm,
    },
    /// Print what one step of a model costs, operator by operator, and what bounds each
    #[command(after_help = "\
Examples:
  mist price Llama-3.1-70B H100-SXM5-80GB --tp 4 --prefill 2048 --decode 64x4096
  mist price Llama-3.1-8B L40S --decode 1x1000,15x300      one long sequence among short ones
  mist price Llama-3.1-8B L40S --prefill 512@8192 --weights int4
  mist price DeepSeek-V3 B200-SXM --dp 8 --ep --weights fp8 --decode 64x4096
  mist price Llama-3.1-8B H100-SXM5-80GB --decode 64x1024 --runtime 'Analytical(cuda_graphs: false)'

A step is one forward pass. `512@8192` are 512 tokens of a prompt whose first 8,192 are cached.")]
    Price(PriceArgs),
    /// Lay predictions beside measurements, and say how far off they are
    #[command(after_help = measured::VALIDATE, after_long_help = measured::validate_at_length())]
    Validate {
        /// The folder with the measurements
        #[arg(value_name = "FOLDER", value_hint = ValueHint::DirPath)]
        folder: PathBuf,
        /// The sets to judge; default: all whose files are there
        #[arg(value_name = "SET")]
        sets: Vec<String>,
        /// The runtime model, as a scenario says it; default: Analytical
        ///
        /// Runs of one's own have those of their scenarios, `genz` and `llmcompass` one that goes with the comparison.
        #[arg(long, value_name = "CHOICE")]
        runtime: Option<String>,
        /// Simulate every Nth row of the closed loops and of one's own runs only
        #[arg(long, value_name = "N", default_value_t = 1)]
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        every: u32,
        /// Form of the report
        #[arg(long, value_enum, default_value_t = Form::Table)]
        format: Form,
    },
    /// Fit a runtime profile to measured operators, and say how well it foretells what it has not seen
    #[command(after_help = measured::CALIBRATE, after_long_help = measured::calibrate_at_length())]
    Calibrate {
        /// The folder of measurements
        #[arg(value_hint = ValueHint::DirPath)]
        folder: PathBuf,
        /// The device they were taken on: a name in the catalog
        #[arg(long, value_name = "NAME")]
        gpu: String,
        /// Where the profile goes, whole or not at all; default: nowhere, for the errors alone
        #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
        /// Replace a profile that is there already
        #[arg(long, requires = "output")]
        force: bool,
        /// Take this table where there are several, such as `gemm.fp8=vllm-0.19.0`, or of products the `median` of all;
        /// repeatable
        #[arg(long = "use", value_name = "OPERATOR=TABLE")]
        tables: Vec<String>,
        /// Fit whole steps of a model with an engine, not operators
        #[arg(long, conflicts_with_all = ["tables", "no_scores"])]
        whole_steps: bool,
        /// Do not find out how well the fits foretell, which takes most of the time
        #[arg(long)]
        no_scores: bool,
        /// Where the measurements come from, for the record
        #[arg(long, value_name = "TEXT", default_value = "not stated")]
        source: String,
        /// Their licence, for the record, as an SPDX identifier
        #[arg(long, value_name = "TEXT", default_value = "not stated")]
        licence: String,
    },
    /// Make an asset from raw data, on stdout
    #[command(
        arg_required_else_help = true,
        subcommand_value_name = "WHAT",
        subcommand_help_heading = "What"
    )]
    #[command(disable_help_subcommand = true)]
    Derive {
        #[command(subcommand)]
        what: DeriveArgs,
    },
}

#[derive(Debug, Group)]
pub(super) struct ScenarioArgs {
    /// The scenario, a .ron file
    #[arg(value_hint = ValueHint::FilePath)]
    pub(super) file: PathBuf,
    /// Change a value, such as `workload[0].requests=500`; repeatable
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub(super) sets: Vec<String>,
}

#[derive(Debug, Group)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) scenario: ScenarioArgs,
    /// Form of the summary
    #[arg(long, default_value = EXPORTERS[0].name(), value_parser = formats())]
    pub(super) format: String,
    /// Where results go; default: results/NAME, by the scenario's name
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) results: Option<PathBuf>,
    /// Keep no results beyond the summary on stdout
    #[arg(long, conflicts_with = "results")]
    pub(super) no_results: bool,
    /// Show every stage of every request, or of the first N, when it was where: a table, a chart, and
    /// stages.csv among the results
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    #[arg(conflicts_with = "replications")]
    pub(super) timeline: Option<u64>,
    /// Nothing on stderr but problems
    #[arg(long, short)]
    pub(super) quiet: bool,
    /// Run it so often, in parallel, under seeds derived from the scenario's; report means with 95 %
    /// confidence intervals
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub(super) replications: Option<u32>,
    /// What runs the systems, with the same results
    #[arg(long, value_enum, default_value_t = ExecutorName::Gated)]
    pub(super) executor: ExecutorName,
    /// Run repeating steps one by one, with the same results
    #[arg(long)]
    pub(super) no_strides: bool,
}

fn formats() -> PossibleValuesParser {
    PossibleValuesParser::new(EXPORTERS.iter().map(|exporter| exporter.name()))
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ExecutorName {
    Gated,
    Stock,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Listed {
    Hardware,
    Models,
    Prices,
    Profiles,
}

/// How a description is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    Table,
    Json,
}

/// How a table is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum TableForm {
    Table,
    Json,
    Csv,
}

#[derive(Debug, Subcommand)]
pub(super) enum DeriveArgs {
    /// A table of prompt and output lengths from a trace of requests
    #[command(after_help = "\
Example:
  mist derive lengths trace.csv --name Mine --source 'our gateway, May' --licence CC0-1.0")]
    Lengths {
        /// The trace
        #[arg(value_hint = ValueHint::FilePath)]
        trace: PathBuf,
        /// What to call the table
        #[arg(long)]
        name: String,
        /// The trace's name and address, for the record
        #[arg(long, value_name = "TEXT")]
        source: String,
        /// The trace's licence, as an SPDX identifier
        #[arg(long, value_name = "TEXT")]
        licence: String,
        /// The trace's format, such as `azure`; default: the one that fits its first line
        #[arg(long)]
        format: Option<String>,
    },
    /// hardware.ron of a catalog from a table of devices
    Hardware {
        /// The table, a CSV file
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// models.ron of a catalog from a table of models
    Models {
        /// The table, a CSV file
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// collectives.ron, what ranks send each other as measured, from a table of fitted curves
    Collectives {
        /// The table, a CSV file
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// prices.ron of a catalog from a table of prices
    Prices {
        /// The table, a CSV file
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
}
