//! Requests and the stages they go through.
//!
//! A [`Request`] is spawned when it arrives and despawned when it has departed and its record is
//! written, so memory follows the requests in flight. A [`Stage`] is one visit of a request to one
//! client, spawned when the coordinator routes it. Prefill and decode on one client are one visit.

mod components;
mod outcome;

pub use components::{Arrived, Departed, Entered, Request, Stage, StageDone, Vacated};
pub use outcome::Rejection;
