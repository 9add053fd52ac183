//! Fits layers of experts: the closed form by all rows, and what is left of it by layer.

use std::collections::BTreeMap;

use super::errors::Errors;
use super::folds::{FOLDS, folds};
use super::gemm::rounded;
use super::measurements::{MoeRow, MoeSet};
use super::simplex::{minimise, soft};
use crate::runtime::profile::kriging::Kriging;
use crate::runtime::profile::{MOE_PRIOR, MoeForm, MoeLoad, MoeShape, MoeTable, Residuals, Silicon};

/// How well the fit foretells.
pub(super) struct MoeScores {
    /// Layers as they are spread held out.
    pub(super) shapes: Errors,
    /// Layers held out, however they are spread.
    pub(super) models: Errors,
}

/// Layers that were measured at every number of tokens, and what they took.
struct Sheet<'a> {
    silicon: &'a Silicon,
    set: &'a MoeSet,
    tokens: Vec<f64>,
    shapes: Vec<MoeShape>,
    /// By shape, by tokens (s).
    seconds: Vec<Vec<f64>>,
    /// By shape, by tokens, where the kernel's tiles are known.
    loads: Vec<Vec<MoeLoad>>,
}

/// The table of a set, and how well such tables foretell; none where too little was measured.
pub(super) fn calibrate(
    silicon: &Silicon,
    set: &MoeSet,
    scored: bool,
) -> Option<(MoeTable, Option<MoeScores>)> {
    let sheet = Sheet::new(silicon, set);
    if sheet.shapes.len() < 2 * FOLDS || sheet.tokens.len() < 5 {
        return None;
    }
    let all: Vec<usize> = (0..sheet.shapes.len()).collect();
    let form = sheet.form(&all);
    let table = sheet.table(form, &all);
    let scores = scored.then(|| {
        let keys: Vec<(u32, u32, u32, u32)> =
            sheet.shapes.iter().map(|s| (s.hidden, s.inter, s.top_k, s.experts)).collect();
        let mut models = keys.clone();
        models.sort_unstable();
        models.dedup();
        let of_model = |shape: usize| models.binary_search(&keys[shape]).unwrap_or_default();
        MoeScores {
            shapes: sheet.held_out(|shape| shape, sheet.shapes.len()),
            models: sheet.held_out(of_model, models.len()),
        }
    });
    Some((table, scores))
}

impl<'a> Sheet<'a> {
    fn new(silicon: &'a Silicon, set: &'a MoeSet) -> Self {
        let mut by_shape: BTreeMap<MoeShape, BTreeMap<u64, f64>> = BTreeMap::new();
        for MoeRow { shape, tokens, seconds } in &set.rows {
            by_shape.entry(*shape).or_default().insert(*tokens as u64, *seconds);
        }
        // A layer that failed at most counts of tokens says little of the others.
        let most = by_shape.values().map(BTreeMap::len).max().unwrap_or_default();
        by_shape.retain(|_, times| times.len() as f64 > 0.9 * most as f64);
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        for tokens in by_shape.values().flat_map(BTreeMap::keys) {
            *counts.entry(*tokens).or_default() += 1;
        }
        let often = |count: usize| count as f64 > 0.9 * by_shape.len() as f64;
        let tokens: Vec<u64> =
            counts.into_iter().filter(|(_, count)| often(*count)).map(|(at, _)| at).collect();
        let mut shapes = Vec::new();
        let mut seconds = Vec::new();
        for (shape, times) in by_shape {
            let whole: Option<Vec<f64>> = tokens.iter().map(|tokens| times.get(tokens).copied()).collect();
            if let Some(times) = whole {
                shapes.push(shape);
                seconds.push(times);
            }
        }
        let tokens: Vec<f64> = tokens.into_iter().map(|tokens| tokens as f64).collect();
        let load = |shape: &MoeShape| -> Vec<MoeLoad> {
            let kernel = set.kernel.into_iter();
            kernel
                .flat_map(|kernel| tokens.iter().map(move |at| kernel.load(set.routing, shape, *at)))
                .collect()
        };
        let loads = shapes.iter().map(load).collect();
        Self { silicon, set, tokens, shapes, seconds, loads }
    }

    /// Whether the shape's shards fill tiles; others are not what the form is fitted to.
    fn regular(&self, shape: usize) -> bool {
        self.shapes[shape].regular(self.set.kernel)
    }

