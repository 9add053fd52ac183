//! The hardware of a search, and what it makes of the work.
//!
//! ```text
//! seconds = max( busiest lane, bytes/B ) + spilled/B + kernels·t_launch
//! lane    = s·( flops/F + lookups/L + shuffles/S + (lists·t_list + reads·t_read)·c ) + ⌈Q/W⌉·hops·t_hop
//! ```
//! Q queries; a lane works them off one after another, so with N lanes the busiest has the share
//! s = ⌈Q/N⌉/Q of the batch. On processors a lane is a core (FAISS gives a query one thread) and all
//! cores share the bandwidth B; on GPUs the lane is all of them together, whose index is sharded over
//! them, coarse quantiser included, and W walks through a graph run side by side. Rates are per lane. c is
//! 1, or 1/5 where all that is read fits the cache. Never below bytes over the data sheet's bandwidth, nor
//! FLOPs over its peak.

use crate::catalog::{Accelerator, MissingFigure, Precision};
use crate::runtime::Bound;

/// What one step of a search asks of the hardware, all queries of the batch together but for `hops`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// 32-bit arithmetic of distances and tables (FLOP).
    pub flops: f64,
    /// Look-ups in tables of more than 16 entries, with the addition of each.
    pub lookups: f64,
    /// Look-ups in tables of 16 entries, which fit a register (FAISS `PQ…x4fs`).
    pub shuffles: f64,
    /// Bytes that come from memory; what several queries of the batch read counts once.
    pub bytes: f64,
    /// Bytes of intermediate results that one kernel of a GPU writes and the next reads; processors keep
    /// them in cache.
    pub spilled: f64,
    /// Inverted lists opened.
    pub lists: f64,
    /// Scattered reads that do not wait for one another.
    pub reads: f64,
    /// Bytes that those lists and reads are scattered over.
    pub span: f64,
    /// Reads of one query that each wait for the one before.
    pub hops: f64,
    /// Kernels that GPUs launch.
    pub kernels: f64,
}

/// The price of a search.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Searched {
    /// Duration (s).
    pub seconds: f64,
    /// What most of it went into; scattered reads count as memory.
    pub bound: Bound,
}

/// The hardware that searches: the processors or the GPUs of a client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Searcher {
    /// N: lanes that work side by side.
    pub lanes: f64,
    /// F: arithmetic of a lane [FLOP/s].
    pub flops: f64,
    /// L: table look-ups of a lane [1/s].
    pub lookups: f64,
    /// S: look-ups in registers of a lane [1/s].
    pub shuffles: f64,
    /// B: memory bandwidth of all lanes together [bytes/s].
    pub bandwidth: f64,
    /// Opening an inverted list (s).
    pub list: f64,
    /// A scattered read (s).
    pub read: f64,
    /// Cache of all lanes together (bytes).
    pub cache: f64,
    /// A read that others wait for (s).
    pub hop: f64,
    /// W: walks through a graph that run side by side.
    pub walks: f64,
    /// Launching a kernel (s).
    pub launch: f64,
    /// Whether intermediate results go out to memory.
    pub spills: bool,
}

/// Fraction of a processor's bandwidth that scans reach. RAGO (arXiv 2503.14649, §4) finds about 0.8.
const CPU_BANDWIDTH: f64 = 0.8;
/// Distance arithmetic of a core [FLOP/s]. Assumed: a quarter of AVX2's peak at 2 GHz (64 GFLOP/s). FAISS's
/// 2016 figures imply 7 (`SIFT1B`, nprobe 1: 8192 half centroids twice in 0.158 ms); batched products
/// through BLAS reach more.
const CORE_FLOPS: f64 = 16e9;
/// Table look-ups of a core [1/s]: FAISS scans 10⁶ `PQ16` codes in 7.5 ms (`benchs/README.md`, SIFT1M).
const CORE_LOOKUPS: f64 = 2.1e9;
/// Look-ups in registers of a core [1/s]: FAISS `PQ16x4fs` on 10⁶ vectors, 32 threads of a Xeon E5-2698 v4,
/// nprobe 4 to 8: 1.56 ns a code (wiki, `bench_all_ivf`). RAGO takes 36e9, of ScaNN on a newer core.
const CORE_SHUFFLES: f64 = 10e9;
/// Opening an inverted list on a core (s). FAISS on 10⁸ vectors, lists of 126 codes: 3.9 µs a list with 32
/// threads (the same logs), the scan of which takes 0.2; taken to be less with fewer threads.
const CORE_LIST: f64 = 2.5e-6;
/// A scattered read of a core (s): main memory under load, not prefetched. The same logs give 130 ns a
/// distance evaluation in the graph of 2²⁰ centroids.
const CORE_READ: f64 = 130e-9;
/// Cache of a core, shared or not (bytes). Assumed: 1.25 to 4.5 MiB on server processors of 2016 to 2024.
const CORE_CACHE: f64 = 2.0 * 1024.0 * 1024.0;
/// What lists and reads take in cache, as a part of what they take in memory; assumed.
const CACHED: f64 = 0.2;
/// Fraction of a GPU's bandwidth that scans reach: as weights do in the analytical runtime model.
const GPU_BANDWIDTH: f64 = 0.82;
/// Table look-ups of a GPU per byte/s of its bandwidth. FAISS on a Titan X (336.5 GB/s), 8 and 20 byte codes
/// (`benchs/README.md`, 10⁹ vectors, nprobe 128 to 256): 0.27 to 0.35. Tables lie in shared memory,
/// whose rate grew with the bandwidth since (Titan X to H100: 9 times against 10).
const GPU_LOOKUPS: f64 = 0.3;
/// Part of a GPU's 16-bit tensor rate that its 32-bit units have: 1/15 on H100, 1/16 on A100.
const GPU_SINGLE: f64 = 1.0 / 16.0;
/// Fraction of that rate that distance products reach; assumed.
const GPU_FLOPS: f64 = 0.5;
/// A dependent read in a graph on a GPU (s): a node's links, then its neighbours; assumed, two reads of
/// device memory of about 0.6 µs.
const GPU_HOP: f64 = 1.2e-6;
/// Graph walks a GPU runs side by side; assumed, one a thread block.
const GPU_WALKS: f64 = 1024.0;
/// Launching a kernel and waiting for it (s); assumed.
const GPU_LAUNCH: f64 = 10e-6;

