//! MIST simulates multi-stage LLM serving.

pub mod cli;
pub mod clients;
pub mod engine;
pub mod memory;
pub mod request;
pub mod runtime;
pub mod scenario;
pub mod units;
