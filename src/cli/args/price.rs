//! `mist price`.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args as Group, ValueHint};

use super::Form;
use crate::catalog::Precision;

#[derive(Debug, Group)]
pub(in crate::cli) struct PriceArgs {
    /// The model: a name in the catalog or a Hugging Face config.json
    pub(in crate::cli) model: String,
    /// The accelerator: a name in the catalog
    #[arg(value_name = "GPU")]
    pub(in crate::cli) hardware: String,
    /// Prompts, or pieces of prompts: `2048`, `512@8192` behind a cached prefix, `4x512` four alike; with --dp those of
    /// each copy
    #[arg(long, value_name = "TOKENS", value_delimiter = ',')]
    pub(in crate::cli) prefill: Vec<String>,
    /// Decoding sequences and the tokens each attends to: `64x4096`; with --dp those of each copy
    #[arg(long, value_name = "NxTOKENS", value_delimiter = ',')]
    pub(in crate::cli) decode: Vec<String>,
    /// Accelerators that share every layer
    #[arg(long, visible_alias = "tensor-parallel", value_name = "N", default_value_t = 1, value_parser = ranks())]
    pub(in crate::cli) tp: u32,
    /// Stages of consecutive layers
    #[arg(long, visible_alias = "pipeline-parallel", value_name = "N", default_value_t = 1, value_parser = ranks())]
    pub(in crate::cli) pp: u32,
    /// Copies of the attention layers that share the routed experts, each with the tokens of --prefill and --decode
    #[arg(long, visible_alias = "data-parallel", value_name = "N", default_value_t = 1, value_parser = ranks())]
    pub(in crate::cli) dp: u32,
    /// Whole experts on each accelerator, not a slice of each
    #[arg(long, visible_alias = "expert-parallel")]
    pub(in crate::cli) ep: bool,
    /// Precision of the weights
    #[arg(long, value_name = "PRECISION", default_value = "bf16", value_parser = precisions())]
    pub(in crate::cli) weights: String,
    /// Precision of the products, if not that of the weights: `bf16` for weights that are narrow in memory only
    #[arg(long, value_name = "PRECISION", value_parser = precisions())]
    pub(in crate::cli) activations: Option<String>,
    /// Precision of the KV cache
    #[arg(long, value_name = "PRECISION", default_value = "bf16", value_parser = kv_precisions())]
    pub(in crate::cli) kv_cache: String,
    /// Weights of each accelerator that stay in the host's memory (GiB)
    #[arg(long, value_name = "GIB", default_value_t = 0.0)]
    pub(in crate::cli) offload: f64,
    /// The runtime model, as a scenario says it
    #[arg(long, value_name = "CHOICE", default_value = "Analytical")]
    pub(in crate::cli) runtime: String,
    /// A folder with hardware.ron or models.ron to lay over the built-in catalog
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) catalog: Option<PathBuf>,
    /// Form of the bill
    #[arg(long, value_enum, default_value_t = Form::Table)]
    pub(in crate::cli) format: Form,
}

fn ranks() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=4096)
}

fn precisions() -> PossibleValuesParser {
    PossibleValuesParser::new(Precision::ALL.map(Precision::name))
}

/// Those of a KV cache; others are let through to be refused in the words of a scenario.
fn kv_precisions() -> PossibleValuesParser {
    let named = |precision: Precision| {
        PossibleValue::new(precision.name()).hide(!Precision::KV_CACHES.contains(&precision))
    };
    PossibleValuesParser::new(Precision::ALL.map(named))
}
