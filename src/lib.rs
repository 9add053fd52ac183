//! MIST simulates multi-stage LLM serving.

pub mod clients;
pub mod engine;
pub mod memory;
pub mod metrics;
pub mod output;
pub mod request;
pub mod runtime;
pub mod units;
