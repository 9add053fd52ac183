//! Inverted lists of product-quantised codes.
//!
//! ```text
//! coarse   the nprobe of nlist lists nearest to a query (coarse.rs)
//! tables   m tables of 2^bits partial distances: 2·d·2^bits FLOP a query; with L2 again for each
//!          probed list, or m·2^bits additions where the lists' terms are kept (at most 2 GiB, as FAISS)
//! scan     c = nprobe·(n/nlist)·I codes a query (at most max_codes), m look-ups each
//!          bytes = D·(n/nlist)·I·code,  D = nlist·(1 − (1 − nprobe/nlist)^Q) lists that Q queries touch
//! refine   refine·k candidates compared as raw vectors, read from random places
//! ```
//! n vectors of d components; I is how many more codes a probed list holds than the mean. D takes the
//! queries to probe lists independently of each other, and what several of them read to be read once.
//!
//! Left out: the rotation of OPQ, polysemous filters, keeping the k best (small beside the scan).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Batch, Coarse, VectorIndex, Vectors, Work, within};
use crate::units::GIB;

/// Bytes of a vector's identifier.
const ID_BYTES: f64 = 8.0;
/// Most that FAISS spends on tables of the lists' terms (`precomputed_table_max_bytes`).
const MOST_TABLE_BYTES: f64 = 2.0 * GIB;

/// What distance means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Metric {
    /// The inner product: one set of tables serves all lists. What DPR is trained for.
    #[default]
    InnerProduct,
    /// The Euclidean distance of residuals: each list has its own tables.
    L2,
}

/// Inverted lists of codes by product quantisation: FAISS `IVF65536_HNSW32,PQ96`, ScaNN's tree with AH.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IvfPq {
    /// Lists, 1 to 2^30. Default: 65536, near FAISS's advice of 4 to 16 times the root of the number of
    /// vectors for the 21 million passages of DPR. FAISS `nlist`.
    pub nlist: u32,
    /// Lists scanned for a query, 1 to `nlist`. Default: 64 (assumed; FAISS's own, 1, finds too little).
    /// FAISS `nprobe`.
    pub nprobe: u32,
    /// How the lists nearest to a query are found: `Flat`, `Graph(…)` or `MultiIndex`. Default: `Graph()`,
    /// FAISS's advice from 65536 lists on.
    pub coarse: Coarse,
    /// Sub-quantisers of a code, 1 to 4096. Default: 96, a byte for eight of 768 components, as RAGO
    /// (arXiv 2503.14649) takes it. FAISS `M`.
    pub m: u32,
    /// Bits of a sub-quantiser, 1 to 16; 4 and fewer are looked up in registers, as FAISS `PQ…x4fs`
    /// does. Default: 8. FAISS `nbits`.
    pub bits: u32,
    /// What distance means: `InnerProduct` or `L2`. Default: `InnerProduct`. FAISS `metric`.
    pub metric: Metric,
    /// How many times the mean list's codes a probed list holds, 1 to 1000: queries lie where vectors
    /// do. Default: 1.3, which FAISS's logs show from 10⁶ to 10⁹ vectors. FAISS `imbalance_factor`.
    pub imbalance: f64,
    /// Most codes scanned for a query, at least 1. Default: no limit. FAISS `max_codes`.
    pub max_codes: Option<u32>,
    /// Candidates compared with their raw vectors for each neighbour asked for, 0 to 10000; above 0 the raw
    /// vectors are in memory too. Default: 0, none. FAISS `IndexRefineFlat`, `k_factor`.
    pub refine: u32,
}

impl Default for IvfPq {
    fn default() -> Self {
        Self {
            nlist: 65_536,
            nprobe: 64,
            coarse: Coarse::Graph { m: 32, ef_search: 64 },
            m: 96,
            bits: 8,
            metric: Metric::InnerProduct,
            imbalance: 1.3,
            max_codes: None,
            refine: 0,
        }
    }
}

impl IvfPq {
    /// One code (bytes).
    pub fn code_bytes(&self) -> f64 {
        (f64::from(self.m) * f64::from(self.bits) / 8.0).ceil()
    }

    /// Entries of all tables of a query.
    fn table_entries(&self) -> f64 {
        f64::from(self.m) * f64::from(1u32 << self.bits)
    }

    /// Tables of the lists' terms (bytes), if they are kept. A multi-index keeps them by half centroids.
    fn kept_tables(&self) -> Option<f64> {
        let bytes = 4.0 * self.coarse.centroids(f64::from(self.nlist)) * self.table_entries();
        (self.metric == Metric::L2 && bytes <= MOST_TABLE_BYTES).then_some(bytes)
    }

