//! What a pipeline may hold besides the stages of clients: generation, and what composes stages.
//!
//! The doc comments on the fields are what `mist explain` prints.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::when::When;
use crate::scenario::StageChoice;
use crate::scenario::{Count, Duration, Tokens};

/// Computes the KV cache of the text so far on an `Llm` client and samples the first token.
///
/// With a `Reason` or `Decode` right behind it, it is one visit to one client, as in vLLM, unless clients
/// of the model have a `role` of their own. The whole text is computed, but for what a KV retrieval
/// stage brought.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Prefill {
    /// The model that computes it. Default: the one the request asks for.
    pub model: Option<String>,
}

/// Generates the reasoning that precedes an answer, on the client that holds the text's KV.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// How many reasoning tokens; required, such as `Exactly(2048)` or `Share(5)`, so many times the
    /// answer.
    pub tokens: Tokens,
}

/// Generates the answer, on the client that holds the text's KV.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Decode {
    /// How many tokens. Default: `Share(1)`, as many as the workload draws for the request.
    pub tokens: Tokens,
}

impl Default for Decode {
    fn default() -> Self {
        Self { tokens: Tokens::Share(1.0) }
    }
}

/// Scores the text so far: one prefill of a reward model on an `Llm` client that serves it, in several
/// passes where the text exceeds the model's context. The score is drawn, uniform on 0 to 1.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Score {
    /// The reward model. Default: `Qwen2.5-Math-PRM-7B`, the one of the paper (§IV-A4).
    pub model: String,
}

impl Default for Score {
    fn default() -> Self {
        Self { model: "Qwen2.5-Math-PRM-7B".into() }
    }
}

/// Classifies the text so far, for intent, routing or safety: one prefill of a small model on an `Llm`
/// client that serves it (§IV-A4: about 2 B parameters).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Classify {
    /// The model. Default: `Gemma-2-2B`.
    pub model: String,
}

impl Default for Classify {
    fn default() -> Self {
        Self { model: "Gemma-2-2B".into() }
    }
}

/// Waits for something outside the deployment, such as a tool, a web search or a person.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// How long it takes; required, such as `Exactly(ms(300))`.
    pub takes: Duration,
    /// Tokens that its result adds to the text. Default: `Exactly(0)`.
    #[serde(default = "nothing")]
    pub adds: Tokens,
}

const fn nothing() -> Tokens {
    Tokens::Exactly(0)
}

/// Runs branches at the same time and goes on when all of them are done; what they add to the text is
/// added up.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parallel {
    /// The branches, 2 to 1024, such as `[[Rag()], [Classify()]]`; required.
    pub branches: Vec<Vec<StageChoice>>,
}

/// Runs stages several times over.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// What is repeated; at least one stage; required.
    pub run: Vec<StageChoice>,
    /// How many times at most, such as `Exactly(3)`. Default: no bound.
    #[serde(default)]
    pub times: Option<Count>,
    /// Ends the repetition when it holds after a round. Default: none.
    #[serde(default)]
    pub until: Option<When>,
}

/// Runs the first case whose condition holds.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// The cases, such as `[(when: Score(below: 0.5), run: [Prefill, Decode])]`; at least one; required.
    pub cases: Vec<Case>,
    /// What runs if none holds. Default: nothing.
    #[serde(default)]
    pub otherwise: Vec<StageChoice>,
}

/// A case of a branch.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What must hold; required.
    pub when: When,
    /// What runs then; required, and may be empty.
    pub run: Vec<StageChoice>,
}

/// Generates several answers at once from one prompt, whose KV they share, and keeps the one with the
/// best score.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BestOf {
    /// How many answers, 2 to 1024; required.
    pub n: u32,
    /// How one answer is made and scored; required, such as `[Decode, Score]`.
    pub run: Vec<StageChoice>,
}

/// Searches a tree of thoughts (beam search over reasoning steps): each round, `width` branches go on
/// from the best of the round before, whose KV they share; all are scored, and the best `keep` survive.
/// The best of the last round goes on.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TreeSearch {
    /// Branches in a round, 2 to 1024; required.
    pub width: u32,
    /// How many of them survive a round, 1 to `width`. Default: 1.
    #[serde(default = "one")]
    pub keep: u32,
    /// Rounds, 1 to 10000; required.
    pub rounds: u32,
    /// One step of one branch; required, such as `[Reason(tokens: Exactly(128)), Score]`.
    pub run: Vec<StageChoice>,
}

const fn one() -> u32 {
    1
}

/// Chooses the model that later stages take for the request's.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChooseModel {
    /// The cases, such as `[(when: ContextTokens(below: 500), model: "Llama-3.1-8B")]`; the first that
    /// holds decides; at least one; required.
    pub cases: Vec<ModelCase>,
    /// The model if none holds. Default: the one the request asks for.
    #[serde(default)]
    pub otherwise: Option<String>,
}

/// A case of a choice of model.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelCase {
    /// What must hold; required.
    pub when: When,
    /// The model then; required.
    pub model: String,
}

/// Ends the request here.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exit {}
