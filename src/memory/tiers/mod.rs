//! A hierarchy of memory that holds KV, and what it takes to get a context's KV out of it.
//!
//! A context of S bytes of KV is looked for in tier 1, then 2, and so on; tier n has it with the
//! probability Hₙ, and then it costs a look-up Tₙ and a read at `BWₙ` (MIST paper, §IV-A3):
//! ```text
//! f(S, n) = Hₙ·(Tₙ + S/BWₙ) + (1 − Hₙ)·f(S, n+1)          seconds
//! f(S, past the last tier) = 0                            the LLM client computes the context anew
//! ```
//! Two modes answer from the same [`Hierarchy`]:
//! - *expected*: every retrieval takes f, the mean, and finds nothing with the probability Π(1 − Hₙ).
//!   That is drawn, once a context, so that the prefill which follows is a whole one or a short one and
//!   never a mean of the two: prefill is not linear in its tokens.
//! - *sampled*: a draw a tier says whether the context is there. The same mean, and the tails that come
//!   of tiers that differ by orders of magnitude. Time and miss go together here: a context that is
//!   nowhere has taken no time.
//!
//! **A miss is free**, as the formula has it: the tier that has nothing costs nothing. Real look-ups take
//! their time in vain too; [`MissedLookups::Paid`] charges them, f = Tₙ + Hₙ·S/BWₙ + (1 − Hₙ)·f(S, n+1).
//!
//! **Retrievals of one batch share a tier's bandwidth** fairly from the moment they begin together, so
//! that no tier ever moves more than its bandwidth allows: a read of s bytes beside reads of sⱼ ends
//! after Σⱼ min(s, sⱼ)/BW. Look-ups overlap. A batch of one costs f. In expected mode the others count by
//! their probability of being in the tier, which makes the mean of each retrieval the sampled one.
//!
//! A context larger than a tier's capacity cannot be there: H is 0 for it.
//!
//! Left out, and to come: what is in a tier (contents, eviction; hits are drawn, independent of each
//! other and of earlier ones), sharing between batches and between clients, writing KV, the network
//! between tier and accelerator, block granularity. Tiers are entities (one [`MemoryTier`] each, in the
//! order of [`TierOf::level`]), so that those can attach to them.

mod hierarchy;
mod spec;
mod together;

#[cfg(test)]
mod tests;

use bevy_ecs::component::Component;
use bevy_ecs::entity::Entity;

pub use hierarchy::{Expected, Found, Hierarchy, MissedLookups};
pub use spec::TierSpec;
pub use together::{Mode, Retrieval};

/// One tier of a hierarchy.
#[derive(Component, Clone, Copy, Debug, PartialEq)]
pub struct MemoryTier {
    /// T: from asking to the first byte (s).
    pub lookup_s: f64,
    /// BW: how fast it is read (bytes/s).
    pub bytes_per_s: f64,
    /// H: the share of look-ups that find what they look for.
    pub hit_rate: f64,
    /// What it holds at most (bytes); infinite if that is no matter.
    pub capacity_bytes: f64,
}

impl MemoryTier {
    /// The probability that `bytes` of KV are here, once they are looked for.
    pub fn hit_frac(&self, bytes: f64) -> f64 {
        if bytes <= self.capacity_bytes { self.hit_rate } else { 0.0 }
    }

    /// T + S/BW: what it takes to look up and read `bytes` that are here (s).
    pub fn read_s(&self, bytes: f64) -> f64 {
        self.lookup_s + bytes / self.bytes_per_s
    }
}

/// Whose tier an entity with a [`MemoryTier`] is.
#[derive(Component, Clone, Copy, Debug, PartialEq, Eq)]
pub struct TierOf {
    /// The client that reads it.
    pub client: Entity,
    /// Its place in the client's hierarchy, 0 for the one that is asked first.
    pub level: u32,
}
