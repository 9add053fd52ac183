//! Prefill and decode pools that borrow from each other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Load, Part, RouteRequest, RoutingPolicy};
use crate::engine::Stream;

/// Splitwise's cluster scheduling (Patel et al., ISCA 2024, §IV-A): pools for prefill and decode, and a
/// mixed pool between them of the clients that are lent.
///
/// A prompt goes to the client of the prefill pool with the fewest tokens pending, unless its queue would
/// be too long; then to the mixed pool by the same measure; then to a client of the other pool that
/// `lends` itself, which is in the mixed pool from now on and goes home when it
/// is idle. Decodes do likewise by the KV they need. If nobody is free, a prompt goes to the least loaded of
/// all, and a decode stays where its KV is.
///
/// Mirrors `MixedPoolScheduler` of splitwise-sim,
/// <https://github.com/Mutinifni/splitwise-sim/blob/main/scheduler.py>, with these differences: it looks
/// at the answer's true length where this takes `expected_output_tokens`, and into the clients' queues where
/// this counts what is outstanding; and where nobody has room for a decode, the prompt goes to the least
/// loaded of all, too.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MixedPool {
    /// Longest queue of prompt tokens at a client that prefills (tokens); the first prompt always fits.
    /// Default: 8192. splitwise-sim `prompt_max_pending_batch_tokens`.
    pub max_pending_tokens: u32,
    /// How long answers are thought to be (tokens), to tell whether the KV of another request fits.
    /// Default: 256.
    pub expected_output_tokens: u32,
}

impl Default for MixedPool {
    fn default() -> Self {
        Self { max_pending_tokens: 8192, expected_output_tokens: 256 }
    }
}

impl MixedPool {
    /// Tokens of KV at a client, once those that are there have grown as expected.
    fn kv_tokens(self, load: &Load, client: usize) -> u64 {
        load.kv_tokens(client) + u64::from(self.expected_output_tokens) * u64::from(load.outstanding(client))
    }

    fn burden(self, part: Part, load: &Load, client: usize) -> u64 {
        match part {
            Part::Decode => self.kv_tokens(load, client),
            _ => load.pending_tokens(client),
        }
    }

    fn has_room(self, request: &RouteRequest, load: &Load, client: usize) -> bool {
        let prompt = u64::from(request.prompt_tokens);
        if request.part == Part::Decode {
            let more = prompt + u64::from(self.expected_output_tokens);
            return self.kv_tokens(load, client) + more < load.kv_capacity(client);
        }
        let ahead = load.prefill_tokens(client);
        ahead == 0 || ahead + prompt <= self.max_pending_tokens.into()
    }
}

impl RoutingPolicy for MixedPool {
    fn route(&mut self, request: &RouteRequest, load: &Load, _: &mut Stream) -> usize {
        let (homes, all) = (load.clients(), load.with_guests());
        let least = |those: &dyn Fn(&usize) -> bool| {
            (0..all).filter(those).min_by_key(|client| self.burden(request.part, load, *client))
        };
        let own = least(&|client| *client < homes && !load.is_lent(*client));
        let mixed = least(&|client| load.is_lent(*client));
        let free = |client: &usize| self.has_room(request, load, *client);
        let borrowed = || least(&|client| *client >= homes && !load.is_lent(*client));
        let found = own.filter(free).or_else(|| mixed.filter(free)).or_else(borrowed);
        found.or(request.kv_at).or_else(|| least(&|_| true)).unwrap_or_default()
    }

    fn counts_tokens(&self) -> bool {
        true
    }

    fn borrows(&self) -> bool {
        true
    }
}
