//! Layers of experts: a closed form, and what measurements say beyond it.
//!
//! With `T` tokens, `k` experts a token of `E`, hidden size `h`, expert size `i`, `tp` shards of an expert
//! and `ep` groups of experts:
//!
//! ```text
//! N = T·k/ep rows of a device, El = E/ep experts of a device, D distinct experts among the rows:
//!   round robin  D = min(El, N)          skewed  D = El·(1 − exp(−(N/El)^α)), between 1 and N
//! t = t0 + [ (D·3h(i/tp)·b/(BW·e_mem))^q + (6(N + D·pad)·h(i/tp)/(P·e_comp))^q ]^(1/q) + 4·T·k·h/(BW·e_act)
//! ```
//!
//! times `exp(r)`, where `r` is known for the layers that were measured and expected, by a Gaussian
//! process over `log (h, i/tp, k, El, ep)`, for others. All rows are written and summed on every device,
//! whatever `ep`: the last term, as every device of those measured has every token. Where rows are dispatched to their
//! experts, a device writes its own `N` only. Shards that are no multiple of 16 wide run two to three times slower and
//! are expected from each other only.

use serde::{Deserialize, Serialize};

use super::curve::Curve;
use super::device::Silicon;
use super::grid::{Residuals, between, check_above_zero, check_axis, check_not_negative, pool_adjacent};
use super::kinds::WeightKind;
use super::kriging::Prior;
use super::tiles::{Load, MoeKernel};

/// How tokens choose experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Routing {
    /// All experts are chosen equally often, in turn.
    RoundRobin,
    /// By a power law of exponent 1.2: some experts are chosen more often.
    Skewed,
}

/// The experts of one layer and how they are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MoeShape {
    /// Size of a token.
    pub hidden: u32,
    /// Size of an expert.
    pub inter: u32,
    /// Experts a token goes to.
    pub top_k: u32,
    /// Experts.
    pub experts: u32,
    /// Devices that share an expert.
    pub tp: u32,
    /// Groups of devices that share the experts out.
    pub ep: u32,
}

/// The figures of the closed form.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoeForm {
    /// Launching the kernels (µs).
    pub floor_us: f64,
    /// Share of the memory bandwidth at which weights stream.
    pub memory: f64,
    /// Share of the peak rate.
    pub compute: f64,
    /// Share of the memory bandwidth at which rows are written and summed.
    pub rows: f64,
    /// How far memory and arithmetic overlap: 1 not at all, more the better.
    pub overlap: f64,
    /// How fast skewed rows find new experts.
    pub spread: f64,
    /// Rows that each expert is padded by, or each tile.
    pub padding: f64,
    /// Finding the rows of one's own experts, where there are groups of devices (µs).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mapped_us: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

/// Measured layers of experts with weights of one kind, under one routing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoeTable {
    /// How the weights are stored.
    pub kind: WeightKind,
    /// How tokens chose experts.
    pub routing: Routing,
    /// The kernel, where its tiles are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<MoeKernel>,
    /// The engine and version whose kernels were measured.
    pub table: String,
    /// The closed form.
    pub form: MoeForm,
    /// Tokens.
    pub tokens: Vec<f64>,
    /// What was measured.
    pub shapes: Vec<(u32, u32, u32, u32, u32, u32)>,
    /// By `shapes`, `tokens`.
    pub residual: Residuals,
}

/// Seconds of a layer of experts by its tokens.
#[derive(Clone, Debug)]
pub struct MoeCurve {
    curve: Curve,
    /// Whether this very layer was measured.
    pub measured: bool,
}

impl MoeCurve {
    /// Seconds of `tokens` before they are spread over groups of devices.
    #[inline]
    pub fn seconds(&self, tokens: f64) -> f64 {
        self.curve.at(tokens)
    }
}

/// What is expected of layers that were not measured.
pub(crate) const PRIOR: Prior<'_> =
    Prior { lengths: &[3.0, 3.0, 3.0, 3.0, 6.0, 0.2], mean: 1.0, nugget: 0.05 };

impl MoeShape {
    /// Where it stands among others.
    pub(crate) fn place(&self, kind: WeightKind, kernel: Option<MoeKernel>) -> Vec<f64> {
        let local = f64::from(self.experts) / f64::from(self.ep);
        let (hidden, shard) = self.sizes(kind, kernel);
        let mut place: Vec<f64> = [hidden, shard, f64::from(self.top_k), local, f64::from(self.ep)]
            .into_iter()
            .map(libm::log2)
            .collect();
        place.push(if self.regular(kernel) { 0.0 } else { 1.0 });
        place
    }

