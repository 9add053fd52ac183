//! The shortest prompt first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PackingPolicy, Waiting};

/// The shortest prompt first, whatever of it is cached; among equals, first come, first served.
///
/// Lowers the mean time to first token where prompts differ much; long ones may starve. A common extension
/// of vLLM's queue (`sjf` in vllm-ascend); no engine does it by default.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ShortestPrompt {}

impl PackingPolicy for ShortestPrompt {
    fn key(&self, waiting: &Waiting) -> i128 {
        waiting.prompt_tokens.into()
    }
}
