//! Runtime models: what a step costs.
//!
//! A client describes its next step by its *shape* and a [`StepModel`] prices it. A scenario names a
//! [`RuntimeKind`], which is compiled for a [`Target`]: model, accelerator, parallelism, precision.
//!
//! To add one: a struct with its parameters in a file of its own, `impl RuntimeKind`, and a line in
//! [`built_in`].

mod analytical;
mod empirical;
mod item;
mod kind;
pub mod profile;
mod step;
mod target;

pub use analytical::{
    Analytical, AnalyticalModel, Architecture, CollectiveFits, CollectivesError, Counting, DecoderShape,
    Deployment, Device, LowerBound, Mla, Moe, Window, collectives_from_csv,
};
pub(crate) use analytical::{OperatorList, ROUTER, TokenBound};
pub use empirical::{
    Deployed, Empirical, EmpiricalModel, Engine, EngineRecord, WHOLE_STEPS_FORM, WholeStep, WholeSteps,
};
pub(crate) use empirical::{keys, version as engine_version};
pub use item::{Item, Part};
pub use kind::{RuntimeExt, RuntimeKind, RuntimeRegistry, built_in};
pub use step::{Bound, Chunk, StepCost, StepModel, StepShape, Undivided};
pub use target::Target;