    /// Whether its shards fill tiles, or are padded so that they do.
    pub(crate) fn regular(&self, kernel: Option<MoeKernel>) -> bool {
        kernel.is_some() || (f64::from(self.inter) / f64::from(self.tp)) % 16.0 == 0.0
    }

    /// The size of a token and of a shard, as they are multiplied.
    fn sizes(&self, kind: WeightKind, kernel: Option<MoeKernel>) -> (f64, f64) {
        let (hidden, shard) = (f64::from(self.hidden), f64::from(self.inter) / f64::from(self.tp));
        kernel.map_or((hidden, shard), |kernel| kernel.padded(kind, hidden, shard))
    }

    fn tuple(&self) -> (u32, u32, u32, u32, u32, u32) {
        (self.hidden, self.inter, self.top_k, self.experts, self.tp, self.ep)
    }

    /// Weights of an expert on a device (numbers), rows of a device, experts of a device.
    fn counts(&self, tokens: f64) -> (f64, f64, f64) {
        let expert = 3.0 * f64::from(self.hidden) * f64::from(self.inter) / f64::from(self.tp);
        let ep = f64::from(self.ep);
        let rows = (tokens * f64::from(self.top_k) / ep).max(1.0);
        (expert, rows, f64::from(self.experts) / ep)
    }

    /// Least seconds of the layer.
    pub(crate) fn bound(&self, silicon: &Silicon, kind: WeightKind, tokens: f64) -> f64 {
        let (expert, rows, _) = self.counts(tokens);
        let memory = expert * kind.bytes() / silicon.bandwidth();
        // Rows that one group has more than its share of make another's fewer.
        (2.0 * rows * expert / silicon.peak(kind)).max(memory)
    }
}

impl From<(u32, u32, u32, u32, u32, u32)> for MoeShape {
    fn from((hidden, inter, top_k, experts, tp, ep): (u32, u32, u32, u32, u32, u32)) -> Self {
        Self { hidden, inter, top_k, experts, tp, ep }
    }
}

impl MoeForm {
    fn check(&self) -> Result<(), String> {
        let Self { floor_us, memory, compute, rows, overlap, spread, padding, mapped_us } = *self;
        check_above_zero(&[
            ("memory", memory),
            ("compute", compute),
            ("rows", rows),
            ("overlap", overlap),
            ("spread", spread),
        ])?;
        check_not_negative(&[("floor_us", floor_us), ("padding", padding), ("mapped_us", mapped_us)])
    }

    /// Seconds of the layer, by the form alone.
    pub(crate) fn seconds(
        &self,
        silicon: &Silicon,
        kind: WeightKind,
        routing: Routing,
        shape: &MoeShape,
        tokens: f64,
    ) -> f64 {
        let (expert, rows, local) = shape.counts(tokens);
        let distinct = match routing {
            Routing::RoundRobin => local.min(rows),
            Routing::Skewed => {
                let met = -libm::expm1(-libm::pow(rows / local, self.spread));
                (local * met).max(1.0).min(rows)
            }
        };
        let padded = rows + distinct * self.padding;
        self.floor_us * 1e-6
            + self.products(silicon, kind, expert, distinct, padded)
            + self.row_seconds(silicon, shape, tokens)
    }

    /// The same of a kernel whose tiles are known.
    pub(crate) fn seconds_in_tiles(
        &self,
        silicon: &Silicon,
        kind: WeightKind,
        kernel: MoeKernel,
        load: &Load,
        shape: &MoeShape,
        tokens: f64,
    ) -> f64 {
        let (hidden, shard) = shape.sizes(kind, Some(kernel));
        let mapped = if shape.ep > 1 { self.mapped_us } else { 0.0 };
        let padded = load.tiles * (load.tile + self.padding);
        (self.floor_us + mapped) * 1e-6
            + self.products(silicon, kind, 3.0 * hidden * shard, load.distinct, padded)
            + self.row_seconds(silicon, shape, tokens)
    }

    /// Seconds of multiplying so many rows with the weights of so many experts, of which each has `expert` numbers.
    fn products(&self, silicon: &Silicon, kind: WeightKind, expert: f64, distinct: f64, rows: f64) -> f64 {
        let memory = distinct * expert * kind.bytes() / (silicon.bandwidth() * self.memory);
        let compute = 2.0 * rows * expert / (silicon.peak(kind) * self.compute);
        let larger = memory.max(compute);
        larger
            * libm::pow(
                libm::pow(memory / larger, self.overlap) + libm::pow(compute / larger, self.overlap),
                1.0 / self.overlap,
            )
    }

