//! MIST simulates multi-stage LLM serving.

pub mod catalog;
pub mod cli;
pub mod clients;
pub mod coordinator;
pub mod engine;
pub mod memory;
pub mod metrics;
pub mod output;
pub mod request;
pub mod runtime;
pub mod scenario;
pub mod simulation;
pub mod stats;
pub mod units;
pub mod workload;
