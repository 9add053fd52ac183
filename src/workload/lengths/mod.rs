//! Length sources, one a file: how many tokens a request brings and how many it will generate.
//!
//! | source | lengths |
//! |---|---|
//! | [`Fixed`], [`Uniform`], [`Normal`], [`LogNormal`], [`Zipf`] | of a law with given parameters |
//! | [`Quantiles`], [`Fitted`] | of a law through given figures |
//! | [`NarrativeQA`], [`OpenThoughts`], [`GithubCode`] | fitted to the paper's Table III: synthetic |
//! | [`AzureConv`], [`AzureCode`], [`MooncakeConversation`], [`Table`] | as in a trace, drawn from a table |
//! | [`Trace`] | as recorded, row by row |
//! | [`Mixture`] | from any of these, by weight |
//!
//! Generated lengths are 1 to 1e9; a [`Trace`] is taken as it is, and a request of zero tokens is
//! the clients' to reject. Prompt and output are independent but where a table or a trace has both.
//!
//! To add one: a file here with a struct that deserialises and a `build`, and a line in [`built_in`].

mod azure;
mod columns;
mod fitted;
mod fixed;
mod joint;
mod log_normal;
mod mixture;
mod mooncake;
mod normal;
mod paper;
mod quantiles;
mod table;
#[cfg(test)]
mod testing;
mod trace;
mod uniform;
mod zipf;

pub use azure::{AzureCode, AzureConv};
pub use fitted::{Fitted, FittedTokens};
pub use fixed::Fixed;
#[cfg(test)]
pub(super) use joint::interpolate;
pub use joint::{JointQuantiles, LengthTable};
pub use log_normal::{LogNormal, LogNormalTokens};
pub use mixture::{Mixture, Part, rebase};
pub use mooncake::MooncakeConversation;
pub use normal::{Normal, NormalTokens};
pub use paper::{GithubCode, NarrativeQA, OpenThoughts};
pub use quantiles::Quantiles;
pub use table::Table;
pub use trace::Trace;
pub use uniform::{Uniform, UniformTokens};
pub(super) use zipf::PowerLaw;
pub use zipf::{Zipf, ZipfTokens};

use std::path::Path;

use bevy_ecs::change_detection::Mut;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::SourceError;
use crate::engine::{SimBuilder, Stream};
use crate::scenario::{ChoiceError, Registry};

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

    /// As [`length_source`](Self::length_source), for parameters that hold length sources of their
    /// own: `build` resolves them, see [`Registry::register_nested`].
    fn nested_length_source<P>(
        &mut self,
        name: &'static str,
        build: impl Fn(&mut P, &LengthRegistry) -> Result<Box<dyn LengthSource>, ChoiceError>
        + Send
        + Sync
        + 'static,
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
        registry(self).register(name, build);
        self
    }

    fn nested_length_source<P>(
        &mut self,
        name: &'static str,
        build: impl Fn(&mut P, &LengthRegistry) -> Result<Box<dyn LengthSource>, ChoiceError>
        + Send
        + Sync
        + 'static,
    ) -> &mut Self
    where
        P: DeserializeOwned + Serialize + JsonSchema + 'static,
    {
        registry(self).register_nested(name, build);
        self
    }
}

fn registry(sim: &mut SimBuilder) -> Mut<'_, LengthRegistry> {
    sim.world().get_resource_or_insert_with(|| LengthRegistry::new("length distribution"))
}

/// The built-in length sources.
pub fn built_in(sim: &mut SimBuilder) {
    sim.length_source("Fixed", Fixed::build)
        .length_source("Uniform", Uniform::build)
        .length_source("Normal", Normal::build)
        .length_source("LogNormal", LogNormal::build)
        .length_source("Zipf", Zipf::build)
        .length_source("Quantiles", Quantiles::build)
        .length_source("Fitted", Fitted::build)
        .length_source("NarrativeQA", NarrativeQA::build)
        .length_source("OpenThoughts", OpenThoughts::build)
        .length_source("GithubCode", GithubCode::build)
        .length_source("AzureConv", AzureConv::build)
        .length_source("AzureCode", AzureCode::build)
        .length_source("MooncakeConversation", MooncakeConversation::build)
        .nested_length_source("Mixture", Mixture::build)
        .length_source("Trace", |trace: Trace| trace.build(Path::new("")))
        .length_source("Table", |table: Table| table.build(Path::new("")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_brings_the_same_lengths() {
        let mut sim = SimBuilder::new(0);
        built_in(&mut sim);
        let registry = sim.world().resource::<LengthRegistry>();
        for text in [
            "Uniform(prompt: (mean: 512, range_ratio: 0.5), output: (mean: 32, range_ratio: 0.5))",
            "Normal(prompt: (mean: 2000, std_dev: 300), output: (mean: 150, std_dev: 25))",
            "LogNormal(prompt: (median: 100, mean: Some(200)), output: (median: 50, sigma: Some(1)))",
            "Zipf(prompt: (exponent: 1, max: 2000), output: (exponent: 2, min: 5, max: 100))",
            "Quantiles(prompt: [(0.0, 1), (1.0, 200)], output: [(0.0, 1), (0.5, 10), (1.0, 200)])",
            "Fitted(prompt: (mean: 158, median: 93, p95: 566), output: (mean: 218, median: 232, p95: 332))",
            "AzureConv",
            "AzureCode",
            "MooncakeConversation",
            "NarrativeQA",
            "OpenThoughts",
            "GithubCode",
            "Mixture(parts: [(weight: 3, lengths: AzureConv), (weight: 1, lengths: AzureCode)])",
        ] {
            let draw = |seed| {
                let choice = registry.resolve(&ron::from_str(text).unwrap()).unwrap();
                // What is filled in means the same.
                testing::columns(registry.resolve(&choice.choice).unwrap().built, seed, 200)
            };
            assert_eq!(draw(1), draw(1), "{text}");
            assert_ne!(draw(1), draw(2), "{text}");
        }
    }
}