impl Searcher {
    /// Processors with `cores` cores in all and `bandwidth` bytes/s by the data sheet.
    pub fn processors(cores: f64, bandwidth: f64) -> Self {
        Self {
            lanes: cores,
            flops: CORE_FLOPS,
            lookups: CORE_LOOKUPS,
            shuffles: CORE_SHUFFLES,
            bandwidth: CPU_BANDWIDTH * bandwidth,
            list: CORE_LIST,
            read: CORE_READ,
            cache: CORE_CACHE * cores,
            // A walk's reads are counted one by one.
            hop: 0.0,
            walks: cores,
            launch: 0.0,
            spills: false,
        }
    }

    /// `count` GPUs, each of `flops` 32-bit FLOP/s and `bandwidth` bytes/s by the data sheet.
    pub fn gpus(count: f64, flops: f64, bandwidth: f64) -> Self {
        Self {
            lanes: 1.0,
            flops: count * GPU_FLOPS * flops,
            lookups: count * GPU_LOOKUPS * bandwidth,
            // Four-bit tables are no smaller to a GPU's shared memory: a look-up is a look-up.
            shuffles: count * GPU_LOOKUPS * bandwidth,
            bandwidth: count * GPU_BANDWIDTH * bandwidth,
            list: 0.0,
            read: 0.0,
            cache: 0.0,
            hop: GPU_HOP,
            walks: count * GPU_WALKS,
            launch: GPU_LAUNCH,
            spills: true,
        }
    }

    /// `count` devices of the catalog, with `cores` cores each if they are processors.
    ///
    /// # Errors
    /// A figure that the catalog does not have.
    pub fn of(device: &Accelerator, count: u32, cores: u32) -> Result<Self, MissingFigure> {
        let count = f64::from(count);
        let bandwidth = device.memory_bandwidth();
        Ok(if device.is_accelerator() {
            Self::gpus(count, GPU_SINGLE * device.flops(Precision::Bf16)?, bandwidth)
        } else {
            Self::processors(count * f64::from(cores), count * bandwidth)
        })
    }

    /// The price of all `steps` of a search of `queries`.
    pub fn price(&self, steps: &[Work], queries: f64) -> Searched {
        let (mut seconds, mut shares) = (0.0, [0.0; Bound::ALL.len()]);
        for step in steps {
            let share = (queries / self.lanes).ceil() / queries;
            let compute = share
                * (step.flops / self.flops + step.lookups / self.lookups + step.shuffles / self.shuffles);
            let cached = if step.span <= self.cache { CACHED } else { 1.0 };
            let waits = share * (step.lists * self.list + step.reads * self.read) * cached
                + (queries / self.walks).ceil() * step.hops * self.hop;
            let memory = step.bytes / self.bandwidth;
            let spilled = if self.spills { step.spilled / self.bandwidth } else { 0.0 };
            let launch = step.kernels * self.launch;
            seconds += (compute + waits).max(memory) + spilled + launch;
            shares[Bound::Host as usize] += launch;
            shares[Bound::Memory as usize] += spilled;
            if memory > compute + waits {
                shares[Bound::Memory as usize] += memory;
            } else {
                shares[Bound::Compute as usize] += compute;
                shares[Bound::Memory as usize] += waits;
            }
        }
        let mut bound = Bound::ALL[0];
        for other in Bound::ALL {
            if shares[other as usize] > shares[bound as usize] {
                bound = other;
            }
        }
        Searched { seconds, bound }
    }
}
