//! `mist trace`.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args as Group, Subcommand, ValueHint};

use super::{Form, ScenarioArgs};
use crate::workload::trace::FORMATS;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TraceArgs {
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
pub(in crate::cli) struct TraceFile {
    /// The trace; `-` for stdin
    #[arg(value_hint = ValueHint::FilePath)]
    pub(in crate::cli) file: PathBuf,
    /// The trace's format; default: the one that fits its first line
    #[arg(long, value_name = "FORMAT", value_parser = trace_formats())]
    pub(in crate::cli) from: Option<String>,
    /// Tokens of one block of the prompts, for a Mooncake or Bailian trace that was made with others
    /// than the published ones, 512 and 16
    #[arg(long, value_name = "N")]
    pub(in crate::cli) block_tokens: Option<u32>,
    /// Characters a token, for a ShareGPT file whose tokens were not counted beforehand
    #[arg(long, value_name = "X")]
    pub(in crate::cli) chars_per_token: Option<f64>,
}

#[derive(Debug, Group)]
pub(in crate::cli) struct OutFile {
    /// Where the trace goes, whole or not at all; default: stdout
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) output: Option<PathBuf>,
}

fn trace_formats() -> PossibleValuesParser {
    PossibleValuesParser::new(FORMATS.iter().map(|format| format.name))
}
