//! Length sources, one a file: how many tokens a request brings and how many it will generate.
//!
//! Generated lengths ([`Fixed`], [`Normal`], [`AzureConv`], [`AzureCode`], [`Table`]) are 1 or more;
//! a [`Trace`] is taken as it is, and a request of zero tokens is the clients' to reject.
//!
//! To add one: a file here with a struct that deserialises and a `build`, and a line in [`built_in`].

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

use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::SourceError;
use crate::engine::{SimBuilder, Stream};
use crate::scenario::Registry;

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

    /// Whether it ends by itself.
    fn ends(&self) -> bool {
        false
    }
}

/// The length sources a scenario may name.
pub type LengthRegistry = Registry<Box<dyn LengthSource>>;

/// Adds length sources by name.
pub trait LengthExt {
    /// Lets scenarios name a length source that `build` makes of its parameters `P`. A parameter
    /// called `path` is made absolute first, from the scenario's own folder.
    fn length_source<P>(
        &mut self,
        name: &'static str,
        build: impl Fn(P) -> Result<Box<dyn LengthSource>, String> + Send + Sync + 'static,
    ) -> &mut Self
    where
        P: DeserializeOwned + Serialize + JsonSchema + 'static;
}

impl LengthExt for SimBuilder {
    fn length_source<P>(
        &mut self,
        name: &'static str,
        build: impl Fn(P) -> Result<Box<dyn LengthSource>, String> + Send + Sync + 'static,
    ) -> &mut Self
    where
        P: DeserializeOwned + Serialize + JsonSchema + 'static,
    {
        let mut registry =
            self.world().get_resource_or_insert_with(|| LengthRegistry::new("length distribution"));
        registry.register(name, build);
        self
    }
}

/// The built-in length sources.
pub fn built_in(sim: &mut SimBuilder) {
    sim.length_source("Fixed", Fixed::build)
        .length_source("Normal", Normal::build)
        .length_source("AzureConv", AzureConv::build)
        .length_source("AzureCode", AzureCode::build)
        .length_source("Trace", |trace: Trace| trace.build(Path::new("")))
        .length_source("Table", |table: Table| table.build(Path::new("")));
}
