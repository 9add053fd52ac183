//! What tensor parallelism adds to a step: all-reduces, and the gather of the logits.
//!
//! ```text
//! t_allreduce = α + 2(p−1)/p · S / (e_link · B)        p accelerators, S bytes each, B bytes/s per direction
//! t_gather    = α +  (p−1)/p · S / (e_link · B)        S bytes gathered in all
//! ```
//! The ring bound on the bytes plus a latency α, for every link alike. Left out: protocol switches
//! with size, one-shot kernels that send more bytes for less latency, and contention between
//! clusters. NVIDIA aiconfigurator's H100 tables give α 4.2–4.4 µs for vLLM's custom kernel whatever
//! p is, and 0.48 (p = 2) to 0.74 (p = 8) of the link on 16 MB. Without peer-to-peer, over PCI Express, α is
//! nearer to 2(p−1) · 5.3 µs.

use super::Analytical;
use super::shape::{Deployment, Device};

/// Prices the collectives of one deployment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Collectives {
    /// Accelerators that take part.
    ranks: f64,
    /// α (s).
    latency: f64,
    /// `e_link · B` (bytes/s).
    bandwidth: f64,
}

impl Collectives {
    /// `device` has a link if the deployment has more than one rank: checked before.
    pub(super) fn new(params: &Analytical, device: &Device, deployment: &Deployment) -> Self {
        Self {
            ranks: f64::from(deployment.tensor_parallel),
            latency: params.allreduce_latency.as_secs(),
            bandwidth: params.link_efficiency * device.link_bandwidth.unwrap_or(f64::INFINITY),
        }
    }

    /// An all-reduce of `bytes` on every rank (s).
    pub(super) fn all_reduce(&self, bytes: f64) -> f64 {
        self.ring(2.0, bytes)
    }

    /// A gather of `bytes` that lie spread over the ranks (s).
    pub(super) fn gather(&self, bytes: f64) -> f64 {
        self.ring(1.0, bytes)
    }

    fn ring(&self, passes: f64, bytes: f64) -> f64 {
        if self.ranks > 1.0 && bytes > 0.0 {
            self.latency + passes * (self.ranks - 1.0) / self.ranks * bytes / self.bandwidth
        } else {
            0.0
        }
    }
}
