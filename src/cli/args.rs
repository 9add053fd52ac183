//! Arguments as clap reads them; [`options`](super::options) checks them and is all that others see.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args as Group, Parser, Subcommand, ValueEnum, ValueHint};

use crate::output::EXPORTERS;

const EXAMPLES: &str = "\
Examples:
  mist run scenarios/quickstart.ron
  mist run scenarios/quickstart.ron --set 'workload[0].requests=500' --format json
  mist check scenarios/quickstart.ron
  mist explain workload.arrivals
  mist list models llama

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

The results folder holds summary.json, requests.csv, scenario.resolved.ron (the scenario
with every default; running it again gives the same bytes) and provenance.json.")]
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
    /// Nothing on stderr but problems
    #[arg(long, short)]
    pub(super) quiet: bool,
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
    /// prices.ron of a catalog from a table of prices
    Prices {
        /// The table, a CSV file
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
}
