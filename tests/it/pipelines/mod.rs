//! Pipelines of many stages: laws on random ones.

mod case;
mod laws;
pub mod shop;
mod tree;
mod scratch;
