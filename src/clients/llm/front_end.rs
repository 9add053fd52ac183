//! What stands between an engine and those who read its answers: one process that hands on every token.
//!
//! ```text
//!  step ends ──n tokens──▶ [ front end: one at a time ] ──▶ client
//!
//!  F_j = max(F_{j−1}, t_j) + n_j·token + s_j·written_token
//! ```
//! `t_j` is when step j ends, `n_j` the answers that get a token then, `s_j` the tokens that these have come to so far,
//! `F_j` when the last of them is out. First tokens and ends of answers reach the client at F, whoever waits for them
//! goes on then; the engine does not wait, and frees slots and KV at t.
//!
//! As the engine does not wait, a front end that takes longer for the tokens of a step than the step itself falls behind
//! for as long as that lasts. With a closed loop the requests that it holds up are missing in the engine, until both are
//! as fast as each other; what a client sees is a time to first token that grows with the length of answers, and a time
//! per output token that no further accelerator makes shorter.
//!
//! `written_token` is for front ends that hand on more than the new token: `SGLang`'s tokenizer manager copies all ids
//! of an answer for every token of it unless told `--stream-output`.
//!
//! Left out: what requests cost on their way in; that tokens which wait for the same reader go out together; what a
//! preempted answer had come to before. Gaps between tokens are those in which the engine made them. A first token that a
//! client of `role: Prefill` makes does not pass the front end of the one that goes on with it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{SimSpan, SimTime, Span};

/// The process of an engine that streams its answers, one token at a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FrontEnd {
    /// What a token takes: detokenizing, a chunk of JSON, sending it. Some tens of µs where Python does it.
    pub token: Span,
    /// What is added for each token that its answer has so far. Default: 0.
    #[serde(default = "nothing")]
    pub written_token: Span,
}

fn nothing() -> Span {
    Span::from_secs(0.0)
}

impl FrontEnd {
    /// One with nothing to do.
    pub(super) fn start(self) -> Streaming {
        Streaming {
            token: self.token.as_secs(),
            written_token: self.written_token.as_secs(),
            free: SimTime::ZERO,
        }
    }
}

/// A front end at work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streaming {
    /// What a token takes (s).
    token: f64,
    /// The same for each that its answer has (s).
    written_token: f64,
    /// When it has handed on all it was given.
    free: SimTime,
}

impl Streaming {
    /// A step ends at `at` with a token each for `answers`, which have come to `written` in all.
    /// Says how long it is at them.
    pub fn take(&mut self, at: SimTime, answers: u64, written: u64) -> SimSpan {
        let seconds = answers as f64 * self.token + written as f64 * self.written_token;
        let span = SimSpan::from_secs_f64(seconds);
        self.free = self.free.max(at) + span;
        span
    }

    /// When all it was given is out.
    pub const fn free(&self) -> SimTime {
        self.free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn falls_behind_while_tokens_come_faster_than_it_hands_them_on() {
        let front = FrontEnd { token: Span::from_secs(1e-3), written_token: Span::from_secs(1e-5) };
        let mut streaming = front.start();
        let ms = |ms: u64| SimTime::from_ns(ms * 1_000_000);
        // Ten answers take 10 ms and 10 · 10 · 0.01 ms more.
        streaming.take(ms(5), 10, 100);
        assert_eq!(streaming.free(), ms(16));
        streaming.take(ms(10), 10, 0);
        assert_eq!(streaming.free(), ms(26));
        streaming.take(ms(50), 1, 0);
        assert_eq!(streaming.free(), ms(51));
    }
}
