//! A workload that a trace file describes.

#![allow(clippy::doc_markdown)] // product names are not code, and users read these comments

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The recorded requests of a trace file: each with its own arrival and lengths, in the order of the
/// file; over when the file is. A request that the recorded service failed to answer is left out. One that follows
/// others (Mooncake's `session_id`, `delay` and `wait_for`, the native `delay_ns`) comes after these are over; what
/// prompts have in common is what the ids of their blocks say. Rows of the
/// native format may name a model that some client serves and a pipeline of their own; others take those
/// of the class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TraceSpec {
    /// The trace file; a relative path starts at the scenario's folder. Required.
    /// Mirrors `--dataset-path` of `vllm bench serve`.
    pub path: PathBuf,
    /// The format's name: `"native"`, `"azure"`, `"burstgpt"`, `"bailian"`, `"mooncake"` or
    /// `"sharegpt"`. Default: the one that fits the file's first line.
    #[serde(default)]
    pub format: Option<String>,
    /// How many times faster than recorded the requests arrive, or follow those that they wait for, 1e-6 to 1e6.
    /// Default: 1, as recorded.
    #[serde(default = "as_recorded")]
    pub speedup: f64,
    /// Tokens of one block of the prompts, 1 or more, for a Mooncake or Bailian trace that was made
    /// with other blocks. Default: 512 and 16 tokens, as published.
    #[serde(default)]
    pub block_tokens: Option<u32>,
    /// Characters a token, above 0, for a ShareGPT file whose tokens were not counted beforehand.
    /// Default: none, every message has its `tokens`.
    #[serde(default)]
    pub chars_per_token: Option<f64>,
}

const fn as_recorded() -> f64 {
    1.0
}
