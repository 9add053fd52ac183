//! `Preprocess(…)` and `Postprocess(…)`: stages that do something to a request's text.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Lengths, TextTask};
use crate::catalog::Catalog;
use crate::engine::Stream;
use crate::request::{Around, Payload, StageKind};
use crate::scenario::Problem;

/// Operations on text, one after another on one core of a `PrePost` client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TextStage {
    /// What is done, in order; at least one, such as `[Normalize, Tokenize, Truncate(to: 8192)]` before
    /// a prefill and `[Detokenize, Enhance()]` after a decode.
    pub tasks: Vec<TextTask>,
}

impl StageKind for TextStage {
    fn client(&self) -> &'static str {
        "PrePost"
    }

    fn is_output(&self) -> bool {
        false
    }

    fn finish(&self, payload: &mut Payload, _: &mut Stream) {
        let after = self.tasks.iter().fold(lengths(payload), |text, task| task.apply(text));
        payload.context_tokens = after.context;
        // A token is left to compute: the answer's first comes of it.
        payload.cached_tokens = payload.cached_tokens.min(after.context.saturating_sub(1));
    }

    fn check(&self, _: &Catalog) -> Vec<Problem> {
        if self.tasks.is_empty() {
            return vec![Problem::new("tasks", "nothing is to be done").help("leave the stage out")];
        }
        let wrong = |(at, task): (usize, &TextTask)| {
            task.wrong().map(|(field, message)| Problem::new(format!("tasks[{at}].{field}"), message))
        };
        self.tasks.iter().enumerate().filter_map(wrong).collect()
    }

    fn check_among(&self, around: Around) -> Vec<Problem> {
        let idle = |task: &TextTask| task.is_of_answers() && !around.answered;
        let tasks = self.tasks.iter().enumerate().filter(|(_, task)| idle(task));
        let wrong = tasks.map(|(at, task)| {
            let message = format!("`{}` has no effect: there is no answer before this stage", task.name());
            Problem::new(format!("tasks[{at}]"), message).help("put it behind a `Decode`, or leave it out")
        });
        wrong.collect()
    }
}

/// The lengths of a request's text.
pub(super) fn lengths(payload: &Payload) -> Lengths {
    Lengths { context: payload.context_tokens, answer: payload.generated_tokens.min(payload.context_tokens) }
}
