//! Where the documents are, and what it takes to fetch some.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Span;

/// Bytes of a token of text: about four characters of English, one byte each.
const TOKEN_BYTES: f64 = 4.0;

/// Where the documents are. The reads of a batch are issued together, so it waits once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum DocumentStore {
    /// In main memory: 150 GB/s after 80 ns, the paper's DDR4 (§IV-B5). As LangChain's `InMemoryDocstore`.
    #[default]
    Memory,
    /// On a solid-state drive: 7 GB/s after 50 µs, the paper's NVMe (§IV-B5).
    Ssd,
    /// Elsewhere.
    Other {
        /// From the request to the first byte.
        latency: Span,
        /// Bandwidth [GB/s = 10⁹ B/s], above 0.
        gb_per_s: f64,
    },
}

impl DocumentStore {
    /// Latency (s) and bandwidth [bytes/s].
    fn figures(&self) -> (f64, f64) {
        match *self {
            Self::Memory => (80e-9, 150e9),
            Self::Ssd => (50e-6, 7e9),
            Self::Other { latency, gb_per_s } => (latency.as_secs(), gb_per_s * 1e9),
        }
    }

    /// What does not make sense.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn check(&self) -> Result<(), String> {
        let (_, bandwidth) = self.figures();
        if bandwidth.is_finite() && bandwidth > 0.0 {
            Ok(())
        } else {
            Err(format!("gb_per_s must be above 0, found {}", bandwidth / 1e9))
        }
    }

    /// Fetching `tokens` of text (s).
    pub fn fetch(&self, tokens: f64) -> f64 {
        let (latency, bandwidth) = self.figures();
        latency + tokens * TOKEN_BYTES / bandwidth
    }
}
