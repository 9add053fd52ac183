//! Pipelines of many stages: laws on random ones, and figures known beforehand.

mod case;
mod exact;
pub mod laws;
pub mod shop;
mod tree;
