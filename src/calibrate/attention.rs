//! Fits attention: what heads cost, foretold from models with other heads.
//!
//! Boosted trees over batch, length, heads, heads a KV head and waves of tiles answer on a grid of the four;
//! where a cell was measured, what was measured stands, but for times that fall where work grows: those are pooled.
//! Kernels pack the query heads of a KV head into one tile, and take another where they fill more than 16 rows; so
//! the grid has the groups that models have, and does not read one side of such a step from the other.

use std::collections::BTreeMap;

use super::errors::{Errors, quantile};
use super::folds::{FOLDS, folds};
use super::gemm::rounded;
use super::measurements::{AttentionRow, AttentionSet};
use super::paths::unsplit_from;
use super::physics::{Row, attention_row};
use super::trees::{Columns, Growth, Trees, median};
use crate::runtime::profile::grid::pool_surface;
use crate::runtime::profile::{AttentionShape, AttentionTable, Phase, Residuals, Silicon};

const GROWTH: Growth = Growth { trees: 500, leaves: 31, rate: 0.08, rows: 8 };
/// How far a measured residual may stand from what others make likely before it is held back (nat).
const OUTLIER: f64 = 0.3;

/// Query heads a KV head that the grid has, where they were measured.
const GROUPS: [f64; 11] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0, 16.0, 20.0, 64.0];
/// The same with a window.
const COARSE_GROUPS: [f64; 4] = [1.0, 4.0, 8.0, 64.0];

/// How well the fit foretells.
pub(super) struct AttentionScores {
    /// Heads held out, rows that hold against physics and against rows of less work.
    pub(super) shapes: Errors,
    /// Heads held out, all rows.
    pub(super) all: Errors,
    /// What the finished table says of what it was made of.
    pub(super) kept: Errors,
}

struct Fit {
    floor: f64,
    trees: Trees,
}

fn bound(silicon: &Silicon, phase: Phase, shape: &AttentionShape, row: &AttentionRow) -> f64 {
    match phase {
        Phase::Prefill => silicon.prefill(shape, row.batch, row.length, 0.0),
        Phase::Decode => silicon.decode(shape, row.batch, row.length),
    }
}

fn features(silicon: &Silicon, phase: Phase, row: &AttentionRow) -> Vec<f64> {
    let log = libm::log2;
    let AttentionRow { batch, length, heads, kv_heads, .. } = *row;
    let mut features = vec![
        log(batch),
        log(length),
        log(heads),
        log(kv_heads),
        log(batch * heads),
        log(batch * kv_heads),
        log(heads / kv_heads),
        log(batch * kv_heads * length),
        log(batch * heads * length),
    ];
    if phase == Phase::Prefill {
        // Pairs that a key's bytes serve: where 8-bit KV is expanded first, what that is beside the attention.
        features.push(log(length * heads / kv_heads));
    }
    let tiles: &[f64] = match phase {
        Phase::Prefill => &[(length / 64.0).ceil() * batch * heads, (length / 128.0).ceil() * batch * heads],
        Phase::Decode => &[batch * kv_heads],
    };
    for tiles in tiles {
        let waves = tiles / f64::from(silicon.multiprocessors);
        features.extend([log(waves), waves.ceil() / waves]);
    }
    features
}

fn fit(silicon: &Silicon, set: &AttentionSet, rows: &[&AttentionRow]) -> Fit {
    let mut times: Vec<f64> = rows.iter().map(|row| row.seconds).collect();
    times.sort_unstable_by(f64::total_cmp);
    let floor = quantile(&times, 0.005);
    let mut columns: Columns = Vec::new();
    let mut targets = Vec::new();
    for row in rows {
        let features = features(silicon, set.phase, row);
        columns.resize(features.len(), Vec::new());
        for (column, feature) in columns.iter_mut().zip(features) {
            column.push(feature);
        }
        targets.push(residual(silicon, set, floor, row));
    }
    Fit { floor, trees: Trees::grow(&columns, &targets, GROWTH) }
}

fn residual(silicon: &Silicon, set: &AttentionSet, floor: f64, row: &AttentionRow) -> f64 {
    let shape = set.shape(row.heads, row.kv_heads);
    libm::log(row.seconds / (floor + bound(silicon, set.phase, &shape, row)))
}

