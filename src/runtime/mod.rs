//! Runtime models: what a step costs.
//!
//! A client describes its next step by its *shape* and a [`StepModel`] prices it. A scenario names a
//! [`RuntimeKind`], which is compiled for a [`Target`]: model, accelerator, parallelism, precision.
//!
//! To add one: a struct with its parameters in a file of its own, `impl RuntimeKind`, and a line in
//! [`built_in`].

mod analytical;
mod kind;
pub mod profile;
mod step;

pub use analytical::{
    Analytical, AnalyticalModel, DecoderShape, Deployment, Device, LowerBound, Mla, Moe, Window,
};
pub use kind::{RuntimeExt, RuntimeKind, RuntimeRegistry, Target, built_in};
pub use step::{Bound, Chunk, StepCost, StepModel, StepShape};
