//! What a request carries from stage to stage.

use bevy_ecs::entity::Entity;

/// The state of a request's text, as stages make it longer, shorter, or better known.
///
/// A branch of a pipeline has a copy of its own; where branches join, what they added is added up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Payload {
    /// Tokens of the text so far: the prompt, what stages added or cut, what was generated.
    pub context_tokens: u32,
    /// Tokens of the answer, drawn with the request: the world's knowledge, which no policy may use.
    pub answer_tokens: u32,
    /// Tokens generated so far on the way to here.
    pub generated_tokens: u32,
    /// Tokens at the start of the context whose KV a retrieval stage brought: the next prefill skips
    /// them, and uses them up.
    pub cached_tokens: u32,
    /// The model whose KV that is.
    pub cached_for: u16,
    /// The latest score that a scoring stage gave, 0 to 1.
    pub score: f32,
    /// The model the request asks for, numbered as the deployment does.
    pub model: u16,
    /// The model whose prefill came last.
    pub serving: u16,
    /// Tokens that the last prefill sampled for the decode that follows: 0 or 1.
    pub sampled: u32,
    /// KV that a client keeps for what follows.
    pub kv: Option<KvHandle>,
}

impl Payload {
    /// A request as it arrives.
    pub fn new(prompt_tokens: u32, answer_tokens: u32, model: u16) -> Self {
        Self { context_tokens: prompt_tokens, answer_tokens, model, serving: model, ..Self::default() }
    }
}

/// KV that a client keeps between two visits of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvHandle {
    /// The client.
    pub client: Entity,
    /// Its position among all clients.
    pub index: u32,
    /// The model whose KV it is, numbered as the deployment does.
    pub model: u16,
    /// Its number there, among the KV of that model.
    pub id: u32,
    /// Tokens from the start of the context that it covers.
    pub tokens: u32,
}
