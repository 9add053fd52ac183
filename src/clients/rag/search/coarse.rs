//! Coarse quantisers: how the lists nearest to a query are found.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::flat::compare_all;
use super::{Batch, Hnsw, Vectors, Work};

/// How the lists nearest to a query are found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum Coarse {
    /// The query is compared with the centroids of all lists: FAISS `IVF65536`.
    Flat,
    /// A graph over the centroids, which keeps `ef_search` of them in view, at least `nprobe`:
    /// FAISS `IVF65536_HNSW32`.
    Graph {
        /// Links of a centroid, as in [`Hnsw`]. Default: 32.
        #[serde(default = "links")]
        m: u32,
        /// FAISS `quantizer_efSearch`. Default: 64.
        #[serde(default = "in_view")]
        ef_search: u32,
    },
    /// Two codebooks of √nlist half centroids, every pair of which has a list: FAISS `IMI2x14`.
    MultiIndex,
}

const fn links() -> u32 {
    32
}

const fn in_view() -> u32 {
    64
}

impl Coarse {
    /// A graph over the centroids, where that is what this is.
    pub(super) fn graph(&self) -> Option<Hnsw> {
        match *self {
            Self::Graph { m, ef_search } => Some(Hnsw { m, ef_search }),
            Self::Flat | Self::MultiIndex => None,
        }
    }

    /// Numbers the centroids take up, as vectors of the data's dimension.
    pub(super) fn centroids(&self, lists: f64) -> f64 {
        match self {
            Self::Flat | Self::Graph { .. } => lists,
            Self::MultiIndex => lists.sqrt(),
        }
    }

    /// Centroids, and the graph over them (bytes).
    pub(super) fn bytes(&self, lists: f64, dimension: f64) -> f64 {
        let centroids = Vectors { count: self.centroids(lists), dimension };
        centroids.count * centroids.raw_bytes() + self.graph().map_or(0.0, |graph| graph.graph_bytes(lists))
    }

    /// Finding `nprobe` lists for each query.
    pub(super) fn work(&self, lists: f64, dimension: f64, queries: f64, nprobe: f64) -> Work {
        let centroids = Vectors { count: self.centroids(lists), dimension };
        let batch = Batch { queries, k: nprobe };
        match self.graph() {
            Some(graph) => graph.walk(&centroids, &batch),
            None => compare_all(&centroids, &batch),
        }
    }
}