/// The values of a figure among rows.
fn axis<'a>(rows: impl Iterator<Item = &'a AttentionRow>, figure: fn(&AttentionRow) -> f64) -> Vec<f64> {
    let mut axis: Vec<f64> = rows.map(figure).collect();
    axis.sort_unstable_by(f64::total_cmp);
    axis.dedup();
    axis
}

/// Those of `wanted` that were measured, or else all that were.
fn measured_among(wanted: &[f64], measured: &[f64]) -> Vec<f64> {
    let found: Vec<f64> = wanted.iter().copied().filter(|value| measured.contains(value)).collect();
    if found.is_empty() { measured.to_vec() } else { found }
}

/// At most so many of the values, evenly chosen, both ends among them.
fn thinned(axis: Vec<f64>, most: usize) -> Vec<f64> {
    if axis.len() <= most {
        return axis;
    }
    let step = (axis.len() - 1) as f64 / (most - 1) as f64;
    (0..most).map(|at| axis[(at as f64 * step).round() as usize]).collect()
}

impl Fit {
    /// The table on the grid of what was measured.
    fn table(&self, silicon: &Silicon, set: &AttentionSet, known: &[&AttentionRow]) -> AttentionTable {
        let rows = || set.rows.iter();
        let group = |row: &AttentionRow| row.heads / row.kv_heads;
        // A window is measured to see what it saves; its grid may be coarser.
        let coarse = set.window.is_some();
        let kv_heads: &[f64] = if coarse { &[1.0, 8.0, 64.0] } else { &[1.0, 2.0, 4.0, 8.0, 16.0, 64.0] };
        let groups: &[f64] = if coarse { &COARSE_GROUPS } else { &GROUPS };
        let kv_heads = measured_among(kv_heads, &axis(rows(), |row| row.kv_heads));
        let groups = measured_among(groups, &axis(rows(), group));
        let batch = thinned(axis(rows(), |row| row.batch), if coarse { 6 } else { 12 });
        let length = thinned(axis(rows(), |row| row.length), 24);
        let key = |row: &AttentionRow| [row.kv_heads, group(row), row.batch, row.length].map(f64::to_bits);
        let measured: BTreeMap<[u64; 4], &AttentionRow> = known.iter().map(|row| (key(row), *row)).collect();
        let pooled = unsplit_from(set).is_none();
        let mut residuals = Vec::new();
        for kv_heads in &kv_heads {
            for group in &groups {
                let mut cells = Vec::with_capacity(batch.len() * length.len());
                let mut least = Vec::with_capacity(batch.len() * length.len());
                for batch in &batch {
                    for length in &length {
                        let cell = AttentionRow {
                            batch: *batch,
                            length: *length,
                            heads: kv_heads * group,
                            kv_heads: *kv_heads,
                            seconds: 0.0,
                        };
                        let foretold = self.trees.answer(&features(silicon, set.phase, &cell));
                        let own = measured.get(&key(&cell));
                        let own = own.map_or(foretold, |row| {
                            let off = residual(silicon, set, self.floor, row) - foretold;
                            foretold + off.clamp(-OUTLIER, OUTLIER)
                        });
                        let shape = set.shape(cell.heads, cell.kv_heads);
                        let floor = libm::log(self.floor + bound(silicon, set.phase, &shape, &cell));
                        cells.push(floor + own);
                        least.push(floor);
                    }
                }
                // Where a table changes kernels for good, nothing is pooled: neither side is noise.
                if pooled {
                    pool_surface(&mut cells, length.len());
                }
                residuals.extend(cells.iter().zip(&least).map(|(time, floor)| time - floor));
            }
        }
        let lines = kv_heads.len();
        AttentionTable {
            phase: set.phase,
            head_dim: set.head_dim,
            kv_cache: set.kv_cache,
            window: set.window,
            table: set.origin.table.clone(),
            floor_us: rounded(self.floor * 1e6),
            cold: (set.phase == Phase::Decode).then(|| rounded(cold(silicon, set, self.floor))),
            hot: hot(silicon, set),
            kv_heads,
            group: groups,
            batch,
            length,
            residual: Residuals::new(residuals, lines),
        }
    }
}

