//! Kinds of stage, as a pipeline names them.

use std::any::Any;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Payload;
use super::pipeline::{StageRegistry, Step};
use crate::catalog::Catalog;
use crate::engine::{SimBuilder, Stream};
use crate::scenario::Problem;

/// A kind of stage with its parameters: what stands in `pipeline: [Rag(documents: 10), …]`.
///
/// What a visit costs is for the client to say that runs it; here is what the stage asks for and what it
/// makes of the request.
pub trait StageKind: Any + Send + Sync {
    /// The name of the client kind that runs it, as in `runs: Rag(…)`.
    fn client(&self) -> &'static str;

    /// The model that client must serve, if it matters.
    fn model(&self) -> Option<&str> {
        None
    }

    /// What the stage makes of the request, once done. `draws` are the request's own.
    fn finish(&self, payload: &mut Payload, draws: &mut Stream) {
        let _ = (payload, draws);
    }

    /// Whether its result is worth a request: a pipeline must have one such stage.
    fn is_output(&self) -> bool {
        true
    }

    /// Whether it may leave an answer: tokens in [`generated_tokens`](Payload::generated_tokens).
    fn answers(&self) -> bool {
        self.is_output()
    }

    /// Whether it sets the [score](Payload::score), by which branches are compared.
    fn scores(&self) -> bool {
        false
    }

    /// Whether it puts text before or into the prompt, so that KV of the text before it is of no more use.
    fn puts_into_prompt(&self) -> bool {
        false
    }

    /// Whether it may bring KV of the text: [`cached_tokens`](Payload::cached_tokens).
    fn brings_kv(&self) -> bool {
        false
    }

    /// What is wrong with the parameters; paths count from them.
    fn check(&self, catalog: &Catalog) -> Vec<Problem> {
        let _ = catalog;
        Vec::new()
    }

    /// What has no effect where it stands; paths count from the parameters.
    fn check_among(&self, around: Around) -> Vec<Problem> {
        let _ = around;
        Vec::new()
    }
}

/// What stands around a stage in its pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Around {
    /// Whether something before it may leave an answer.
    pub answered: bool,
    /// Whether a prefill comes after it.
    pub prefilled: bool,
    /// Whether something after it may take the model that the request asks for.
    pub asked: bool,
}

/// Adds kinds of stage by name.
pub trait StageExt {
    /// Lets pipelines name the stage `S`, whose fields are its parameters.
    fn stage_kind<S>(&mut self, name: &'static str) -> &mut Self
    where
        S: StageKind + DeserializeOwned + Serialize + JsonSchema;
}

impl StageExt for SimBuilder {
    fn stage_kind<S>(&mut self, name: &'static str) -> &mut Self
    where
        S: StageKind + DeserializeOwned + Serialize + JsonSchema,
    {
        let mut registry = self.world().get_resource_or_insert_with(|| StageRegistry::new("pipeline stage"));
        registry.register(name, |stage: S| Ok(Step::stage(stage)));
        self
    }
}
