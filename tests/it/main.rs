//! What the program and the library promise, seen from outside.

// Clippy spares only functions marked as tests, not their helpers.
#![allow(clippy::unwrap_used)]

mod cli;
mod comparisons;
mod determinism;
mod disaggregation;
mod fuzz;
mod laws;
mod models;
mod parallelism;
mod parity;
mod pipelines;
mod replications;
mod scenarios;
mod streaming;
mod tasks;
mod theory;
mod use_cases;
mod weights;
