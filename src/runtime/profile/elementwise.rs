//! Norms, activations, rotations: kernels that stream their operands.

use serde::{Deserialize, Serialize};

use super::device::Silicon;

/// Seconds of a kernel that only streams: `max(floor, bytes/(BW·share))`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Elementwise {
    /// Least time of a kernel (µs).
    pub floor_us: f64,
    /// Share of the memory bandwidth at which operands stream.
    pub share: f64,
    /// What it was fitted to.
    pub fitted_to: String,
}

impl Elementwise {
    /// Seconds of a kernel that reads and writes so many bytes.
    #[inline]
    pub fn seconds(&self, silicon: &Silicon, bytes: f64) -> f64 {
        (bytes / (silicon.bandwidth() * self.share)).max(self.floor_us * 1e-6)
    }
}
