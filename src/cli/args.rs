//! Arguments as clap reads them; [`options`](super::options) checks them and is all that others see.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args as Group, Parser, Subcommand, ValueEnum, ValueHint};

use crate::catalog::Precision;
use crate::output::EXPORTERS;
use crate::workload::trace::FORMATS;

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
    #[command(after_help = "\
Examples:
  mist list hardware h100
  mist list models qwen3
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
    #[command(after_help = "\
Examples:
  mist validate facts                      every set whose files are there
  mist validate scenarios/validation       the paper's runs, predicted
  mist validate facts static vllm019
  mist validate facts trtllm --every 10    every tenth row of the closed loops
  mist validate facts nim --format json | jq '.[0].points'

FOLDER holds the measurements by the names of their files; what each must hold is in the documentation of
mist::calibrate::validate.")]
    Validate {
        /// The folder with the measurements
        #[arg(value_name = "FOLDER", value_hint = ValueHint::DirPath)]
        folder: PathBuf,
        /// The sets to judge; default: all whose files are there
        #[arg(value_name = "SET")]
        sets: Vec<String>,
        /// The runtime model, as a scenario says it
        #[arg(long, value_name = "CHOICE", default_value = "Analytical")]
        runtime: String,
        /// Simulate every Nth row of the closed loops and of one's own runs only
        #[arg(long, value_name = "N", default_value_t = 1)]
        every: u32,
        /// Form of the report
        #[arg(long, value_enum, default_value_t = Form::Table)]
        format: Form,
    },
    /// Fit a runtime profile to measured operators, and say how well it foretells what it has not seen
    #[command(after_help = "\
Examples:
  mist calibrate kernels/h100 --gpu H100-SXM5-80GB -o h100.ron
  mist calibrate kernels/h100 --gpu H100-SXM5-80GB --use gemm=vllm-0.19.0 --use moe.bf16=vllm-0.14.0
  mist calibrate kernels/h100 --gpu H100-SXM5-80GB --no-scores -o h100.ron --force
  mist calibrate my_steps --gpu H100-SXM5-80GB --whole-steps -o steps.ron

The folder is searched for aiconfigurator's tables (gemm_perf.parquet, ENGINE-VERSION by the name of its folder),
LLMServingSim's MODEL/tpN/attention.csv and dense.csv, and mist_gemm.csv, mist_attention.csv and mist_all_reduce.csv
with measurements of your own. Rows faster than the device can be are left out, tables full of them refused.
With --whole-steps it is searched for mist_steps.csv and step_static_batch_trtllm.csv, whose columns are in the
documentation of mist::calibrate::calibrate_steps; `Empirical(steps: \"steps.ron\")` takes what comes of them.

Errors are of what was held out: a fifth of the shapes at a time, foretold from the others.")]
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

#[derive(Debug, Group)]
pub(super) struct PriceArgs {
    /// The model: a name in the catalog or a Hugging Face config.json
    pub(super) model: String,
    /// The accelerator: a name in the catalog
    #[arg(value_name = "GPU")]
    pub(super) hardware: String,
    /// Prompts, or pieces of prompts: `2048`, `512@8192` behind a cached prefix, `4x512` four alike
    #[arg(long, value_name = "TOKENS", value_delimiter = ',')]
    pub(super) prefill: Vec<String>,
    /// Decoding sequences and the tokens each attends to: `64x4096`
    #[arg(long, value_name = "NxTOKENS", value_delimiter = ',')]
    pub(super) decode: Vec<String>,
    /// Accelerators that share every layer
    #[arg(long, visible_alias = "tensor-parallel", value_name = "N", default_value_t = 1, value_parser = ranks())]
    pub(super) tp: u32,
    /// Stages of consecutive layers
    #[arg(long, visible_alias = "pipeline-parallel", value_name = "N", default_value_t = 1, value_parser = ranks())]
    pub(super) pp: u32,
    /// Copies of the attention layers that share the routed experts
    #[arg(long, visible_alias = "data-parallel", value_name = "N", default_value_t = 1, value_parser = ranks())]
    pub(super) dp: u32,
    /// Whole experts on each accelerator, not a slice of each
    #[arg(long, visible_alias = "expert-parallel")]
    pub(super) ep: bool,
    /// Precision of the weights
    #[arg(long, value_name = "PRECISION", default_value = "bf16", value_parser = precisions())]
    pub(super) weights: String,
    /// Precision of the products, if not that of the weights: `bf16` for weights that are narrow in memory only
    #[arg(long, value_name = "PRECISION", value_parser = precisions())]
    pub(super) activations: Option<String>,
    /// Precision of the KV cache
    #[arg(long, value_name = "PRECISION", default_value = "bf16", value_parser = precisions())]
    pub(super) kv_cache: String,
    /// Weights of each accelerator that stay in the host's memory (GiB)
    #[arg(long, value_name = "GIB", default_value_t = 0.0)]
    pub(super) offload: f64,
    /// The runtime model, as a scenario says it
    #[arg(long, value_name = "CHOICE", default_value = "Analytical")]
    pub(super) runtime: String,
    /// A folder with hardware.ron or models.ron to lay over the built-in catalog
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) catalog: Option<PathBuf>,
    /// Form of the bill
    #[arg(long, value_enum, default_value_t = Form::Table)]
    pub(super) format: Form,
}

