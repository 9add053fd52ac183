//! Least work left.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PackingPolicy, Waiting};

/// Least Work Left (§III-E of the paper): who needs the fewest tokens computed until it is done goes first.
///
/// Work is counted in tokens: those to be computed before the next one is generated (the prompt without what
/// is cached, after a preemption also what is recomputed), and those expected to follow. How long an output
/// will be is not known to a server, so `expected_output` stands for it; it does not tell new requests apart,
/// but brings forward those that were preempted after they had generated much of it. It is decided when a
/// sequence joins the queue, and anew when it loses KV that it was to go on with. No engine ships it; with
/// known sizes it is the shortest remaining processing time first of queueing theory (Schrage 1968), without
/// interrupting who runs. Long prompts may starve.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LeastWorkLeft {
    /// Tokens that a request is expected to generate, whatever it asks for. Default 0: only tokens to be
    /// computed before the next one count. Mirrors no knob.
    pub expected_output: u32,
}

impl PackingPolicy for LeastWorkLeft {
    fn key(&self, waiting: &Waiting) -> i128 {
        let ahead = self.expected_output.saturating_sub(waiting.generated_tokens);
        i128::from(waiting.left_tokens) + i128::from(ahead)
    }
}
