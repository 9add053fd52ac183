//! Requests, the pipelines they go through, and the stages of those.
//!
//! A [`Request`] is spawned when it arrives and despawned when it has departed and its record is
//! written, so memory follows the requests in flight. A [`Stage`] is one visit of a request to one
//! client, spawned when the coordinator routes it. What it goes through is its [`pipeline`]; what it
//! carries from stage to stage is its [`Payload`].

mod components;
mod outcome;
mod payload;
pub mod pipeline;
mod stage_kind;
mod text;

pub use components::{
    Arrived, Departed, Entered, Moved, Passage, PrefillDone, ReleaseKv, Request, Stage, StageDone, Vacated,
};
pub use outcome::Rejection;
pub use payload::{KvHandle, Payload};
pub use stage_kind::{Around, StageExt, StageKind};
pub use text::{Run, Text};
