//! What a pipeline is compiled against.

use crate::request::StageKind;
use crate::scenario::Problem;

/// What a pipeline finds deployed.
pub trait Directory {
    /// The pool of the clients of `kind` that serve `model`, if it matters.
    ///
    /// # Errors
    /// There are none: what the scenario's clients are instead.
    fn pool(&self, kind: &str, model: Option<&str>) -> Result<u16, Problem>;

    /// The number of a model that LLM clients serve.
    ///
    /// # Errors
    /// None serves it.
    fn model(&self, name: &str) -> Result<u16, Problem>;

    /// Whether prefill and decode of `model` have clients of their own, so that KV moves between them;
    /// without a name, of any model.
    fn moves_kv(&self, model: Option<&str>) -> bool {
        let _ = model;
        false
    }

    /// What is wrong with the parameters of a stage.
    fn check(&self, stage: &dyn StageKind) -> Vec<Problem> {
        let _ = stage;
        Vec::new()
    }
}