    fn tables(&self, vectors: &Vectors, queries: f64) -> Work {
        let computed = 2.0 * vectors.dimension * f64::from(1u32 << self.bits);
        let probes = f64::from(self.nprobe);
        let of_lists = match (self.metric, self.kept_tables()) {
            (Metric::InnerProduct, _) => 0.0,
            (Metric::L2, Some(_)) => probes * self.table_entries(),
            (Metric::L2, None) => probes * computed,
        };
        Work { flops: queries * (computed + of_lists), kernels: 1.0, ..Work::default() }
    }

    fn scan(&self, vectors: &Vectors, queries: f64) -> Work {
        let (nlist, nprobe) = (f64::from(self.nlist), f64::from(self.nprobe));
        let list = vectors.count / nlist * self.imbalance;
        let codes = (nprobe * list).min(vectors.count).min(self.max_codes.map_or(f64::INFINITY, f64::from));
        let missed = libm::pow(1.0 - nprobe / nlist, queries);
        // Were all lists read to the end; not more than every query's codes on their own.
        let touched = (nlist * (1.0 - missed) * list).min(queries * codes).min(vectors.count);
        let look_ups = queries * codes * f64::from(self.m);
        let in_registers = self.bits <= 4;
        Work {
            lookups: if in_registers { 0.0 } else { look_ups },
            shuffles: if in_registers { look_ups } else { 0.0 },
            bytes: touched * self.code_bytes(),
            lists: queries * nprobe,
            span: vectors.count * (self.code_bytes() + ID_BYTES),
            kernels: 2.0,
            ..Work::default()
        }
    }

    fn refinement(&self, vectors: &Vectors, batch: &Batch) -> Work {
        let reads = batch.queries * (batch.k * f64::from(self.refine)).min(vectors.count);
        Work {
            flops: 2.0 * reads * vectors.dimension,
            bytes: reads * vectors.raw_bytes(),
            reads,
            span: vectors.count * vectors.raw_bytes(),
            kernels: 1.0,
            ..Work::default()
        }
    }
}

impl VectorIndex for IvfPq {
    fn check(&self, vectors: &Vectors) -> Result<(), String> {
        within("nlist", f64::from(self.nlist), 1.0, f64::from(1u32 << 30).min(vectors.count))?;
        within("nprobe", f64::from(self.nprobe), 1.0, f64::from(self.nlist))?;
        within("m", f64::from(self.m), 1.0, vectors.dimension.min(4096.0))?;
        within("bits", f64::from(self.bits), 1.0, 16.0)?;
        within("imbalance", self.imbalance, 1.0, 1000.0)?;
        within("max_codes", self.max_codes.map_or(1.0, f64::from), 1.0, f64::from(u32::MAX))?;
        within("refine", f64::from(self.refine), 0.0, 10_000.0)?;
        match self.coarse.graph() {
            Some(graph) => graph.sensible().map_err(|message| format!("coarse: its {message}")),
            None => Ok(()),
        }
    }

    fn bytes(&self, vectors: &Vectors) -> f64 {
        let raw = if self.refine > 0 { vectors.raw_bytes() } else { 0.0 };
        vectors.count * (self.code_bytes() + ID_BYTES + raw)
            + self.coarse.bytes(f64::from(self.nlist), vectors.dimension)
            + self.kept_tables().unwrap_or(0.0)
    }

    fn steps(&self, vectors: &Vectors, batch: &Batch, steps: &mut Vec<Work>) {
        let (nlist, nprobe) = (f64::from(self.nlist), f64::from(self.nprobe));
        steps.push(self.coarse.work(nlist, vectors.dimension, batch.queries, nprobe));
        steps.push(self.tables(vectors, batch.queries));
        steps.push(self.scan(vectors, batch.queries));
        if self.refine > 0 {
            steps.push(self.refinement(vectors, batch));
        }
    }

    fn summary(&self) -> String {
        let Self { nlist, nprobe, m, bits, .. } = self;
        let coarse = match self.coarse {
            Coarse::Flat => format!("IVF{nlist}"),
            Coarse::Graph { m, .. } => format!("IVF{nlist}_HNSW{m}"),
            Coarse::MultiIndex => format!("IMI of {nlist} lists"),
        };
        format!("{coarse}, PQ{m}x{bits}, nprobe {nprobe}")
    }
}