fn ranks() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=4096)
}

fn precisions() -> PossibleValuesParser {
    PossibleValuesParser::new(Precision::ALL.map(Precision::name))
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

#[derive(Debug, Subcommand)]
pub(super) enum TraceArgs {
    /// Draw requests and write them as a trace in MIST's own format
    #[command(after_help = "\
Examples:
  mist trace gen --arrivals 'Poisson(rate: per_s(8))' --lengths AzureConv --requests 10000 -o poisson.jsonl
  mist trace gen --arrivals 'OnOff(on: s(5), off: s(15), on_rate: per_s(40))' --lengths AzureCode \\
      --requests 2000 | mist trace inspect -

`mist explain workload.arrivals` and `mist explain workload.lengths` show what there is to draw from.
The same seed gives the same trace, which is what the first class of a scenario with that seed would bring.")]
    Gen {
        /// When requests arrive, as a scenario says it, such as `Poisson(rate: per_s(8))`
        #[arg(long, value_name = "CHOICE")]
        arrivals: String,
        /// How long prompts and answers are, as a scenario says it, such as `AzureConv`
        #[arg(long, value_name = "CHOICE")]
        lengths: String,
        /// What prompts begin with, as a scenario says it, such as `[System(tokens: 2000)]`
        #[arg(long, value_name = "LIST")]
        prefix: Option<String>,
        /// Conversations, as a scenario says it, such as `(turns: Geometric(mean: 4), think: Exactly(s(9)))`
        #[arg(long, value_name = "FIELDS")]
        sessions: Option<String>,
        /// How many requests, at most; every turn of a conversation is one
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        requests: u64,
        /// The seed of every random draw
        #[arg(long, value_name = "S", default_value_t = 0)]
        seed: u64,
        #[command(flatten)]
        out: OutFile,
    },
    /// Describe a trace: lengths, rates, burstiness, sessions, and what a prefix cache could save
    #[command(after_help = "\
Examples:
  mist trace inspect AzureLLMInferenceTrace_conv.csv
  mist trace inspect conversation_trace.jsonl --format json | jq .prefix.token_hit_ratio

The prefix-hit ceiling is the share of prompt tokens that a cache which never forgets would hold already;
only a trace with block ids (Mooncake, Bailian, native) has one. An index of dispersion of 1 is as bursty
as Poisson arrivals are.")]
    Inspect {
        #[command(flatten)]
        trace: TraceFile,
        /// Form of the description
        #[arg(long, value_enum, default_value_t = Form::Table)]
        format: Form,
    },
    /// Write the requests that a scenario brings, so that a replay gives the same run
    #[command(after_help = "\
Examples:
  mist trace export scenarios/quickstart.ron > quickstart.jsonl
  mist trace export scenarios/examples/two_classes.ron -o traces     writes traces/chat.jsonl, traces/code.jsonl

To replay, put `trace: (path: \"quickstart.jsonl\")` in the place of the class's arrivals, lengths and
requests. Closed loops cannot be exported: when their requests come depends on who serves them.")]
    Export {
        #[command(flatten)]
        scenario: ScenarioArgs,
        /// Where the traces go, one CLASS.jsonl a class; default: stdout, if there is one class only
        #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
        output: Option<PathBuf>,
    },
    /// Write a trace of any format in MIST's own
    #[command(after_help = "\
Examples:
  mist trace convert conversation_trace.jsonl -o mooncake.jsonl
  mist trace convert ShareGPT_V3.json --chars-per-token 4 -o sharegpt.jsonl

Keys and columns that MIST has no use for are left out. A trace without arrivals, such as ShareGPT's, serves as `lengths` only.")]
    Convert {
        #[command(flatten)]
        trace: TraceFile,
        #[command(flatten)]
        out: OutFile,
    },
}

#[derive(Debug, Group)]
pub(super) struct TraceFile {
    /// The trace; `-` for stdin
    #[arg(value_hint = ValueHint::FilePath)]
    pub(super) file: PathBuf,
    /// The trace's format; default: the one that fits its first line
    #[arg(long, value_name = "FORMAT", value_parser = trace_formats())]
    pub(super) from: Option<String>,
    /// Tokens of one block of the prompts, for a Mooncake or Bailian trace that was made with others
    /// than the published ones, 512 and 16
    #[arg(long, value_name = "N")]
    pub(super) block_tokens: Option<u32>,
    /// Characters a token, for a ShareGPT file whose tokens were not counted beforehand
    #[arg(long, value_name = "X")]
    pub(super) chars_per_token: Option<f64>,
}

#[derive(Debug, Group)]
pub(super) struct OutFile {
    /// Where the trace goes, whole or not at all; default: stdout
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) output: Option<PathBuf>,
}

fn trace_formats() -> PossibleValuesParser {
    PossibleValuesParser::new(FORMATS.iter().map(|format| format.name))
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
