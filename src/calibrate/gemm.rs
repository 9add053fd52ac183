//! Fits products with weights: what a shape costs, foretold from other shapes.
//!
//! Two regressors, one upon the other. A Gaussian process over `(log n, log k)` says what the neighbours of
//! a shape make likely, a value for each measured number of tokens; boosted trees correct it, knowing
//! sizes, tiles and waves of tiles, and the process's answer as it would be without the row's own shape.
//! The regimes that dispatch decides (token counts, remainders) are the knots themselves: nothing is
//! smoothed across them.

use std::collections::BTreeMap;

use super::CalibrateError;
use super::errors::{Errors, quantile};
use super::folds::{FOLDS, folds};
use super::measurements::{GemmRow, GemmSet};
use super::physics::{Row, gemm_row};
use super::trees::{Columns, Growth, Trees, median};
use crate::runtime::profile::kriging::{Kriging, Prior};
use crate::runtime::profile::{GemmTable, Matrix, Residuals, Silicon};

const PRIOR: Prior<'_> = Prior { lengths: &[2.0, 2.0], mean: 4.0, nugget: 0.05 };
const GROWTH: Growth = Growth { trees: 300, leaves: 31, rate: 0.08, rows: 10 };
/// How far a measured residual may stand from what its neighbours make likely before it is held back
/// (nat): one bad row is no law.
const OUTLIER: f64 = 0.3;

/// Measured products by shape and tokens.
struct Sheet<'a> {
    silicon: &'a Silicon,
    set: &'a GemmSet,
    m: Vec<f64>,
    shapes: Vec<(f64, f64)>,
    /// The row of a shape and a number of tokens, if it was measured.
    at: BTreeMap<(usize, usize), GemmRow>,
}

/// What was learnt from some of the shapes.
struct Fit<'a> {
    sheet: &'a Sheet<'a>,
    floor: f64,
    process: Kriging<'static>,
    trees: Trees,
}

/// How well the fit foretells.
pub(super) struct GemmScores {
    /// Shapes held out, rows that hold against physics.
    pub(super) shapes: Errors,
    /// Shapes held out, all rows: hot ones are missed on purpose.
    pub(super) all: Errors,
    /// The same, small shapes left out.
    pub(super) large: Errors,
    /// Token counts with a remainder that costs, shapes held out.
    pub(super) ragged: Errors,
    /// What the finished table says of what it was made of.
    pub(super) kept: Errors,
    /// Whole lines of the grid held out, so that a shape is read between its neighbours.
    pub(super) between: Errors,
}

impl<'a> Sheet<'a> {
    fn new(silicon: &'a Silicon, set: &'a GemmSet) -> Self {
        let sorted = |values: Vec<f64>| {
            let mut values = values;
            values.sort_unstable_by(f64::total_cmp);
            values.dedup();
            values
        };
        let m = sorted(set.rows.iter().map(|row| row.m).collect());
        let mut shapes: Vec<(f64, f64)> = set.rows.iter().map(|row| (row.n, row.k)).collect();
        shapes.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        shapes.dedup();
        let place = |row: &GemmRow| {
            let shape = shapes
                .binary_search_by(|known| known.0.total_cmp(&row.n).then(known.1.total_cmp(&row.k)))
                .unwrap_or_default();
            (shape, m.partition_point(|tokens| *tokens < row.m))
        };
        let at = set.rows.iter().map(|row| (place(row), *row)).collect();
        Self { silicon, set, m, shapes, at }
    }

    fn floor(&self, chosen: &[bool]) -> f64 {
        let rows = self.at.iter().filter(|((shape, _), _)| chosen[*shape]);
        let mut times: Vec<f64> = rows.map(|(_, row)| row.seconds).collect();
        times.sort_unstable_by(f64::total_cmp);
        quantile(&times, 0.005)
    }

