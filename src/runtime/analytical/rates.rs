//! At what rates one device of a deployment computes and streams: its data sheet times what it reaches of it.

use super::architecture::ByWidth;
use super::shape::{Deployment, Device};
use super::shares::Shares;
use super::{Analytical, Counting};
use crate::runtime::Bound;
use crate::units::Span;

/// Bytes of an activation, of logits as they are gathered, and of LM head weights: 16-bit floats.
pub(super) const ACTIVATION_BYTES: f64 = 2.0;

/// How matrix products of one format run.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProductRates {
    /// FLOP/s.
    pub flops: f64,
    /// Bytes/s.
    pub memory: f64,
    /// A product of no size (s).
    pub ramp: f64,
    /// Seconds per element of k that a wave of tiles takes.
    pub walk: f64,
    /// Bytes of a weight.
    pub weight_bytes: f64,
    /// Bytes of an activation that enters.
    pub input_bytes: f64,
}

/// Rates, and times that no rate shortens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    /// Products of layers.
    pub product: ProductRates,
    /// The LM head, which engines leave in 16 bit.
    pub head: ProductRates,
    /// FLOP/s of attention.
    pub attention: f64,
    /// Bytes/s of KV.
    pub kv: f64,
    /// Attention of one layer of no size (s).
    pub attend: f64,
    /// Keys past the diagonal that a tile of prefill attention computes in vain.
    pub tile_keys: f64,
    /// Rows of queries over all heads that fill all cores.
    pub full_rows: f64,
    /// FLOP/s of routed experts.
    pub experts: f64,
    /// Bytes/s of routed rows.
    pub rows: f64,
    /// Routed experts of one layer of no size (s).
    pub route: f64,
    /// Bytes/s of elementwise kernels.
    pub elementwise: f64,
    /// Least time of an elementwise kernel (s).
    pub kernel: f64,
    /// Bytes/s from the host, of weights that stay there.
    pub host: f64,
    /// Share of the weights that do.
    pub offloaded: f64,
    counting: Counting,
}

/// `GenZ`'s bandwidth for what stays on the chip (bytes/s): 18,000 GiB/s.
pub(super) const ON_CHIP: f64 = 18_000.0 * crate::units::GIB;

/// Fraction of a link to the host that reads over it reach (assumed).
const HOST_EFFICIENCY: f64 = 0.85;

impl Rates {
    /// `weights` are those of one device (bytes).
    pub(super) fn new(params: &Analytical, device: &Device, deployment: &Deployment, weights: f64) -> Self {
        let set = device.architecture.efficiencies();
        let genz = params.counting == Counting::GenZ;
        let widened = deployment.weight_bytes < deployment.activation_bytes;
        let secs = |given: Option<Span>, usual: f64| given.map_or(usual, Span::as_secs);
        let launch = if params.cuda_graphs || genz { 0.0 } else { params.launch_overhead.as_secs() };
        let product = |arithmetic: usize, stored: usize, peak: f64| {
            let given =
                [params.compute_efficiency, params.compute_efficiency_8bit, params.compute_efficiency_4bit]
                    [arithmetic];
            ProductRates {
                flops: peak * given.unwrap_or(set.compute[arithmetic]),
                memory: device.memory_bandwidth * params.memory_efficiency.unwrap_or(set.weights[stored]),
                ramp: secs(params.gemm_overhead, set.product[arithmetic]),
                // A product that is given a time of its own is not to take longer.
                walk: if params.gemm_overhead.is_some() { 0.0 } else { set.walk[arithmetic] },
                weight_bytes: ACTIVATION_BYTES,
                input_bytes: ACTIVATION_BYTES,
            }
        };
        let arithmetic = width(deployment.activation_bytes);
        let mut layers = product(arithmetic, width(deployment.weight_bytes), device.peak_flops);
        layers.weight_bytes = deployment.weight_bytes;
        layers.input_bytes = deployment.activation_bytes;
        let mut head = product(0, 0, device.peak_flops_16bit);
        let mut experts = device.peak_flops * params.moe_efficiency.unwrap_or(set.experts);
        if widened {
            layers.flops *= params.dequantise_efficiency;
            experts *= params.dequantise_efficiency;
        }
        if genz {
            for time in [&mut layers.ramp, &mut head.ramp, &mut layers.walk, &mut head.walk] {
                *time = 0.0;
            }
        }
        layers.ramp += launch;
        head.ramp += launch;
        let kv = params.kv_efficiency.or(params.memory_efficiency);
        let kv = kv.unwrap_or(set.kv[width(deployment.kv_bytes).min(1)]);
        let host = device.host_bandwidth.unwrap_or(f64::INFINITY) * HOST_EFFICIENCY;
        let zero = |seconds: f64| if genz { 0.0 } else { seconds };
        Self {
            product: layers,
            head,
            attention: device.peak_flops_16bit * params.attention_efficiency.unwrap_or(set.attention),
            kv: device.memory_bandwidth * kv,
            attend: zero(secs(params.attention_overhead, set.attend) + launch),
            tile_keys: zero(set.tile_keys),
            full_rows: zero(set.full_rows),
            experts,
            rows: device.memory_bandwidth * params.memory_efficiency.map_or(set.rows, |given| given.min(1.0)),
            route: zero(secs(params.moe_overhead, set.route) + 3.0 * launch),
            elementwise: device.memory_bandwidth * params.elementwise_efficiency,
            kernel: params.kernel_overhead.as_secs() + launch,
            host,
            offloaded: (deployment.offloaded_bytes / weights).min(1.0),
            counting: params.counting,
        }
    }

    /// Whether all that is simplified which `GenZ` simplifies.
    pub(super) fn genz(&self) -> bool {
        self.counting == Counting::GenZ
    }

    /// An operator that computes for `compute` and moves bytes for `memory` seconds: √(compute² + memory²), as the two
    /// overlap but not wholly.
    pub(super) fn roofline(&self, compute: f64, memory: f64) -> Shares {
        if self.genz() {
            let bound = if compute > memory { Bound::Compute } else { Bound::Memory };
            return Shares::of(bound, compute.max(memory));
        }
        Shares::roofline(compute, memory)
    }

    /// What an operator that takes `near` with all its weights at hand waits longer for those that stay in the host (s).
    pub(super) fn fetched(&self, weight_bytes: f64, near: f64) -> f64 {
        self.offloaded * (weight_bytes / self.host - near).max(0.0)
    }

    /// The same for an operator whose `weights` (seconds from device memory, bytes) may stay in the host.
    pub(super) fn weighted(&self, compute: f64, memory: f64, weight_bytes: f64) -> Shares {
        let near = self.roofline(compute, memory);
        if self.offloaded == 0.0 {
            return near;
        }
        let far = self.roofline(compute, memory.max(weight_bytes / self.host));
        near.times(1.0 - self.offloaded) + far.times(self.offloaded)
    }
}

/// Where figures for numbers of so many bytes stand in a [`ByWidth`].
fn width(bytes: f64) -> usize {
    const WIDTHS: ByWidth = [1.0, 0.6, 0.0];
    WIDTHS.iter().position(|more| bytes > *more).unwrap_or(2)
}

#[cfg(test)]
mod tests {
    #[test]
    fn formats_by_width() {
        let width = [2.0, 1.0, 0.5625, 0.5].map(super::width);
        assert_eq!(width, [0, 1, 2, 2]);
    }
}