fn judge(silicon: &Silicon, set: &AttentionSet, row: &AttentionRow) -> Row {
    let shape = set.shape(row.heads, row.kv_heads);
    attention_row(silicon, set.phase, &shape, row.batch, row.length, row.seconds)
}

fn hot(silicon: &Silicon, set: &AttentionSet) -> bool {
    let rows = set.rows.iter().filter(|row| judge(silicon, set, row) == Row::Hot).count();
    rows as f64 > 0.002 * set.rows.len() as f64
}

/// Share of the bandwidth at which KV that no cache holds streams.
fn cold(silicon: &Silicon, set: &AttentionSet, floor: f64) -> f64 {
    let keys = |row: &AttentionRow| set.window.map_or(row.length, |window| row.length.min(f64::from(window)));
    let bytes = |row: &AttentionRow| {
        2.0 * set.kv_cache.bytes() * row.batch * keys(row) * row.kv_heads * f64::from(set.head_dim)
    };
    let large = set.rows.iter().filter(|row| bytes(row) > 2.0 * silicon.cache_bytes());
    let mut shares: Vec<f64> =
        large.map(|row| bytes(row) / silicon.bandwidth() / (row.seconds - floor)).collect();
    if shares.is_empty() { 0.8 } else { median(&mut shares).clamp(0.05, 1.0) }
}

/// The table of a set, and how well such tables foretell.
pub(super) fn calibrate(
    silicon: &Silicon,
    set: &AttentionSet,
    scored: bool,
) -> (AttentionTable, Option<AttentionScores>) {
    let all: Vec<&AttentionRow> = set.rows.iter().collect();
    let table = fit(silicon, set, &all).table(silicon, set, &all);
    let scores = scored.then(|| score(silicon, set, &table));
    (table, scores)
}

fn score(silicon: &Silicon, set: &AttentionSet, table: &AttentionTable) -> AttentionScores {
    let key = |row: &AttentionRow| (row.heads as u64, row.kv_heads as u64);
    let mut shapes: Vec<(u64, u64)> = set.rows.iter().map(key).collect();
    shapes.sort_unstable();
    shapes.dedup();
    let parts = folds(shapes.len());
    let part_of = |row: &AttentionRow| parts[shapes.binary_search(&key(row)).unwrap_or_default()];
    let mut held = Vec::new();
    for part in 0..FOLDS {
        let seen: Vec<&AttentionRow> = set.rows.iter().filter(|row| part_of(row) != part).collect();
        // Of one kind of heads there are no others to learn from.
        if seen.is_empty() {
            continue;
        }
        let foretold = fit(silicon, set, &seen).table(silicon, set, &seen);
        held.extend(read(silicon, set, &foretold, |row| part_of(row) == part));
    }
    let errors = |pairs: &[(f64, &AttentionRow)], keep: &dyn Fn(&AttentionRow) -> bool| {
        Errors::of(pairs.iter().filter(|(_, row)| keep(row)).map(|(foretold, row)| (*foretold, row.seconds)))
    };
    let unsplit = unsplit_from(set).unwrap_or(f64::INFINITY);
    let sound = |row: &AttentionRow| row.batch < unsplit && judge(silicon, set, row) == Row::Sound;
    AttentionScores {
        shapes: errors(&held, &sound),
        all: errors(&held, &|_| true),
        kept: errors(&read(silicon, set, table, |_| true), &sound),
    }
}

/// What a table says of the chosen rows, as they were measured and not cold.
fn read<'a>(
    silicon: &Silicon,
    set: &'a AttentionSet,
    table: &AttentionTable,
    chosen: impl Fn(&AttentionRow) -> bool,
) -> Vec<(f64, &'a AttentionRow)> {
    let mut curves = BTreeMap::new();
    let mut pairs = Vec::new();
    for row in set.rows.iter().filter(|row| chosen(row)) {
        let surface = curves
            .entry((row.heads as u64, row.kv_heads as u64))
            .or_insert_with(|| table.surface(silicon, &set.shape(row.heads, row.kv_heads), false));
        pairs.push((surface.at(row.batch, row.length), row));
    }
    pairs
}
