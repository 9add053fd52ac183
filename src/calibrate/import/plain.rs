//! Measurements of one's own: `mist_gemm.csv`, `mist_attention.csv`, `mist_all_reduce.csv`.
//!
//! Lines that begin with `#` are comments. Times are in microseconds, sizes in bytes, all else is counts.
//!
//! - `mist_gemm.csv`: `kind` (bf16, fp8, `fp8_block`, nvfp4, int4, mxfp4), `m`, `n`, `k`, `time_us`
//! - `mist_attention.csv`: `phase` (prefill, decode), `head_dim`, `kv_cache` (bf16, fp8), `window` (0: none), `batch`,
//!   `length`, `heads`, `kv_heads`, `time_us`
//! - `mist_all_reduce.csv`: `library` (custom, nccl), `ranks`, `bytes`, `time_us`
//!
//! `length` is tokens of a prompt, or keys of a decoding sequence.

use std::collections::BTreeMap;
use std::path::Path;

use super::table::Table;
use crate::calibrate::CalibrateError;
use crate::calibrate::measurements::{
    AttentionRow, AttentionSet, GemmRow, GemmSet, Measurements, Origin, Times,
};
use crate::calibrate::physics::check_collectives;
use crate::catalog::Precision;
use crate::runtime::profile::{CollectiveTable, Library, Operation, Phase, WeightKind};

/// Reads a file if its name is one of ours.
pub(super) fn read(path: &Path, into: &mut Measurements) -> Result<bool, CalibrateError> {
    let origin = Origin { table: "own".to_owned(), file: path.to_owned(), times: Times::TIME_US };
    match path.file_name().and_then(|name| name.to_str()) {
        Some("mist_gemm.csv") => gemm(&only(path, &["kind", "m", "n", "k", "time_us"])?, &origin, into)?,
        Some("mist_attention.csv") => {
            let columns = [
                "phase", "head_dim", "kv_cache", "window", "batch", "length", "heads", "kv_heads", "time_us",
            ];
            attention(&only(path, &columns)?, &origin, into)?;
        }
        Some("mist_all_reduce.csv") => {
            all_reduce(&only(path, &["library", "ranks", "bytes", "time_us"])?, &origin, into)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// The table, which must have no other columns: a `time_ms` is not to be passed over.
pub(super) fn only(path: &Path, columns: &[&str]) -> Result<Table, CalibrateError> {
    let table = Table::read(path)?;
    let refused = |problem| Err(CalibrateError::Table { file: path.to_owned(), problem });
    match table.names().iter().find(|name| !columns.contains(&name.as_str())) {
        None if table.rows() == 0 => refused("has no rows".to_owned()),
        None => Ok(table),
        Some(other) => refused(format!("has an unknown column `{other}`; expected {}", columns.join(", "))),
    }
}

/// What a word of a column stands for.
pub(super) fn one_of<T: Copy>(
    table: &Table,
    column: &str,
    row: usize,
    word: &str,
    known: &[(&str, T)],
) -> Result<T, CalibrateError> {
    known.iter().find(|(name, _)| *name == word).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        table.fault(column, row, &format!("expected one of {}, found `{word}`", names.join(", ")))
    })
}

fn gemm(table: &Table, origin: &Origin, into: &mut Measurements) -> Result<(), CalibrateError> {
    let kinds = table.words("kind")?;
    let (m, n, k) = (
        table.numbers("m", "count", 1.0)?,
        table.numbers("n", "count", 1.0)?,
        table.numbers("k", "count", 1.0)?,
    );
    let times = table.numbers("time_us", "µs", 1e-12)?;
    let known = WeightKind::ALL.map(|kind| (kind.name(), kind));
    let mut sets: BTreeMap<WeightKind, Vec<GemmRow>> = BTreeMap::new();
    for row in 0..table.rows() {
        let kind = one_of(table, "kind", row, &kinds[row], &known)?;
        let measured = GemmRow { m: m[row], n: n[row], k: k[row], seconds: times[row] * 1e-6 };
        sets.entry(kind).or_default().push(measured);
    }
    into.gemm.extend(sets.into_iter().map(|(kind, rows)| GemmSet { origin: origin.clone(), kind, rows }));
    Ok(())
}

fn attention(table: &Table, origin: &Origin, into: &mut Measurements) -> Result<(), CalibrateError> {
    let (phases, formats) = (table.words("phase")?, table.words("kv_cache")?);
    let names = ["head_dim", "batch", "length", "heads", "kv_heads"];
    let [head_dim, batch, length, heads, kv_heads] = names.map(|name| table.numbers(name, "count", 1.0));
    let (head_dim, batch, length, heads, kv_heads) = (head_dim?, batch?, length?, heads?, kv_heads?);
    let (window, times) = (table.numbers("window", "tokens", 0.0)?, table.numbers("time_us", "µs", 1e-12)?);
    let mut sets: BTreeMap<(bool, u32, Precision, u32), Vec<AttentionRow>> = BTreeMap::new();
    for row in 0..table.rows() {
        let prefill = one_of(table, "phase", row, &phases[row], &[("prefill", true), ("decode", false)])?;
        let kv_cache = one_of(
            table,
            "kv_cache",
            row,
            &formats[row],
            &[("bf16", Precision::Bf16), ("fp8", Precision::Fp8)],
        )?;
        let measured = AttentionRow {
            batch: batch[row],
            length: length[row],
            heads: heads[row],
            kv_heads: kv_heads[row],
            seconds: times[row] * 1e-6,
        };
        sets.entry((prefill, head_dim[row] as u32, kv_cache, window[row] as u32)).or_default().push(measured);
    }
    for ((prefill, head_dim, kv_cache, window), rows) in sets {
        into.attention.push(AttentionSet {
            origin: origin.clone(),
            phase: if prefill { Phase::Prefill } else { Phase::Decode },
            head_dim,
            kv_cache,
            window: Some(window).filter(|window| *window > 0),
            rows,
        });
    }
    Ok(())
}

fn all_reduce(table: &Table, origin: &Origin, into: &mut Measurements) -> Result<(), CalibrateError> {
    let libraries = table.words("library")?;
    let (ranks, bytes) = (table.numbers("ranks", "devices", 2.0)?, table.numbers("bytes", "bytes", 1.0)?);
    let times = table.numbers("time_us", "µs", 1e-12)?;
    let mut sets: BTreeMap<(Library, u32), BTreeMap<u64, f64>> = BTreeMap::new();
    for row in 0..table.rows() {
        let known = [("custom", Library::Custom), ("nccl", Library::Nccl)];
        let library = one_of(table, "library", row, &libraries[row], &known)?;
        sets.entry((library, ranks[row] as u32)).or_default().insert(bytes[row] as u64, times[row]);
    }
    let rows = sets.values().flatten().map(|(bytes, us)| (*bytes as f64, us * 1e-6));
    check_collectives(origin, rows)?;
    for ((library, ranks), times) in sets {
        into.collectives.push(CollectiveTable {
            library,
            operation: Operation::AllReduce,
            ranks,
            table: origin.table.clone(),
            bytes: times.keys().map(|bytes| *bytes as f64).collect(),
            us: times.into_values().collect(),
        });
    }
    Ok(())
}
