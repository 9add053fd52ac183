//! Why there are no KV blocks, and what would help.

use std::fmt;

use super::KvCapacity;
use crate::units::GIB;

/// Why there are no KV blocks.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SizingError {
    /// A number that makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The model does not leave room for a single KV block.
    #[error(transparent)]
    DoesNotFit(Box<DoesNotFit>),
}

/// A model that does not leave room for a single KV block, and what would.
#[derive(Clone, Debug, PartialEq)]
pub struct DoesNotFit {
    /// Where the memory would go.
    pub capacity: KvCapacity,
    /// Bytes missing on each accelerator for one block.
    pub short_by: f64,
    /// The smallest larger tensor parallelism that fits on the same accelerators, if one does.
    pub tensor_parallel: Option<u32>,
    /// The widest narrower weights that fit as deployed (bytes a weight), if any do.
    pub weight_bytes: Option<f64>,
}

impl fmt::Display for DoesNotFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let capacity = &self.capacity;
        write!(
            f,
            "the model does not fit: {:.1} GiB of weights and {:.1} GiB of activations and runtime on each \
             accelerator leave no KV block in the {:.1} of {:.1} GiB it may use; short by {:.1} GiB",
            capacity.weights / GIB,
            (capacity.activations + capacity.runtime) / GIB,
            capacity.budget / GIB,
            capacity.device_memory / GIB,
            (self.short_by / GIB).max(0.1),
        )?;
        let wider = self.tensor_parallel.map(|tp| format!("tensor_parallel: {tp}"));
        let narrower = self.weight_bytes.map(|bytes| format!("{}-bit weights", (bytes * 8.0).floor()));
        match (wider, narrower) {
            (Some(wider), Some(narrower)) => write!(f, "; {wider} or {narrower} would fit"),
            (Some(one), None) | (None, Some(one)) => write!(f, "; {one} would fit"),
            (None, None) => write!(f, "; no tensor_parallel up to 16 and no narrower weights would fit"),
        }
    }
}

impl std::error::Error for DoesNotFit {}