    /// Seconds of writing and summing the rows of so many tokens.
    fn row_seconds(&self, silicon: &Silicon, shape: &MoeShape, tokens: f64) -> f64 {
        let rows = 4.0 * tokens * f64::from(shape.top_k) * f64::from(shape.hidden);
        rows / (silicon.bandwidth() * self.rows)
    }
}

impl MoeTable {
    pub(super) fn check(&self) -> Result<(), String> {
        check_axis("tokens", &self.tokens)?;
        self.form.check()?;
        if let Some(shape) = self.shapes.iter().find(|(a, b, c, d, e, f)| [a, b, c, d, e, f].contains(&&0)) {
            return Err(format!("`shapes` must have numbers above 0, found {shape:?}"));
        }
        let expected = self.tokens.len() * self.shapes.len();
        if self.shapes.is_empty() || self.residual.len() != expected {
            return Err(format!("`residual` has {} numbers, expected {expected}", self.residual.len()));
        }
        Ok(())
    }

    /// How far the nearest layer that was measured is from this one, in lengths of likeness.
    pub(crate) fn distance(&self, shape: &MoeShape) -> f64 {
        let asked = shape.place(self.kind, self.kernel);
        let squares = self.shapes.iter().map(|measured| {
            let place = MoeShape::from(*measured).place(self.kind, self.kernel);
            let each = place.iter().zip(&asked).zip(PRIOR.lengths);
            each.map(|((a, b), length)| ((a - b) / length) * ((a - b) / length)).sum::<f64>()
        });
        squares.fold(f64::INFINITY, f64::min)
    }

    /// The curve of one layer; `dispatched` where a device is sent the rows of its experts alone.
    pub(crate) fn curve(&self, silicon: &Silicon, shape: &MoeShape, dispatched: bool) -> MoeCurve {
        let known = self.shapes.iter().position(|measured| *measured == shape.tuple());
        let row = |index: usize| (0..self.tokens.len()).map(move |at| index * self.tokens.len() + at);
        let residuals: Vec<f64> = if let Some(index) = known {
            row(index).map(|at| self.residual.at(at)).collect()
        } else {
            let points: Vec<Vec<f64>> = self
                .shapes
                .iter()
                .map(|measured| MoeShape::from(*measured).place(self.kind, self.kernel))
                .collect();
            let weights = PRIOR.weights(&points, &shape.place(self.kind, self.kernel));
            let mut sums = vec![0.0; self.tokens.len()];
            for (index, weight) in weights.iter().enumerate() {
                for (sum, at) in sums.iter_mut().zip(row(index)) {
                    *sum += weight * self.residual.at(at);
                }
            }
            sums
        };
        MoeCurve { curve: self.rising(silicon, shape, &residuals, dispatched), measured: known.is_some() }
    }

    /// The curve through residuals at the table's token counts.
    pub(crate) fn rising(
        &self,
        silicon: &Silicon,
        shape: &MoeShape,
        residuals: &[f64],
        dispatched: bool,
    ) -> Curve {
        // Of all rows, those of the other groups.
        let elsewhere = if dispatched { 1.0 - 1.0 / f64::from(shape.ep) } else { 0.0 };
        let whole = |tokens: f64| match self.kernel {
            None => self.form.seconds(silicon, self.kind, self.routing, shape, tokens),
            Some(kernel) => {
                let load = kernel.load(self.routing, shape, tokens);
                self.form.seconds_in_tiles(silicon, self.kind, kernel, &load, shape, tokens)
            }
        };
        let form = |tokens: f64| whole(tokens) - elsewhere * self.form.row_seconds(silicon, shape, tokens);
        let scale: Vec<f64> = self.tokens.iter().map(|tokens| libm::log(form(*tokens))).collect();
        let mut times: Vec<f64> = scale.iter().zip(residuals).map(|(scale, r)| scale + r).collect();
        pool_adjacent(&mut times);
        let pooled: Vec<f64> = times.iter().zip(&scale).map(|(time, scale)| time - scale).collect();
        Curve::new(|tokens| {
            let [(low, a), (high, b)] = between(&self.tokens, tokens);
            let residual = a * pooled[low] + b * pooled[high];
            (form(tokens) * libm::exp(residual)).max(shape.bound(silicon, self.kind, tokens))
        })
    }
}
