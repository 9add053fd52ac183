//! Pre- and postprocessing clients: operations on text before a prompt and after an answer.
//!
//! What a model has a say in (classifying intents, filtering, scoring) runs on LLM clients; here is what
//! programs do to text on the cores of a CPU node (MIST paper, §II-A, §IV-A4).

mod costs;
mod task;

pub use costs::{Cost, TextCosts};
pub use task::{Lengths, TextTask};