    /// Refuses a table in which no shape has all numbers of tokens, of which nothing can be told about others.
    fn check(&self) -> Result<(), CalibrateError> {
        let measured = |shape: usize| self.at.range((shape, 0)..(shape + 1, 0)).count();
        let most = (0..self.shapes.len()).map(measured).max().unwrap_or(0);
        if most == self.m.len() && most > 0 {
            return Ok(());
        }
        Err(CalibrateError::Column {
            file: self.set.origin.file.clone(),
            column: "m".to_owned(),
            problem: format!(
                "of products of {} no shape (n, k) has all {} numbers of tokens of the table, the fullest {most}: \
                 measure some shapes at each of them",
                self.set.kind,
                self.m.len()
            ),
        })
    }

    fn residual(&self, floor: f64, row: &GemmRow) -> f64 {
        libm::log(row.seconds / (floor + self.silicon.gemm(self.set.kind, row.m, row.n, row.k)))
    }

    /// Learns from the chosen shapes.
    fn fit(&self, chosen: &[bool]) -> Fit<'_> {
        let floor = self.floor(chosen);
        let whole = |shape: usize| (0..self.m.len()).map(move |tokens| self.at.get(&(shape, tokens)));
        let mut points = Vec::new();
        let mut values: Vec<Vec<f64>> = Vec::new();
        let mut index = vec![None; self.shapes.len()];
        for (shape, (n, k)) in self.shapes.iter().enumerate() {
            if !chosen[shape] || !whole(shape).all(|row| row.is_some()) {
                continue;
            }
            index[shape] = Some(points.len());
            points.push(vec![libm::log2(*n), libm::log2(*k)]);
            values.push(whole(shape).flatten().map(|row| self.residual(floor, row)).collect());
        }
        let process = Kriging::new(PRIOR, points, &values);
        let likely_at = |n: f64, k: f64| likely_at(&process, n, k, self.m.len());
        let mut columns: Columns = Vec::new();
        let mut targets = Vec::new();
        let mut likely = Vec::new();
        let mut last = usize::MAX;
        for ((shape, tokens), row) in self.at.iter().filter(|((shape, _), _)| chosen[*shape]) {
            if *shape != last {
                likely = match index[*shape] {
                    Some(own) => process.without(own, &values[own]),
                    None => likely_at(row.n, row.k),
                };
                last = *shape;
            }
            let features = self.features(row.m, row.n, row.k, likely[*tokens]);
            columns.resize(features.len(), Vec::new());
            for (column, feature) in columns.iter_mut().zip(features) {
                column.push(feature);
            }
            targets.push(self.residual(floor, row));
        }
        Fit { sheet: self, floor, process, trees: Trees::grow(&columns, &targets, GROWTH) }
    }

    fn features(&self, m: f64, n: f64, k: f64, likely: f64) -> Vec<f64> {
        let log = libm::log2;
        let mut features = vec![
            log(m),
            log(n),
            log(k),
            log(n * k),
            log(n / k),
            log(m * n * k),
            log(m * n),
            m % 16.0,
            likely,
        ];
        for (rows, columns) in
            [(128.0_f64, 128.0_f64), (128.0, 256.0), (64.0, 64.0), (256.0, 128.0), (64.0, 128.0)]
        {
            let tiles = (m / rows).ceil() * (n / columns).ceil();
            let waves = tiles / f64::from(self.silicon.multiprocessors);
            features.extend([log(waves), waves.ceil() / waves]);
        }
        features.extend([(m / 128.0).ceil() * 128.0 / m, (m / 64.0).ceil() * 64.0 / m]);
        features
    }
}

/// What the process has likely at each number of tokens: nothing beyond the bound if it has seen no shape.
fn likely_at(process: &Kriging<'_>, n: f64, k: f64, tokens: usize) -> Vec<f64> {
    let mut likely = process.expect(&[libm::log2(n), libm::log2(k)]);
    likely.resize(tokens, 0.0);
    likely
}

