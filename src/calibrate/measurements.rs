//! Measurements of operators and of whole steps, whoever took them: seconds by their sizes.

use std::path::PathBuf;

use crate::catalog::Precision;
use crate::runtime::Deployed;
use crate::runtime::profile::{CollectiveTable, MoeKernel, MoeShape, Phase, Routing, WeightKind};

/// Where a set of measurements comes from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// Engine and version, such as `vllm-0.19.0`.
    pub(super) table: String,
    /// The file.
    pub(super) file: PathBuf,
    /// In what it has its times.
    pub(super) times: Times,
}

/// A column of times, and what they may have been taken for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) column: &'static str,
    pub(super) unit: &'static str,
    /// A thousand of the unit.
    pub(super) larger: &'static str,
    /// A thousandth of it.
    pub(super) smaller: &'static str,
}

impl Times {
    /// The `latency` of aiconfigurator.
    pub(super) const LATENCY: Self =
        Self { column: "latency", unit: "milliseconds", larger: "seconds", smaller: "microseconds" };
    /// The `time_us` of `LLMServingSim` and of one's own files.
    pub(super) const TIME_US: Self =
        Self { column: "time_us", unit: "microseconds", larger: "milliseconds", smaller: "nanoseconds" };
}

/// Products with weights of one kind.
pub(super) struct GemmSet {
    pub(super) origin: Origin,
    pub(super) kind: WeightKind,
    pub(super) rows: Vec<GemmRow>,
}

/// One product.
#[derive(Clone, Copy, Debug)]
pub(super) struct GemmRow {
    pub(super) m: f64,
    pub(super) n: f64,
    pub(super) k: f64,
    pub(super) seconds: f64,
}

/// Attention of one head size, KV format and window.
pub(super) struct AttentionSet {
    pub(super) origin: Origin,
    pub(super) phase: Phase,
    pub(super) head_dim: u32,
    pub(super) kv_cache: Precision,
    pub(super) window: Option<u32>,
    pub(super) rows: Vec<AttentionRow>,
}

/// One attention.
#[derive(Clone, Copy, Debug)]
pub(super) struct AttentionRow {
    pub(super) batch: f64,
    /// Tokens of a prompt, or keys of a decoding sequence.
    pub(super) length: f64,
    pub(super) heads: f64,
    pub(super) kv_heads: f64,
    pub(super) seconds: f64,
}

/// Layers of experts with weights of one kind under one routing.
pub(super) struct MoeSet {
    pub(super) origin: Origin,
    pub(super) kind: WeightKind,
    pub(super) routing: Routing,
    /// The kernel, where it matters and is known.
    pub(super) kernel: Option<MoeKernel>,
    pub(super) rows: Vec<MoeRow>,
}

/// One layer of experts.
#[derive(Clone, Copy, Debug)]
pub(super) struct MoeRow {
    pub(super) shape: MoeShape,
    pub(super) tokens: f64,
    pub(super) seconds: f64,
}

/// Attention of one model on one number of devices, with prefixes and in mixed steps.
pub(super) struct ChunkSet {
    pub(super) origin: Origin,
    /// Model and devices.
    pub(super) name: String,
    pub(super) heads: u32,
    pub(super) kv_heads: u32,
    pub(super) head_dim: u32,
    pub(super) rows: Vec<ChunkRow>,
}

/// One launch: a chunk of one prompt, decoding sequences, or both.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkRow {
    pub(super) chunk: f64,
    pub(super) prefix: f64,
    pub(super) decodes: f64,
    /// Keys of each decoding sequence.
    pub(super) context: f64,
    pub(super) seconds: f64,
}

/// A kernel that streams its operands.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamRow {
    pub(super) bytes: f64,
    pub(super) seconds: f64,
}

/// Everything that was found in a folder.
#[derive(Default)]
pub(super) struct Measurements {
    pub(super) gemm: Vec<GemmSet>,
    pub(super) attention: Vec<AttentionSet>,
    pub(super) moe: Vec<MoeSet>,
    pub(super) collectives: Vec<CollectiveTable>,
    pub(super) chunks: Vec<ChunkSet>,
    pub(super) streams: Vec<(Origin, Vec<StreamRow>)>,
    /// What was left out, and why.
    pub(super) remarks: Vec<String>,
}

impl Measurements {
    /// Whether nothing was found.
    pub(super) fn is_empty(&self) -> bool {
        self.gemm.is_empty()
            && self.attention.is_empty()
            && self.moe.is_empty()
            && self.collectives.is_empty()
            && self.chunks.is_empty()
    }
}

/// A whole step, as measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct StepRow {
    /// Tokens in it.
    pub(super) tokens: f64,
    /// Mean length: see [`WholeStep`](crate::runtime::WholeStep).
    pub(super) length: f64,
    /// How long it took (s).
    pub(super) seconds: f64,
}

/// The steps of one deployment in one stage.
#[derive(Clone, Debug)]
pub(super) struct StepSet {
    pub(super) gpu: String,
    pub(super) of: Deployed,
    pub(super) phase: Phase,
    pub(super) rows: Vec<StepRow>,
}
