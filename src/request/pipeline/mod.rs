//! Pipelines: the graph of stages that a request goes through.
//!
//! ```text
//!  RON choices ─▶ StageRegistry ─▶ Step tree ─compile─▶ Program ─┐
//!                                                                ├─ walk ─▶ Actions ─▶ coordinator
//!                            one a request in flight:  Journey ──┘            ▲            │
//!                                                                             └── Visited ─┘
//! ```
//!
//! A pipeline is written as a tree: stages in a row, `Parallel` branches that join, `Repeat`, `Branch`,
//! `BestOf`, `TreeSearch`, `Exit`. It is compiled once, against what is deployed, to a flat
//! [`Program`]; a request walks it with a [`Journey`] of its own, one thread a branch that runs.
//! Prefill and the decode behind it are one visit to one client unless prefill and decode have clients of
//! their own; a request whose pipeline is that single visit has no journey and costs nothing extra.
//!
//! The time of every thread is accounted without gaps under the names of its stages; where branches
//! join, that of the last one counts. So the times of a request add up to its E2E latency.
//!
//! Left out: several turns of a session (each is a request of its own), cancelling branches that are no
//! longer needed: they run to their end.

mod compile;
mod directory;
mod flow;
mod journey;
mod labels;
mod language;
mod part;
mod program;
mod step;
#[cfg(test)]
mod tests;
mod thread;
mod walk;
mod when;

pub use crate::scenario::{Count, Duration, Tokens};
pub use compile::compile;
pub use directory::Directory;
pub use journey::{Journey, Lap, Partner, TokenTimes};
pub use part::Part;
pub use program::{Program, Programs, Served};
pub use step::{Named, StageRegistry, Step, build, built_in};
pub use walk::{Action, Ground, Split, Visit, Visited, Work};
pub use when::When;
