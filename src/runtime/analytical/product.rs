//! Matrix products with weights.
//!
//! With T rows, k×n weights of w bytes each, inputs of a bytes, at F FLOP/s and B bytes/s:
//!
//! ```text
//! t = t_product + √( (2Tnk/F + τ·k·T/(T + 128))² + ((w·nk + a·Tk + 2·Tn)/B)² )
//! ```
//! τ·k is half a wave of tiles: cores that finish early wait for those that walk k once more. It, and
//! `t_product`, is why small products reach less of the peak than large ones.
//!
//! Left out: where exactly a wave ends, the paddings of odd shapes (fp8 tokens that are no multiple of 16), and
//! which of its kernels a library chooses.

use super::line::{Line, Sink};
use super::rates::{ON_CHIP, ProductRates, Rates};
use crate::runtime::Part;

/// Rows at which half a wave is lost in full.
const WALK_ROWS: f64 = 128.0;

/// A matrix product whose weights lie in device memory, once in each of `count` layers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product {
    pub operator: &'static str,
    pub count: f64,
    /// Columns of the weights.
    pub n: f64,
    /// Rows of the weights.
    pub k: f64,
}

impl Product {
    /// Weights (elements).
    pub(super) fn weights(&self) -> f64 {
        self.count * self.n * self.k
    }

    /// The product for `rows` rows; `on_chip` if its inputs and outputs never leave the caches.
    pub(super) fn price(
        &self,
        part: Part,
        rows: f64,
        how: &ProductRates,
        rates: &Rates,
        on_chip: bool,
    ) -> Line {
        let Self { n, k, .. } = *self;
        let flops = 2.0 * rows * n * k;
        let weights = how.weight_bytes * n * k;
        let activations = rows * (how.input_bytes * k + super::ACTIVATION_BYTES * n);
        let bytes = if on_chip { weights } else { weights + activations };
        let compute = flops / how.flops + how.walk * k * rows / (rows + WALK_ROWS);
        let near = if on_chip { activations / ON_CHIP } else { 0.0 };
        let roofline = rates.weighted(compute, bytes / how.memory + near, weights);
        // The ramp is charged to what bounds the product: it is the beginning of the same kernel.
        let one = roofline + super::Shares::of(roofline.largest(), how.ramp);
        Line::new(self.operator, part, self.count, one, flops, bytes)
    }

    /// The same into `sink`, as one of the layers' products.
    pub(super) fn add(&self, rows: f64, rates: &Rates, on_chip: bool, sink: &mut impl Sink) {
        sink.take(self.price(Part::Linear, rows, &rates.product, rates, on_chip));
    }
}
