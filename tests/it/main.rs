//! What the program and the library promise, seen from outside.

mod cli;
mod determinism;
mod laws;
mod scenarios;
mod theory;
