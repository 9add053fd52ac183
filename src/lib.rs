//! MIST simulates multi-stage LLM serving.

pub mod units;
