//! Collectives as they were measured, one curve per operation and number of ranks.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// The asset, written by `mist derive collectives`.
const ASSET: &str = include_str!("../../../../assets/collectives.ron");

/// t = (α^s + (bytes/B)^s)^(1/s): between latency and bandwidth, softer than their sum below s = 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Curve {
    /// α (s).
    pub latency: f64,
    /// B (bytes/s).
    pub bandwidth: f64,
    /// s.
    pub sharpness: f64,
}

impl Curve {
    /// For `bytes` on the wire.
    pub fn seconds(&self, bytes: f64) -> f64 {
        let moving = bytes / self.bandwidth;
        if self.sharpness == 1.0 {
            return self.latency + moving;
        }
        let raised = libm::pow(self.latency, self.sharpness) + libm::pow(moving, self.sharpness);
        libm::pow(raised, 1.0 / self.sharpness).max(moving)
    }

    /// Between two curves, `share` of the way.
    fn between(&self, other: &Self, share: f64) -> Self {
        let mix = |a: f64, b: f64| libm::exp((1.0 - share) * libm::log(a) + share * libm::log(b));
        Self {
            latency: mix(self.latency, other.latency),
            bandwidth: mix(self.bandwidth, other.bandwidth),
            sharpness: mix(self.sharpness, other.sharpness),
        }
    }
}

/// What is done together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(clippy::enum_variant_names)] // Their names elsewhere.
pub(super) enum Operation {
    AllReduce,
    AllGather,
    AllToAll,
}

/// By whose code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Library {
    Nccl,
    /// vLLM's own, in a captured CUDA graph.
    VllmGraph,
    /// vLLM's own, launched as it comes.
    VllmEager,
}

/// One fitted curve of the asset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fit {
    /// Devices of the catalog it holds for.
    pub hardware: Vec<String>,
    pub operation: Operation,
    pub library: Library,
    /// Its version.
    pub version: String,
    /// GPUs that took part, all of one host or domain.
    pub ranks: u32,
    pub latency_us: f64,
    /// Bytes on the wire over time [GB/s = 10⁹ B/s].
    pub gb_per_s: f64,
    pub sharpness: f64,
    /// Mean absolute error over the sizes measured (%).
    pub error_percent: f64,
}

/// The curves of one device. Few enough to be copied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CollectiveFits {
    /// Per operation and library: curves for 2, 4 and 8 ranks.
    nccl_reduce: Ranks,
    graph_reduce: Ranks,
    eager_reduce: Ranks,
    gather: Ranks,
    exchange: Ranks,
}

/// Curves for 2, 4 and 8 ranks, as far as they were measured.
type Ranks = [Option<Curve>; 3];

impl CollectiveFits {
    /// Those of the device of this name in the catalog, if it was measured.
    pub fn of(hardware: &str) -> Option<Self> {
        let of = |operation, library| {
            [2, 4, 8].map(|ranks| {
                let found = fits().iter().find(|fit| {
                    fit.operation == operation
                        && fit.library == library
                        && fit.ranks == ranks
                        && fit.hardware.iter().any(|name| name == hardware)
                })?;
                Some(Curve {
                    latency: found.latency_us * 1e-6,
                    bandwidth: found.gb_per_s * 1e9,
                    sharpness: found.sharpness,
                })
            })
        };
        let all = Self {
            nccl_reduce: of(Operation::AllReduce, Library::Nccl),
            graph_reduce: of(Operation::AllReduce, Library::VllmGraph),
            eager_reduce: of(Operation::AllReduce, Library::VllmEager),
            gather: of(Operation::AllGather, Library::Nccl),
            exchange: of(Operation::AllToAll, Library::Nccl),
        };
        all.nccl_reduce.iter().any(Option::is_some).then_some(all)
    }

    pub(super) fn all_reduce(&self, ranks: u32, eager: bool) -> [Option<Curve>; 2] {
        [at(&self.nccl_reduce, ranks), at(if eager { &self.eager_reduce } else { &self.graph_reduce }, ranks)]
    }

    pub(super) fn all_gather(&self, ranks: u32) -> Option<Curve> {
        at(&self.gather, ranks)
    }

    pub(super) fn all_to_all(&self, ranks: u32) -> Option<Curve> {
        at(&self.exchange, ranks)
    }
}

/// The curve for so many ranks: between those measured by the logarithm of the ranks; beyond 8 the latency grows as in
/// a ring. None where no more than fewer ranks were measured.
fn at(curves: &Ranks, ranks: u32) -> Option<Curve> {
    let octave = libm::log2(f64::from(ranks)) - 1.0;
    if ranks < 2 {
        return None;
    }
    if octave > 2.0 {
        let eight = curves[2]?;
        return Some(Curve { latency: eight.latency * f64::from(ranks - 1) / 7.0, ..eight });
    }
    let (low, high) = (octave.floor() as usize, octave.ceil() as usize);
    Some(curves[low]?.between(&curves[high]?, octave - octave.floor()))
}

fn fits() -> &'static [Fit] {
    static FITS: OnceLock<Vec<Fit>> = OnceLock::new();
    FITS.get_or_init(|| ron::from_str(ASSET).expect("a test reads the asset"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_curve_of_the_asset_makes_sense() {
        assert!(fits().len() > 50);
        for fit in fits() {
            assert!(fit.latency_us > 0.0 && fit.gb_per_s > 0.0 && fit.sharpness > 0.0, "{fit:?}");
            for name in &fit.hardware {
                assert!(crate::catalog::Catalog::embedded().accelerator(name).is_ok(), "{name}");
            }
        }
    }

    /// Values of the H100 tables (aiconfigurator, vLLM 0.19 and NCCL 2.29): 4.4, 6.3, 82 µs of 4,096-wide tokens.
    #[test]
    fn an_h100_reduces_as_measured() {
        let fits = CollectiveFits::of("H100-SXM5-80GB").unwrap();
        for (ranks, tokens, us) in
            [(2, 1.0, 4.4), (2, 64.0, 6.3), (2, 2048.0, 82.2), (4, 64.0, 11.2), (8, 2048.0, 92.4)]
        {
            let wire = tokens * 8192.0 * 2.0 * f64::from(ranks - 1) / f64::from(ranks);
            let best =
                fits.all_reduce(ranks, false).iter().flatten().map(|c| c.seconds(wire)).fold(1.0, f64::min);
            assert!((best * 1e6 / us - 1.0).abs() < 0.2, "{ranks} {tokens}: {} µs", best * 1e6);
        }
    }

    #[test]
    fn ranks_between_and_beyond_those_measured() {
        let fits = CollectiveFits::of("H100-SXM5-80GB").unwrap();
        let seconds = |ranks| fits.all_gather(ranks).unwrap().seconds(1e6);
        assert!(seconds(4) < seconds(6) && seconds(6) < seconds(8) && seconds(8) < seconds(16));
        assert_eq!(CollectiveFits::of("MI300X"), None);
    }
}
