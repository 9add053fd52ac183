//! NVIDIA aiconfigurator's tables of operators: Parquet or CSV, latency in milliseconds.
//!
//! By the name of the file, these columns:
//! - `gemm_perf`: `gemm_dtype`, `m`, `n`, `k`, `latency`
//! - `context_attention_perf`, `generation_attention_perf`: `batch_size`, `isl`, `step`, `num_heads`,
//!   `num_key_value_heads`, `head_dim`, `kv_cache_dtype`, `window_size`, `latency`
//! - `moe_perf`: `moe_dtype`, `num_tokens`, `hidden_size`, `inter_size`, `topk`, `num_experts`, `moe_tp_size`,
//!   `moe_ep_size`, `distribution`, `latency`, and `kernel_source` where weights have 4 bits and products 16
//! - `custom_allreduce_perf`, `nccl_perf`: `allreduce_dtype` or `nccl_dtype`, `op_name`, `num_gpus`, `message_size`
//!   (numbers, not bytes), `backend`, `latency`
//!
//! A `device` column, where there is one, must name the device that is calibrated. Formats of numbers that
//! profiles do not know are left out, with a remark.

use std::collections::BTreeMap;
use std::path::Path;

use super::table::Table;
use crate::calibrate::measurements::{
    AttentionRow, AttentionSet, GemmRow, GemmSet, Measurements, MoeRow, MoeSet, Origin, Times,
};
use crate::calibrate::physics::check_collectives;
use crate::calibrate::{CalibrateError, trees::median};
use crate::catalog::Precision;
use crate::runtime::profile::{
    CollectiveTable, Library, MoeKernel, MoeShape, Operation, Phase, Routing, WeightKind,
};

/// Smallest and shortest that a row may name.
const ONE: f64 = 1.0;
/// Anything above zero.
const SOME: f64 = 1e-12;

/// Reads a file if its name is one of theirs.
pub(super) fn read(path: &Path, gpu: &str, into: &mut Measurements) -> Result<bool, CalibrateError> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let read: fn(&Table, &Origin, &mut Measurements) -> Result<(), CalibrateError> = match stem {
        "gemm_perf" => gemm,
        "context_attention_perf" => |table, origin, into| attention(table, origin, Phase::Prefill, into),
        "generation_attention_perf" => |table, origin, into| attention(table, origin, Phase::Decode, into),
        "moe_perf" => moe,
        "custom_allreduce_perf" | "nccl_perf" => collectives,
        _ => return Ok(false),
    };
    let table = Table::read(path)?;
    check_device(&table, gpu)?;
    read(&table, &Origin { table: version(path), file: path.to_owned(), times: Times::LATENCY }, into)?;
    Ok(true)
}

