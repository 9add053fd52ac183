//! Norms, activations, rotations: kernels that stream their operands.

use serde::{Deserialize, Serialize};

use super::device::Silicon;
use super::grid::{check_above_zero, check_not_negative};

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
    pub(super) fn check(&self) -> Result<(), String> {
        check_above_zero(&[("share", self.share)])?;
        check_not_negative(&[("floor_us", self.floor_us)])
    }

    /// Seconds of a kernel that reads and writes so many bytes.
    #[inline]
    pub fn seconds(&self, silicon: &Silicon, bytes: f64) -> f64 {
        (bytes / (silicon.bandwidth() * self.share)).max(self.floor_us * 1e-6)
    }
}
