//! Kernels that read each element once and write one: norms, rotary positions, KV writes, activations, casts.
//!
//! ```text
//! t = max( t_kernel, bytes/(e·B) )
//! ```
//! | kernel | elements per token, read and written | where |
//! |---|---|---|
//! | residual and norm, twice; once where attention and feed-forward run side by side | 4h; 5h | every layer |
//! | query and key norm | 2(H + K)d | models that have it |
//! | rotary position | 2(H + K)d | every layer |
//! | KV write | 2·2Kd, the write at the cache's precision | every layer |
//! | activation and gate | 3f | every feed-forward network |
//! | cast of a product's input | 1½k elements of 2 bytes for 8 bit | products below 16 bit: that of what was attended |
//!
//! Norms and activations cast what they hand to a product below 16 bit themselves (`fused_casts`), and write so much less;
//! where they do not, three more casts a layer are kernels of their own.

use super::line::{Line, Sink};
use super::rates::Rates;
use super::shares::Shares;
use crate::runtime::{Bound, Part};

/// One kernel, in each of `count` layers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elementwise {
    pub operator: &'static str,
    pub count: f64,
    /// Bytes read and written per token.
    pub bytes: f64,
}

impl Elementwise {
    /// Its price for `tokens`, into `sink`.
    pub(super) fn add(&self, tokens: f64, rates: &Rates, sink: &mut impl Sink) {
        let bytes = tokens * self.bytes;
        let seconds = (bytes / rates.elementwise).max(rates.kernel);
        let one = Shares::of(Bound::Memory, seconds);
        sink.take(Line::new(self.operator, Part::Elementwise, self.count, one, 0.0, bytes));
    }
}