impl Fit<'_> {
    /// Residuals of a shape at every measured number of tokens.
    fn residuals(&self, n: f64, k: f64) -> Vec<f64> {
        let sheet = self.sheet;
        let likely = likely_at(&self.process, n, k, sheet.m.len());
        let each = sheet.m.iter().zip(likely);
        each.map(|(m, likely)| self.trees.answer(&sheet.features(*m, n, k, likely))).collect()
    }

    /// The table of a grid; at the shapes that `known` says, what was measured stands.
    fn table(&self, known: impl Fn(usize) -> bool, n: Vec<f64>, k: Vec<f64>) -> GemmTable {
        let sheet = self.sheet;
        let mut residuals = Vec::with_capacity(n.len() * k.len() * sheet.m.len());
        for rows in &n {
            for columns in &k {
                let foretold = self.residuals(*rows, *columns);
                let shape = sheet.shapes.iter().position(|shape| *shape == (*rows, *columns));
                let shape = shape.filter(|shape| known(*shape));
                for (tokens, foretold) in foretold.into_iter().enumerate() {
                    let measured = shape.and_then(|shape| sheet.at.get(&(shape, tokens)));
                    residuals.push(measured.map_or(foretold, |row| {
                        let off = sheet.residual(self.floor, row) - foretold;
                        foretold + off.clamp(-OUTLIER, OUTLIER)
                    }));
                }
            }
        }
        let lines = n.len();
        GemmTable {
            kind: sheet.set.kind,
            table: sheet.set.origin.table.clone(),
            floor_us: rounded(self.floor * 1e6),
            cold: rounded(cold(sheet, self.floor)),
            hot: hot(sheet),
            m: sheet.m.clone(),
            n,
            k,
            residual: Residuals::new(residuals, lines),
        }
    }
}

/// To three digits behind the point.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// Share of the bandwidth at which weights that no cache holds stream to few tokens.
fn cold(sheet: &Sheet<'_>, floor: f64) -> f64 {
    let bytes = |row: &GemmRow| sheet.set.kind.bytes() * row.n * row.k;
    let large =
        sheet.at.values().filter(|row| row.m <= 64.0 && bytes(row) > 2.0 * sheet.silicon.cache_bytes());
    let mut shares: Vec<f64> =
        large.map(|row| bytes(row) / sheet.silicon.bandwidth() / (row.seconds - floor)).collect();
    if shares.is_empty() { 0.8 } else { median(&mut shares).clamp(0.1, 1.0) }
}

/// Whether small weights were left in the cache: whether more than a few rows beat the bandwidth.
fn hot(sheet: &Sheet<'_>) -> bool {
    let rows = sheet.at.values().filter(|row| judge(sheet, row) == Row::Hot).count();
    rows as f64 > 0.002 * sheet.at.len() as f64
}

fn judge(sheet: &Sheet<'_>, row: &GemmRow) -> Row {
    gemm_row(sheet.silicon, sheet.set.kind, [row.m, row.n, row.k], row.seconds)
}

/// The table of a set, and how well such tables foretell.
pub(super) fn calibrate(
    silicon: &Silicon,
    set: &GemmSet,
    scored: bool,
) -> Result<(GemmTable, Option<GemmScores>), CalibrateError> {
    let sheet = Sheet::new(silicon, set);
    sheet.check()?;
    let fit = sheet.fit(&vec![true; sheet.shapes.len()]);
    let axis = |pick: fn(&(f64, f64)) -> f64| {
        let mut axis: Vec<f64> = sheet.shapes.iter().map(pick).collect();
        axis.sort_unstable_by(f64::total_cmp);
        axis.dedup();
        axis
    };
    let (n, k) = (axis(|shape| shape.0), axis(|shape| shape.1));
    let table = fit.table(|_| true, n.clone(), k.clone());
    let scores = scored.then(|| score(&sheet, &table, &n, &k));
    Ok((table, scores))
}

/// A foretold time beside the row that was measured.
type Pair = (f64, GemmRow);

