//! A runtime model as one measured on a machine would be: tables over irregular grids, interpolated.
//!
//! ```text
//! step = dense(tokens) + sample(sequences) + decode(sequences, context) + Σ chunks prefill(tokens, context)
//! ```
//! Its tables are sampled from the analytical model, on grids as a profiler would choose them. It
//! enters by name through a plugin, as a user's would.

use std::sync::Arc;

use mist::engine::SimBuilder;
use mist::runtime::{
    Analytical, Bound, Chunk, RuntimeExt, RuntimeKind, StepCost, StepModel, StepShape, Target,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Steps priced from tables.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Profiled {}

/// Lets scenarios name it.
pub fn plugin(sim: &mut SimBuilder) {
    sim.runtime_model::<Profiled>("Profiled");
}

impl RuntimeKind for Profiled {
    fn compile(&self, target: &Target<'_>) -> Result<Arc<dyn StepModel>, String> {
        let exact = Analytical::default().compile(target)?;
        let decode = |sequences: f64, context: f64| {
            let (decode_seqs, decode_context) = (sequences as u32, context as u64);
            exact.price(&StepShape { prefill: &[], decode_seqs, decode_context }).seconds
        };
        let prefill = |tokens: f64, context: f64| {
            let chunk = Chunk { tokens: tokens as u32, context: context as u32, last: false };
            exact.price(&StepShape { prefill: &[chunk], ..StepShape::default() }).seconds
        };
        let (sequences, tokens, context) = (grid(1_024.0), grid(16_384.0), grid(131_072.0));
        let all_context = grid(4_194_304.0);
        let none = || vec![0.0, 1.0];
        Ok(Arc::new(Tables {
            dense: Table::sample(tokens.clone(), none(), |tokens, _| prefill(tokens, 0.0)),
            sample: Table::sample(sequences.clone(), none(), |n, _| decode(n, 0.0) - prefill(n, 0.0)),
            decode: Table::sample(sequences, all_context, |n, context| decode(n, context) - decode(n, 0.0)),
            prefill: Table::sample(tokens, context, |n, context| prefill(n, context) - prefill(n, 0.0)),
        }))
    }
}

/// 0 to 32 one by one, then sixteen points an octave, 34, 36, 38, up to `most`.
#[allow(clippy::maybe_infinite_iter)] // It ends, for the points grow.
fn grid(most: f64) -> Vec<f64> {
    let point = |i: u32| if i < 16 { i } else { (16 + i % 16) << (i / 16 - 1) };
    let mut points: Vec<f64> = (0..).map(|i| f64::from(point(i))).take_while(|point| *point < most).collect();
    points.push(most);
    points
}

struct Tables {
    dense: Table,
    sample: Table,
    decode: Table,
    prefill: Table,
}

impl StepModel for Tables {
    fn price(&self, shape: &StepShape<'_>) -> StepCost {
        let dense = self.dense.at(shape.tokens() as f64, 0.0);
        let sample = self.sample.at(shape.sampled() as f64, 0.0);
        let decode = self.decode.at(f64::from(shape.decode_seqs), shape.decode_context as f64);
        let chunk = |chunk: &Chunk| self.prefill.at(f64::from(chunk.tokens), f64::from(chunk.context));
        let prefill: f64 = shape.prefill.iter().map(chunk).sum();
        let bound = if prefill > decode { Bound::Compute } else { Bound::Memory };
        StepCost { seconds: dense + sample + decode + prefill, bound }
    }
}

/// Bilinear interpolation on an irregular grid; beyond it, extrapolation from its last cell.
struct Table {
    rows: Vec<f64>,
    columns: Vec<f64>,
    values: Vec<f64>,
}

impl Table {
    fn sample(rows: Vec<f64>, columns: Vec<f64>, value: impl Fn(f64, f64) -> f64) -> Self {
        let cell = |row: &f64| columns.iter().map(|column| value(*row, *column)).collect::<Vec<_>>();
        Self { values: rows.iter().flat_map(cell).collect(), rows, columns }
    }

    fn at(&self, row: f64, column: f64) -> f64 {
        let (r, y) = place(&self.rows, row);
        let (c, x) = place(&self.columns, column);
        let corner = |r: usize, c: usize| self.values[r * self.columns.len() + c];
        let along = |r: usize| corner(r, c) * (1.0 - x) + corner(r, c + 1) * x;
        along(r) * (1.0 - y) + along(r + 1) * y
    }
}

/// The cell of `points` that holds `value`, and how far into it.
fn place(points: &[f64], value: f64) -> (usize, f64) {
    let cell = points.partition_point(|point| *point <= value).clamp(1, points.len() - 1) - 1;
    (cell, (value - points[cell]) / (points[cell + 1] - points[cell]))
}
