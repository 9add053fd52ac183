//! The integration tests, one binary.

mod determinism;
mod laws;
mod scenarios;
mod theory;
