//! Runtime models: what a step costs.
//!
//! A client describes its next step by its *shape* and a [`StepModel`] prices it. The model, the
//! accelerator, the parallelism and the precision are fixed when the model is built.

mod analytical;
mod step;

pub use analytical::{
    Analytical, AnalyticalModel, DecoderShape, Deployment, Device, LowerBound, Mla, Moe, Window,
};
pub use step::{Bound, Chunk, StepCost, StepModel, StepShape};
