//! Queues built from scenarios, against queueing theory.
//!
//! One client that runs one sequence at a time, with a runtime model of constant time per step, is a
//! single server: a request of n output tokens takes n steps. Confidence intervals come from
//! independent replications (seeds), at 99.9 %, by Student's law; the seeds are fixed.

mod batching;
mod closed_loop;
mod jackson;
mod little;
mod mm1;
mod mmc;
pub mod server;
