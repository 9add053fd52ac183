//! Approximate nearest-neighbour search: what a batch of queries costs on an index.
//!
//! An index turns a batch into a few steps of [`Work`] (arithmetic, table look-ups, bytes, scattered
//! reads); a [`Searcher`], the hardware, prices them. Neither knows the other, so every index runs on
//! processors and on GPUs. Parameters bear the names FAISS gives them.
//!
//! Modelled: time and memory. Left out: recall (how much of the truth a setting finds is for its user to
//! know), building and updating an index, filters, several threads for one query (FAISS
//! `parallel_mode` other than 0), NUMA, skew between queries in what they visit.
//!
//! `published.rs` lays the prices beside those that FAISS publishes.
//!
//! To add an index: a struct with its parameters in a file of its own, `impl VectorIndex`, and a line in
//! [`built_in`].

mod coarse;
mod flat;
mod hnsw;
mod ivf_pq;
#[cfg(test)]
mod published;
mod searcher;
#[cfg(test)]
mod tests;

pub use coarse::Coarse;
pub use flat::Flat;
pub use hnsw::Hnsw;
pub use ivf_pq::{IvfPq, Metric};
pub use searcher::{Searched, Searcher, Work};

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::SimBuilder;
use crate::scenario::Registry;

/// Bytes of one component of a raw vector: 32-bit floats, as FAISS keeps them.
const RAW_BYTES: f64 = 4.0;

/// The vectors an index holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Vectors {
    /// How many.
    pub count: f64,
    /// Components of each.
    pub dimension: f64,
}

impl Vectors {
    /// One raw vector (bytes).
    pub fn raw_bytes(&self) -> f64 {
        RAW_BYTES * self.dimension
    }
}

/// Queries that are searched together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Batch {
    /// How many, at least 1.
    pub queries: f64,
    /// Neighbours each asks for.
    pub k: f64,
}

/// An index with its parameters.
pub trait VectorIndex: fmt::Debug + Send + Sync + 'static {
    /// What does not make sense for `vectors`.
    ///
    /// # Errors
    /// A sentence that begins with the parameter at fault and `: `.
    fn check(&self, vectors: &Vectors) -> Result<(), String>;

    /// Memory the index takes (bytes).
    fn bytes(&self, vectors: &Vectors) -> f64;

    /// The work of `batch`, step by step, added to `steps`.
    fn steps(&self, vectors: &Vectors, batch: &Batch, steps: &mut Vec<Work>);

    /// The index in a few words, as `mist check` prints it: `IVF65536, PQ96x8, nprobe 64`.
    fn summary(&self) -> String;
}

/// The indexes a scenario may name.
pub type IndexRegistry = Registry<Box<dyn VectorIndex>>;

/// Adds indexes by name.
pub trait IndexExt {
    /// Lets scenarios name the index `I`, whose fields are its parameters.
    fn vector_index<I>(&mut self, name: &'static str) -> &mut Self
    where
        I: VectorIndex + DeserializeOwned + Serialize + JsonSchema;
}

impl IndexExt for SimBuilder {
    fn vector_index<I>(&mut self, name: &'static str) -> &mut Self
    where
        I: VectorIndex + DeserializeOwned + Serialize + JsonSchema,
    {
        let mut registry = self.world().get_resource_or_insert_with(|| IndexRegistry::new("vector index"));
        registry.register(name, |index: I| Ok(Box::new(index) as Box<dyn VectorIndex>));
        self
    }
}

/// The built-in indexes.
pub fn built_in(sim: &mut SimBuilder) {
    sim.vector_index::<IvfPq>("IvfPq");
    sim.vector_index::<Hnsw>("Hnsw");
    sim.vector_index::<Flat>("Flat");
}

/// Refuses a parameter outside `lowest..=highest`.
fn within(name: &str, value: f64, lowest: f64, highest: f64) -> Result<(), String> {
    if (lowest..=highest).contains(&value) {
        Ok(())
    } else {
        Err(format!("{name}: must be {lowest} to {highest}, found {value}"))
    }
}
