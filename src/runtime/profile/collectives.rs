//! Collectives: what was measured, size by size.
//!
//! For each library, operation and number of devices, times are pooled so that they never fall, and read
//! by straight lines between sizes, which are a factor of two apart; beyond the largest they go on in
//! proportion. Libraries change protocol with size, in steps that no smooth form follows. Between devices
//! on `PCIe` they are properties of the host as much as of the device.

use serde::{Deserialize, Serialize};

use super::curve::Curve;
use super::grid::{check_axis, pool_adjacent};

/// Who moves the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Library {
    /// The engine's own kernel, replayed from a graph.
    Custom,
    /// The engine's own kernel, launched by the host.
    CustomEager,
    /// NCCL.
    Nccl,
}

/// What is done with the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Operation {
    /// All end up with the sum.
    AllReduce,
    /// All end up with everyone's part.
    AllGather,
    /// Everyone ends up with a part of the sum.
    ReduceScatter,
    /// Everyone sends a part to everyone.
    AllToAll,
}

/// One measured collective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectiveTable {
    /// Who moves the data.
    pub library: Library,
    /// What is done with it.
    pub operation: Operation,
    /// Devices that take part.
    pub ranks: u32,
    /// The library's or engine's version.
    pub table: String,
    /// Sizes (bytes).
    pub bytes: Vec<f64>,
    /// Times (µs).
    pub us: Vec<f64>,
}

/// Seconds of a collective by its bytes.
#[derive(Clone, Debug)]
pub struct CollectiveCurve {
    curve: Curve,
}

/// Sizes are counted in these (bytes), so that the curve reaches 256 MiB before it is continued.
const UNIT: f64 = 256.0;

impl CollectiveTable {
    pub(super) fn check(&self) -> Result<(), String> {
        check_axis("bytes", &self.bytes)?;
        if self.us.len() != self.bytes.len() || !self.us.iter().all(|us| *us > 0.0) {
            return Err("`us` must have a time above 0 for each of `bytes`".to_owned());
        }
        Ok(())
    }

    /// Seconds at a size.
    pub(crate) fn seconds(&self, pooled_us: &[f64], bytes: f64) -> f64 {
        let upper = self.bytes.partition_point(|knot| *knot <= bytes);
        let last = self.bytes.len() - 1;
        let us = match upper {
            0 => pooled_us[0],
            _ if upper > last => pooled_us[last] * bytes / self.bytes[last],
            _ => {
                let (low, high) = (self.bytes[upper - 1], self.bytes[upper]);
                let part = (bytes - low) / (high - low);
                pooled_us[upper - 1] + part * (pooled_us[upper] - pooled_us[upper - 1])
            }
        };
        us * 1e-6
    }

    /// Times (µs) that never fall.
    pub(crate) fn pooled(&self) -> Vec<f64> {
        let mut logs: Vec<f64> = self.us.iter().map(|us| libm::log(*us)).collect();
        pool_adjacent(&mut logs);
        logs.into_iter().map(libm::exp).collect()
    }
}

impl CollectiveCurve {
    /// The fastest of several ways, at each size.
    pub(super) fn fastest(tables: &[&CollectiveTable]) -> Self {
        let ways: Vec<_> = tables.iter().map(|table| (table, table.pooled())).collect();
        let best = |size: f64| {
            let each = ways.iter().map(|(table, pooled)| table.seconds(pooled, size * UNIT));
            each.fold(f64::INFINITY, f64::min)
        };
        Self { curve: Curve::new(best) }
    }

    /// Seconds of a collective of so many bytes on each device.
    #[inline]
    pub fn seconds(&self, bytes: f64) -> f64 {
        self.curve.at(bytes / UNIT)
    }
}
