//! Pre- and postprocessing clients: operations on text before a prompt and after an answer.
//!
//! ```text
//!  Preprocess(tasks: [Normalize, Tokenize, …]) ─▶ PrePost: a core ─▶ Prefill ─▶ Decode ─▶ Postprocess(…)
//! ```
//! What a model has a say in (classifying intents, filtering, scoring) runs on LLM clients; here is what
//! programs do to text on the cores of a CPU node (MIST paper, §II-A, §IV-A4). A stage holds a core for all
//! of its operations, first come, first served (§III-E: the sequential scheduler).
//!
//! Costs are linear in the length, with sources at [`TextCosts`]. Left out: what the
//! operations find in the text; lengths change by the tokens that the stage names.

mod client;
mod costs;
mod stage;
mod task;

pub use client::{PrePost, PrePostModel};
pub use costs::{Cost, TextCosts};
pub use stage::TextStage;
pub use task::{Lengths, TextTask};

use super::tasks::TaskExt;
use crate::engine::SimBuilder;
use crate::request::StageExt;

/// Lets scenarios name the client and its stages, which are the same before a prompt and after an answer.
pub fn built_in(sim: &mut SimBuilder) {
    sim.task_client::<PrePost>("PrePost");
    sim.stage_kind::<TextStage>("Preprocess").stage_kind::<TextStage>("Postprocess");
}
