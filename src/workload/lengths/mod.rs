//! Length sources, one a file: how many tokens a request brings and how many it will generate.
//!
//! Generated lengths ([`Fixed`], [`Normal`], [`AzureConv`], [`AzureCode`], [`Table`]) are 1 or more;
//! a [`Trace`] is taken as it is, and a request of zero tokens is the clients' to reject.
//!
//! To add one: a file here with a struct that deserialises and a `build`, and its registration.

mod azure;
mod fixed;
mod normal;
mod quantiles;
mod table;
mod trace;

pub use azure::{AzureCode, AzureConv};
pub use fixed::Fixed;
pub use normal::{Normal, NormalTokens};
#[cfg(test)]
pub(super) use quantiles::interpolate;
pub use quantiles::{JointQuantiles, LengthTable};
pub use table::Table;
pub use trace::Trace;

use super::SourceError;
use crate::engine::Stream;

/// Token counts of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lengths {
    /// Prompt tokens.
    pub prompt_tokens: u32,
    /// Tokens the request generates.
    pub output_tokens: u32,
}

/// Where the lengths of one workload's requests come from.
pub trait LengthSource: Send + Sync {
    /// The next request's lengths; `None` when there are no more.
    ///
    /// # Errors
    /// The trace behind it cannot be read on, or has a malformed row.
    fn next(&mut self, rng: &mut Stream) -> Result<Option<Lengths>, SourceError>;
}