/// Engine and version by the folders a file is in: `vllm-0.19.0/…` or `vllm/0.19.0/…`.
fn version(path: &Path) -> String {
    let name = |path: Option<&Path>| {
        path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let folder = path.parent();
    let own = name(folder);
    if own.starts_with(|first: char| first.is_ascii_digit()) {
        let engine = name(folder.and_then(Path::parent));
        format!("{engine}-{own}")
    } else {
        own
    }
}

/// Refuses measurements of another device.
fn check_device(table: &Table, gpu: &str) -> Result<(), CalibrateError> {
    if !table.has("device") {
        return Ok(());
    }
    // `RTX-PRO-6000-Server` must be in `NVIDIA RTX PRO 6000 Blackwell Server Edition`: up to the number.
    let words = gpu.split(['-', ' ']);
    let mut wanted = Vec::new();
    for word in words {
        wanted.push(word.to_lowercase());
        if word.contains(|letter: char| letter.is_ascii_digit()) {
            break;
        }
    }
    for (row, device) in table.words("device")?.iter().enumerate() {
        let lower = device.to_lowercase();
        let words: Vec<&str> = lower.split(|letter: char| !letter.is_alphanumeric()).collect();
        if !wanted.iter().all(|word| words.contains(&word.as_str())) {
            return Err(table.fault("device", row, &format!("expected {gpu}, found `{device}`")));
        }
    }
    Ok(())
}

fn weight_kind(word: &str) -> Option<WeightKind> {
    Some(match word {
        "bfloat16" | "float16" => WeightKind::Bf16,
        "fp8" => WeightKind::Fp8,
        "fp8_block" => WeightKind::Fp8Block,
        "nvfp4" => WeightKind::Nvfp4,
        "int4_wo" => WeightKind::Int4,
        "w4a16_mxfp4" => WeightKind::Mxfp4,
        _ => return None,
    })
}

/// Seconds, of which each row must have some.
fn seconds(table: &Table) -> Result<Vec<f64>, CalibrateError> {
    Ok(table.numbers("latency", "ms", SOME)?.into_iter().map(|ms| ms * 1e-3).collect())
}

fn left_out(table: &Table, what: &str, words: &BTreeMap<String, usize>, into: &mut Measurements) {
    for (word, rows) in words {
        into.remarks.push(format!("{}: left out {rows} rows of {what} `{word}`", table.file().display()));
    }
}

fn gemm(table: &Table, origin: &Origin, into: &mut Measurements) -> Result<(), CalibrateError> {
    let kinds = table.words("gemm_dtype")?;
    let [m, n, k] = ["m", "n", "k"].map(|name| table.numbers(name, "count", ONE));
    let (m, n, k, seconds) = (m?, n?, k?, seconds(table)?);
    let mut sets: BTreeMap<WeightKind, BTreeMap<[u64; 3], Vec<f64>>> = BTreeMap::new();
    let mut unknown = BTreeMap::new();
    for row in 0..table.rows() {
        match weight_kind(&kinds[row]) {
            Some(kind) => {
                let key = [m[row] as u64, n[row] as u64, k[row] as u64];
                sets.entry(kind).or_default().entry(key).or_default().push(seconds[row]);
            }
            None => *unknown.entry(kinds[row].clone()).or_default() += 1,
        }
    }
    left_out(table, "gemm_dtype", &unknown, into);
    for (kind, rows) in sets {
        let one = |([m, n, k], mut times): ([u64; 3], Vec<f64>)| GemmRow {
            m: m as f64,
            n: n as f64,
            k: k as f64,
            seconds: median(&mut times),
        };
        let rows = rows.into_iter().map(one).collect();
        into.gemm.push(GemmSet { origin: origin.clone(), kind, rows });
    }
    Ok(())
}

/// Seconds by sequences, tokens, query heads and heads of keys.
type AttentionTimes = BTreeMap<[u64; 4], Vec<f64>>;

fn attention(
    table: &Table,
    origin: &Origin,
    phase: Phase,
    into: &mut Measurements,
) -> Result<(), CalibrateError> {
    let formats = table.words("kv_cache_dtype")?;
    let names = ["batch_size", "isl", "num_heads", "num_key_value_heads", "head_dim"];
    let [batch, isl, heads, kv_heads, head_dim] = names.map(|name| table.numbers(name, "count", ONE));
    let (batch, isl, heads, kv_heads, head_dim) = (batch?, isl?, heads?, kv_heads?, head_dim?);
    let step = table.numbers("step", "tokens", 0.0)?;
    let window = if table.has("window_size") {
        table.numbers("window_size", "tokens", 0.0)?
    } else {
        vec![0.0; table.rows()]
    };
    let seconds = seconds(table)?;
    let mut sets: BTreeMap<(u32, Precision, u32), AttentionTimes> = BTreeMap::new();
    let mut unknown = BTreeMap::new();
    for row in 0..table.rows() {
        let format = match formats[row].as_str() {
            "bfloat16" | "float16" => Precision::Bf16,
            "fp8" => Precision::Fp8,
            other => {
                *unknown.entry(other.to_owned()).or_default() += 1;
                continue;
            }
        };
        if heads[row] < kv_heads[row] {
            return Err(table.fault("num_heads", row, "fewer query heads than heads of keys"));
        }
        let length = match phase {
            Phase::Prefill => isl[row],
            // The keys before this token; it attends to itself, too, but that is how tables are indexed.
            Phase::Decode => step[row].max(1.0),
        };
        let key = [batch[row] as u64, length as u64, heads[row] as u64, kv_heads[row] as u64];
        let set = (head_dim[row] as u32, format, window[row] as u32);
        sets.entry(set).or_default().entry(key).or_default().push(seconds[row]);
    }
    left_out(table, "kv_cache_dtype", &unknown, into);
    for ((head_dim, kv_cache, window), rows) in sets {
        let one = |(key, mut times): ([u64; 4], Vec<f64>)| {
            let [batch, length, heads, kv_heads] = key.map(|figure| figure as f64);
            AttentionRow { batch, length, heads, kv_heads, seconds: median(&mut times) }
        };
        into.attention.push(AttentionSet {
            origin: origin.clone(),
            phase,
            head_dim,
            kv_cache,
            window: Some(window).filter(|window| *window > 0),
            rows: rows.into_iter().map(one).collect(),
        });
    }
    Ok(())
}

/// The kernel of experts by its name. Kernels of weights that are expanded first differ by factors, and engines have
/// several, so one whose kernel is not known is of no use.
///
/// `vllm_marlin_int4_moe` (vLLM 0.18 to 0.22) is not Marlin: its times step where vLLM's Triton kernel and the one before it
/// take turns (6 rows an expert; 20 and 40 tokens), and are 2 to 4 times those of Marlin in 0.14 and 0.24. vLLM takes it
/// where Marlin cannot be had. `vllm_mxfp4_moe` (0.18, 0.19) names none: on B200 it takes 3.6 times what 0.24's takes.
fn moe_kernel(name: &str) -> Option<MoeKernel> {
    match name {
        "vllm_marlin_int4_moe" => None,
        name if name.contains("marlin") => Some(MoeKernel::Marlin),
        name if name.contains("oaitriton") => Some(MoeKernel::Triton),
        name if name.contains("trtllm") => Some(MoeKernel::TrtLlm),
        _ => None,
    }
}

/// Seconds of one shape with so many tokens, all that were measured.
type MoeTimes = BTreeMap<(MoeShape, u64), Vec<f64>>;

fn moe(table: &Table, origin: &Origin, into: &mut Measurements) -> Result<(), CalibrateError> {
    let (kinds, routings) = (table.words("moe_dtype")?, table.words("distribution")?);
    let names =
        ["num_tokens", "hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size", "moe_ep_size"];
    let mut figures = Vec::new();
    for name in names {
        figures.push(table.numbers(name, "count", ONE)?);
    }
    let seconds = seconds(table)?;
    let kernels = if table.has("kernel_source") { Some(table.words("kernel_source")?) } else { None };
    let mut sets: BTreeMap<(WeightKind, u8, Option<MoeKernel>), (Routing, MoeTimes)> = BTreeMap::new();
    let (mut unknown, mut other_kernels) = (BTreeMap::new(), BTreeMap::new());
    for row in 0..table.rows() {
        let routing = match routings[row].as_str() {
            "balanced" => Routing::RoundRobin,
            "power_law_1.2" => Routing::Skewed,
            other => {
                *unknown.entry(other.to_owned()).or_default() += 1;
                continue;
            }
        };
        let Some(kind) = weight_kind(&kinds[row]) else {
            *unknown.entry(kinds[row].clone()).or_default() += 1;
            continue;
        };
        let expanded = matches!(kind, WeightKind::Int4 | WeightKind::Mxfp4);
        let name = kernels.as_ref().map_or("", |kernels| kernels[row].as_str());
        let kernel = moe_kernel(name).filter(|_| expanded);
        if expanded && kernel.is_none() {
            let name = if name.is_empty() { "without a name" } else { name };
            *other_kernels.entry(name.to_owned()).or_default() += 1;
            continue;
        }
        let at = |column: usize| figures[column][row] as u32;
        let shape =
            MoeShape { hidden: at(1), inter: at(2), top_k: at(3), experts: at(4), tp: at(5), ep: at(6) };
        let (_, rows) =
            sets.entry((kind, routing as u8, kernel)).or_insert_with(|| (routing, BTreeMap::new()));
        rows.entry((shape, figures[0][row] as u64)).or_default().push(seconds[row]);
    }
    left_out(table, "moe_dtype or distribution", &unknown, into);
    left_out(table, "a kernel that engines do not choose, or that is not known,", &other_kernels, into);
    for ((kind, _, kernel), (routing, rows)) in sets {
        let one = |((shape, tokens), mut times): ((MoeShape, u64), Vec<f64>)| MoeRow {
            shape,
            tokens: tokens as f64,
            seconds: median(&mut times),
        };
        let rows = rows.into_iter().map(one).collect();
        into.moe.push(MoeSet { origin: origin.clone(), kind, routing, kernel, rows });
    }
    Ok(())
}

fn collectives(table: &Table, origin: &Origin, into: &mut Measurements) -> Result<(), CalibrateError> {
    let format = if table.has("nccl_dtype") { "nccl_dtype" } else { "allreduce_dtype" };
    let formats = table.words(format)?;
    let operations = table.words("op_name")?;
    let backends = if table.has("backend") { Some(table.words("backend")?) } else { None };
    let (ranks, sizes) =
        (table.numbers("num_gpus", "devices", ONE)?, table.numbers("message_size", "numbers", ONE)?);
    let seconds = seconds(table)?;
    let mut sets: BTreeMap<(Library, Operation, u32), BTreeMap<u64, Vec<f64>>> = BTreeMap::new();
    let mut unknown = BTreeMap::new();
    for row in 0..table.rows() {
        let width = match formats[row].as_str() {
            "half" | "float16" | "bfloat16" => 2.0,
            "int8" | "fp8" => 1.0,
            other => return Err(table.fault(format, row, &format!("unknown format `{other}`"))),
        };
        let library = match backends.as_ref().map(|backends| backends[row].as_str()) {
            None => Library::Nccl,
            Some(name) if name.ends_with("eager") => Library::CustomEager,
            Some(_) => Library::Custom,
        };
        let operation = match operations[row].as_str() {
            "all_reduce" => Operation::AllReduce,
            "all_gather" => Operation::AllGather,
            "reduce_scatter" => Operation::ReduceScatter,
            "alltoall" | "all_to_all" => Operation::AllToAll,
            other => {
                *unknown.entry(other.to_owned()).or_default() += 1;
                continue;
            }
        };
        let set = sets.entry((library, operation, ranks[row] as u32)).or_default();
        set.entry((sizes[row] * width) as u64).or_default().push(seconds[row]);
    }
    left_out(table, "op_name", &unknown, into);
    let rows =
        sets.values().flatten().flat_map(|(bytes, times)| times.iter().map(|time| (*bytes as f64, *time)));
    check_collectives(origin, rows)?;
    for ((library, operation, ranks), times) in sets {
        let bytes = times.keys().map(|bytes| *bytes as f64).collect();
        let us = times.into_values().map(|mut times| (median(&mut times) * 1e9).round() / 1e3).collect();
        into.collectives.push(CollectiveTable {
            library,
            operation,
            ranks,
            table: origin.table.clone(),
            bytes,
            us,
        });
    }
    Ok(())
}
