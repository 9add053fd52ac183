//! `LLMServingSim`'s profiles of one layer: CSV, microseconds.
//!
//! ```text
//! MODEL/…/tpN/attention.csv   prefill_chunk, kv_prefill, n_decode, kv_decode, time_us
//! MODEL/…/tpN/dense.csv       layer, tokens, time_us
//! ```
//!
//! The model is looked up in the catalog by the name of its folder; its heads are shared out over `N`
//! devices. Of dense layers, those that only stream (norms, rotations, activations) are read: products are
//! better measured elsewhere.

use std::path::Path;

use super::table::Table;
use crate::calibrate::CalibrateError;
use crate::calibrate::measurements::{ChunkRow, ChunkSet, Measurements, Origin, StreamRow, Times};
use crate::catalog::{Catalog, Model};

/// Reads a file if its name and columns are theirs.
pub(super) fn read(path: &Path, into: &mut Measurements) -> Result<bool, CalibrateError> {
    let read = match path.file_name().and_then(|name| name.to_str()) {
        Some("attention.csv") => attention,
        Some("dense.csv") => dense,
        _ => return Ok(false),
    };
    let Some(tp) = devices(path) else { return Ok(false) };
    let Some(model) = model(path) else {
        let why = "left out: none of the folders it is in is named as a model of the catalog";
        into.remarks.push(format!("{}: {why}", path.display()));
        return Ok(true);
    };
    let table = "LLMServingSim".to_owned();
    let origin = Origin { table, file: path.to_owned(), times: Times::TIME_US };
    read(&Table::read(path)?, origin, (model, tp), into)?;
    Ok(true)
}

/// The folders a file is in, the innermost first.
fn folders(path: &Path) -> impl Iterator<Item = &str> {
    path.parent().into_iter().flat_map(|folder| folder.iter().rev()).filter_map(|name| name.to_str())
}

/// The devices that a file is about, by the folders it is in.
fn devices(path: &Path) -> Option<u32> {
    folders(path).find_map(|name| name.strip_prefix("tp")?.parse().ok().filter(|tp| *tp > 0))
}

/// The model that it is about.
fn model(path: &Path) -> Option<&'static Model> {
    folders(path).find_map(|name| Catalog::embedded().model(name).ok())
}

fn attention(
    table: &Table,
    origin: Origin,
    (model, tp): (&Model, u32),
    into: &mut Measurements,
) -> Result<(), CalibrateError> {
    let names = ["prefill_chunk", "kv_prefill", "n_decode", "kv_decode"];
    let [chunk, prefix, decodes, context] = names.map(|name| table.numbers(name, "count", 0.0));
    let (chunk, prefix, decodes, context) = (chunk?, prefix?, decodes?, context?);
    let times = table.numbers("time_us", "µs", 1e-12)?;
    let mut rows = Vec::new();
    for row in 0..table.rows() {
        if chunk[row] <= 0.0 && decodes[row] <= 0.0 {
            return Err(table.fault(
                "prefill_chunk",
                row,
                "a row without a chunk and without decoding sequences",
            ));
        }
        rows.push(ChunkRow {
            chunk: chunk[row],
            prefix: prefix[row],
            decodes: decodes[row],
            context: context[row],
            seconds: times[row] * 1e-6,
        });
    }
    let attention = &model.attention;
    if !attention.heads.is_multiple_of(tp) {
        let problem = format!("{tp} devices cannot share the {} heads of {}", attention.heads, model.name);
        return Err(CalibrateError::Table { file: table.file().to_owned(), problem });
    }
    into.chunks.push(ChunkSet {
        origin,
        name: format!("{} on {tp}", model.name),
        heads: attention.heads / tp,
        kv_heads: (attention.kv_heads / tp).max(1),
        head_dim: attention.head_dim,
        rows,
    });
    Ok(())
}

fn dense(
    table: &Table,
    origin: Origin,
    (model, tp): (&Model, u32),
    into: &mut Measurements,
) -> Result<(), CalibrateError> {
    let layers = table.words("layer")?;
    let (tokens, times) = (table.numbers("tokens", "count", 1.0)?, table.numbers("time_us", "µs", 1e-12)?);
    let hidden = f64::from(model.hidden);
    let devices = f64::from(tp);
    let heads =
        f64::from(model.attention.heads + model.attention.kv_heads) * f64::from(model.attention.head_dim);
    let mut rows = Vec::new();
    for row in 0..table.rows() {
        // Bytes a token in 16 bit: a norm reads and writes its row and the sum of residuals.
        let bytes = match layers[row].as_str() {
            "layernorm" | "input_layernorm" | "post_layernorm" => 8.0 * hidden,
            "rotary_emb" => 4.0 * heads / devices,
            "act_fn" => 6.0 * f64::from(model.ffn.size) / devices,
            _ => continue,
        };
        rows.push(StreamRow { bytes: bytes * tokens[row], seconds: times[row] * 1e-6 });
    }
    into.streams.push((origin, rows));
    Ok(())
}
