//! What a walk asks for, and what comes of it.

use crate::request::{KvHandle, Payload, Rejection};
use crate::units::SimTime;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// Its thread needs a client.
    Visit(Visit),
    /// Its thread goes on at an instant.
    Wait {
        /// The thread.
        thread: u32,
        /// The instant.
        until: SimTime,
    },
    /// KV that is kept for it is no longer needed.
    Release(KvHandle),
    /// It is at the end of its pipeline, or turned away and no client works on it any more.
    Done,
}

/// A visit to a client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Visit {
    /// The thread that asks.
    pub thread: u32,
    /// The operation it is at.
    pub place: u32,
    /// The pool of clients.
    pub pool: u16,
    /// What is asked of an LLM client.
    pub work: Work,
    /// KV that it goes on with.
    pub base: Option<KvHandle>,
    /// What it is a part of, where other clients decode than prefill.
    pub split: Option<Split>,
    /// The text so far.
    pub payload: Payload,
}

/// The part of a generation that a visit makes, where prefill and decode have clients of their own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Split {
    /// A prefill, after which nothing is generated for the time being.
    Prefill,
    /// A prefill that a decode follows.
    First {
        /// The pool of the clients that decode.
        decode: u16,
        /// What is asked if one client makes both.
        whole: Work,
    },
    /// A decode.
    Decode,
}

/// What is asked of an LLM client; of others, the tokens of the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Tokens of the text to be computed, those included whose KV is there already.
    pub prompt_tokens: u32,
    /// Tokens to generate.
    pub output_tokens: u32,
    /// How many of them are reasoning.
    pub reason_tokens: u32,
    /// Tokens at the start of the text whose KV comes with the request.
    pub fetched_tokens: u32,
    /// When the last token came out of those that it goes on from.
    pub last_token: Option<SimTime>,
    /// Whether the client keeps the KV when it is done.
    pub keep: bool,
    /// Whether that is about to be sent to the client that decodes, and stays until then.
    pub hands_on: bool,
    /// The model that is asked for, numbered as the deployment does.
    pub model: u16,
    /// How urgent it is: lower values are more urgent.
    pub priority: i16,
}

impl Work {
    /// `prompt_tokens` to be computed and `output_tokens` to be generated.
    pub const fn new(prompt_tokens: u32, output_tokens: u32) -> Self {
        Self {
            prompt_tokens,
            output_tokens,
            reason_tokens: 0,
            fetched_tokens: 0,
            last_token: None,
            keep: false,
            hands_on: false,
            model: 0,
            priority: 0,
        }
    }
}

/// What a visit came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Visited {
    /// Position among all clients of the one that was visited.
    pub client: u32,
    /// When KV that it goes on with set out for the client and when it landed, if any had to.
    pub way: Option<[SimTime; 2]>,
    /// When its first step began.
    pub started: SimTime,
    /// When its first token was out.
    pub first_token: SimTime,
    /// When its first token behind the reasoning was out.
    pub answer: SimTime,
    /// The text, as the client leaves it.
    pub payload: Payload,
    /// KV that the client keeps.
    pub kept: Option<KvHandle>,
    /// Tokens of the text that were in the client's prefix cache.
    pub cached_tokens: u32,
    /// How often it was preempted.
    pub preemptions: u16,
    /// Why it was turned away, if it was.
    pub rejection: Option<Rejection>,
}
