//! Hierarchical navigable small worlds: a walk through a graph of neighbours.
//!
//! ```text
//! evaluations = ef·2M·φ + levels·h·M      levels = log n / log M
//! ```
//! On the bottom level each of the ef nodes that are expanded has 2M links, of which a share φ leads to
//! nodes not seen yet; on each level above, a greedy descent expands h nodes of M links. An evaluation
//! reads a raw vector from a random place. Each expansion waits for the one before.
//!
//! φ = 0.6 and h = 3 are assumed; with them FAISS's logs of graphs of 2¹⁴ and 2²⁰ centroids (M = 32, ef 4 to
//! 128) are met within a factor of 2, lists and scan included (`published.rs`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Batch, VectorIndex, Vectors, Work, within};

/// Share of a node's links that lead to nodes not seen yet.
const FRESH: f64 = 0.6;
/// Nodes a descent expands on each upper level.
const HOPS_A_LEVEL: f64 = 3.0;
/// Bytes of a link.
const LINK_BYTES: f64 = 4.0;
/// Bytes a node keeps besides its links: its level and where its links start.
const NODE_BYTES: f64 = 12.0;

/// A graph of neighbours over raw vectors: FAISS `HNSW32,Flat`, hnswlib, `pgvector`'s `hnsw`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hnsw {
    /// Links of a node on the upper levels, half of those on the bottom one, 2 to 512. Default: 32, as in
    /// FAISS's `HNSW32`. FAISS and hnswlib `M`.
    pub m: u32,
    /// Nodes that a search keeps in view, 1 to 100000; at least as many as neighbours are asked for.
    /// Default: 64 (FAISS's own, 16, finds too few at scale). FAISS `efSearch`, hnswlib `ef`.
    pub ef_search: u32,
}

impl Default for Hnsw {
    fn default() -> Self {
        Self { m: 32, ef_search: 64 }
    }
}

impl Hnsw {
    /// The graph without the vectors (bytes).
    pub(super) fn graph_bytes(self, nodes: f64) -> f64 {
        let m = f64::from(self.m);
        // A node reaches each upper level with probability 1/M.
        nodes * (LINK_BYTES * (2.0 * m + m / (m - 1.0)) + NODE_BYTES)
    }

    /// A walk of each query.
    pub(super) fn walk(self, vectors: &Vectors, batch: &Batch) -> Work {
        let m = f64::from(self.m);
        let ef = f64::from(self.ef_search).max(batch.k).min(vectors.count);
        let levels = (libm::log(vectors.count) / libm::log(m)).max(0.0);
        let descent = levels * HOPS_A_LEVEL;
        let evaluations = (ef * 2.0 * m * FRESH + descent * m).min(vectors.count);
        let reads = batch.queries * evaluations;
        Work {
            flops: 2.0 * reads * vectors.dimension,
            bytes: reads * vectors.raw_bytes(),
            reads,
            span: vectors.count * vectors.raw_bytes() + self.graph_bytes(vectors.count),
            hops: ef + descent,
            kernels: 1.0,
            ..Work::default()
        }
    }

    pub(super) fn sensible(self) -> Result<(), String> {
        within("m", f64::from(self.m), 2.0, 512.0)?;
        within("ef_search", f64::from(self.ef_search), 1.0, 100_000.0)
    }
}

impl VectorIndex for Hnsw {
    fn check(&self, _vectors: &Vectors) -> Result<(), String> {
        self.sensible()
    }

    fn bytes(&self, vectors: &Vectors) -> f64 {
        vectors.count * vectors.raw_bytes() + self.graph_bytes(vectors.count)
    }

    fn steps(&self, vectors: &Vectors, batch: &Batch, steps: &mut Vec<Work>) {
        steps.push(self.walk(vectors, batch));
    }

    fn summary(&self) -> String {
        format!("HNSW{}, efSearch {}", self.m, self.ef_search)
    }
}
