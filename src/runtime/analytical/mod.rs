//! The analytical runtime model: a roofline per operator, plus what the host adds.
//!
//! ```text
//! step = Σ operators + t_step + t_seq · (decoding sequences + prefill chunks)
//! ```
//!
//! | file | its piece of physics |
//! |---|---|
//! | `operators.rs` | which operators there are, and over how many tokens each runs |
//! | `product.rs` | matrix products with weights |
//! | `attention.rs` | attention over keys and values |
//! | `experts.rs` | routed experts: how many distinct ones, and the hottest rank |
//! | `elementwise.rs` | norms, rotary positions, casts |
//! | `collectives/` | what ranks send each other, as measured |
//! | `host.rs` | the engine's own time |
//! | `architecture.rs` | what fraction of its data sheet a device reaches |
//! | `bound.rs` | the physical lower bound ([`LowerBound`]) that no price undercuts |
//!
//! # How good it is
//! Nothing here knows a GPU's kernels or an engine's version: efficiencies are one small set an architecture, read
//! off operator tables and not fitted to any engine run, the overheads vLLM's. `mist validate` prints the errors, and
//! `VALIDATION.md` holds them.

mod architecture;
mod attention;
mod bound;
mod collectives;
mod elementwise;
mod experts;
mod host;
mod line;
mod model;
mod operators;
mod params;
mod product;
mod rates;
mod shape;
mod shares;

pub use architecture::Architecture;
pub use bound::LowerBound;
pub(crate) use bound::TokenBound;
pub use collectives::{CollectiveFits, CollectivesError, collectives_from_csv};
pub use model::AnalyticalModel;
pub(crate) use operators::{OperatorList, ROUTER};
pub use params::{Analytical, Counting};
pub use shape::{DecoderShape, Deployment, Device, Mla, Moe, Window};

use rates::ACTIVATION_BYTES;
use shares::Shares;

#[cfg(test)]
mod ranks;
#[cfg(test)]
mod tests;