    /// Seconds of a shape by the form, at a count of tokens by its index.
    fn by_form(&self, form: &MoeForm, shape: usize, at: usize) -> f64 {
        let MoeSet { kind, routing, kernel, .. } = self.set;
        let (tokens, layer) = (self.tokens[at], &self.shapes[shape]);
        match kernel {
            None => form.seconds(self.silicon, *kind, *routing, layer, tokens),
            Some(kernel) => {
                form.seconds_in_tiles(self.silicon, *kind, *kernel, &self.loads[shape][at], layer, tokens)
            }
        }
    }

    /// The form that fits the chosen shapes.
    fn form(&self, chosen: &[usize]) -> MoeForm {
        let share = |x: f64| 1.0 / (1.0 + libm::exp(-x));
        // Where tiles are known, so are the experts that rows find.
        let in_tiles = self.set.kernel.is_some();
        let form = |x: &[f64]| MoeForm {
            floor_us: libm::exp(x[0]),
            memory: share(x[1]),
            compute: share(x[2]),
            rows: share(x[3]),
            overlap: 1.0 + libm::exp(x[4]),
            spread: if in_tiles { 1.0 } else { share(x[5]) },
            padding: libm::exp(x[6]),
            mapped_us: if in_tiles { libm::exp(x[5]) } else { 0.0 },
        };
        let cost = |x: &[f64]| {
            let form = form(x);
            let mut sum = 0.0;
            for shape in chosen.iter().filter(|shape| self.regular(**shape)) {
                // Every other count of tokens says as much.
                for (at, seconds) in self.seconds[*shape].iter().enumerate().step_by(2) {
                    sum += soft(libm::log(self.by_form(&form, *shape, at) / seconds));
                }
            }
            // A weak pull towards shares that can be, so that what the data do not say stays sane.
            sum + 0.05 * x.iter().map(|x| x * x).sum::<f64>()
        };
        let found = minimise(cost, &[3.5, 1.5, 0.0, 0.0, -0.5, 2.0, 2.0], 0.5, 900);
        let exact = form(&found);
        MoeForm {
            floor_us: rounded(exact.floor_us),
            memory: rounded(exact.memory),
            compute: rounded(exact.compute),
            rows: rounded(exact.rows),
            overlap: rounded(exact.overlap),
            spread: rounded(exact.spread),
            padding: rounded(exact.padding),
            mapped_us: rounded(exact.mapped_us),
        }
    }

    fn residuals(&self, form: &MoeForm, shape: usize) -> Vec<f64> {
        let each = self.seconds[shape].iter().enumerate();
        each.map(|(at, seconds)| libm::log(seconds / self.by_form(form, shape, at))).collect()
    }

    fn table(&self, form: MoeForm, chosen: &[usize]) -> MoeTable {
        let residuals: Vec<f64> = chosen.iter().flat_map(|shape| self.residuals(&form, *shape)).collect();
        let tuple = |shape: &usize| {
            let MoeShape { hidden, inter, top_k, experts, tp, ep } = self.shapes[*shape];
            (hidden, inter, top_k, experts, tp, ep)
        };
        MoeTable {
            kind: self.set.kind,
            routing: self.set.routing,
            kernel: self.set.kernel,
            table: self.set.origin.table.clone(),
            form,
            tokens: self.tokens.clone(),
            shapes: chosen.iter().map(tuple).collect(),
            residual: Residuals::new(residuals, chosen.len()),
        }
    }

    /// Foretells each group from the others.
    fn held_out(&self, group: impl Fn(usize) -> usize, groups: usize) -> Errors {
        let parts = folds(groups);
        let mut pairs = Vec::new();
        for part in 0..FOLDS {
            let (seen, held): (Vec<usize>, Vec<usize>) =
                (0..self.shapes.len()).partition(|shape| parts[group(*shape)] != part);
            if seen.is_empty() {
                continue;
            }
            let form = self.form(&seen);
            let points =
                seen.iter().map(|shape| self.shapes[*shape].place(self.set.kind, self.set.kernel)).collect();
            let values: Vec<Vec<f64>> = seen.iter().map(|shape| self.residuals(&form, *shape)).collect();
            let process = Kriging::new(MOE_PRIOR, points, &values);
            let table = self.table(form, &seen);
            for shape in held.into_iter().filter(|shape| self.regular(*shape)) {
                let place = self.shapes[shape].place(self.set.kind, self.set.kernel);
                let curve = table.rising(self.silicon, &self.shapes[shape], &process.expect(&place), false);
                pairs.extend(
                    self.tokens.iter().zip(&self.seconds[shape]).map(|(tokens, s)| (curve.at(*tokens), *s)),
                );
            }
        }
        Errors::of(pairs)
    }
}
