//! Why a request was turned away.

use serde::Serialize;

/// Why a request was refused; every refusal is counted under its reason and the run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// Prompt and output together exceed the context length the client serves.
    ContextLength,
    /// Prompt and output together exceed all the KV blocks the client has.
    KvCapacity,
    /// The prompt exceeds what the client's batching policy can put into one step.
    PromptTooLong,
    /// The prompt is empty.
    EmptyPrompt,
    /// No token is to be generated.
    EmptyOutput,
}

impl Rejection {
    /// Every reason, in the order reports list them.
    pub const ALL: [Self; 5] =
        [Self::ContextLength, Self::KvCapacity, Self::PromptTooLong, Self::EmptyPrompt, Self::EmptyOutput];

    /// The name used in reports, `snake_case`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ContextLength => "context_length",
            Self::KvCapacity => "kv_capacity",
            Self::PromptTooLong => "prompt_too_long",
            Self::EmptyPrompt => "empty_prompt",
            Self::EmptyOutput => "empty_output",
        }
    }
}