fn score(sheet: &Sheet<'_>, table: &GemmTable, n: &[f64], k: &[f64]) -> GemmScores {
    let parts = folds(sheet.shapes.len());
    let mut held: Vec<Pair> = Vec::new();
    for part in 0..FOLDS {
        let chosen: Vec<bool> = parts.iter().map(|fold| *fold != part).collect();
        let fit = sheet.fit(&chosen);
        for (shape, (n, k)) in sheet.shapes.iter().enumerate().filter(|(shape, _)| !chosen[*shape]) {
            // Through the text of a profile and back, as its user reads it.
            let residuals = Residuals::new(fit.residuals(*n, *k), 1);
            let residuals: Vec<f64> = (0..sheet.m.len()).map(|at| residuals.at(at)).collect();
            let matrix =
                Matrix { silicon: sheet.silicon, kind: sheet.set.kind, n: *n, k: *k, floor: fit.floor };
            let curve = matrix.curve(&sheet.m, &residuals, 0.0);
            for tokens in 0..sheet.m.len() {
                if let Some(row) = sheet.at.get(&(shape, tokens)) {
                    held.push((curve.seconds_of(row.m as u32), *row));
                }
            }
        }
    }
    let errors = |pairs: &[Pair], keep: &dyn Fn(&GemmRow) -> bool| {
        Errors::of(pairs.iter().filter(|(_, row)| keep(row)).map(|(foretold, row)| (*foretold, row.seconds)))
    };
    let sound = |row: &GemmRow| judge(sheet, row) == Row::Sound;
    let plain = GemmTable { hot: false, ..table.clone() };
    let kept: Vec<Pair> = read(sheet, &plain, |_| true);
    let between = between(sheet, n, k);
    GemmScores {
        shapes: errors(&held, &sound),
        all: errors(&held, &|_| true),
        large: errors(&held, &|row| sound(row) && row.n >= 512.0 && row.k >= 512.0),
        ragged: errors(&held, &|row| sound(row) && !sheet.set.kind.aligned(row.m as u32)),
        kept: errors(&kept, &sound),
        between: errors(&between, &sound),
    }
}

/// What a table says of the chosen shapes.
fn read(sheet: &Sheet<'_>, table: &GemmTable, chosen: impl Fn(usize) -> bool) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (shape, (n, k)) in sheet.shapes.iter().enumerate().filter(|(shape, _)| chosen(*shape)) {
        let curve = table.curve(sheet.silicon, *n, *k);
        for tokens in 0..sheet.m.len() {
            if let Some(row) = sheet.at.get(&(shape, tokens)) {
                pairs.push((curve.seconds_of(row.m as u32), *row));
            }
        }
    }
    pairs
}

/// Every third line of the grid held out, `n` and `k` apart, and read from between the others: gaps twice
/// as wide as a shape of a real model meets.
fn between(sheet: &Sheet<'_>, n: &[f64], k: &[f64]) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let out = |axis: &[f64]| -> Vec<f64> {
        axis.iter().skip(2).step_by(3).copied().filter(|line| *line < axis[axis.len() - 2]).collect()
    };
    for (no_n, no_k) in [(out(n), Vec::new()), (Vec::new(), out(k))] {
        let inside = |shape: usize| {
            let (n, k) = sheet.shapes[shape];
            !no_n.contains(&n) && !no_k.contains(&k)
        };
        let chosen: Vec<bool> = (0..sheet.shapes.len()).map(inside).collect();
        let rest = |axis: &[f64], out: &[f64]| -> Vec<f64> {
            axis.iter().copied().filter(|line| !out.contains(line)).collect()
        };
        let fit = sheet.fit(&chosen);
        let table = GemmTable { hot: false, ..fit.table(inside, rest(n, &no_n), rest(k, &no_k)) };
        pairs.extend(read(sheet, &table, |shape| !chosen[shape]));
    }
    pairs
}
