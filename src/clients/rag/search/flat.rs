//! Exact search: every query is compared with every vector.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Batch, VectorIndex, Vectors, Work};

/// Exact search over raw vectors: FAISS `Flat`, which LangChain's FAISS store builds unless told otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flat {}

impl VectorIndex for Flat {
    fn check(&self, _vectors: &Vectors) -> Result<(), String> {
        Ok(())
    }

    fn bytes(&self, vectors: &Vectors) -> f64 {
        vectors.count * vectors.raw_bytes()
    }

    fn steps(&self, vectors: &Vectors, batch: &Batch, steps: &mut Vec<Work>) {
        steps.push(compare_all(vectors, batch));
    }

    fn summary(&self) -> String {
        "Flat".to_owned()
    }
}

/// Distances of all queries to all vectors, which are read once a batch: products of two matrices.
pub(super) fn compare_all(vectors: &Vectors, batch: &Batch) -> Work {
    Work {
        flops: 2.0 * batch.queries * vectors.count * vectors.dimension,
        bytes: vectors.count * vectors.raw_bytes(),
        // A matrix of distances, which the selection of the nearest reads.
        spilled: 8.0 * batch.queries * vectors.count,
        kernels: 2.0,
        ..Work::default()
    }
}
