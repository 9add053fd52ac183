//! The integration tests, one binary.

// Clippy spares only functions marked as tests, not their helpers.
#![allow(clippy::unwrap_used)]

mod determinism;
mod laws;
mod scenarios;
mod theory;
