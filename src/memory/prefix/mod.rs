//! Prefix caching: KV blocks that stay behind a request for others whose prompt begins the same.
//!
//! Plain Rust without a world. A [`PrefixCache`] is a tree of pages, a page the KV block of `block_size`
//! tokens, known by the names of all its tokens and of those before it ([`Names`]). What a sequence uses
//! of it is a [`Pin`]: a path from the root, which is there as long as the pin. What nobody uses is *idle*,
//! counts as free, and is evicted when its blocks are taken for something else. Nodes are runs of pages with
//! the same past, so all costs follow the runs of texts and the places where they branch, never tokens.
//!
//! The two engines differ in what the tree stores and in what goes first:
//!
//! | | [`BlockHash`](PrefixCaching::BlockHash) | [`Radix`](PrefixCaching::Radix) |
//! |---|---|---|
//! | a page that is there already | is stored a second time | is shared, the second one freed |
//! | evicted first | the block freed first; of one path, its last | the leaf looked up least recently, as a whole |
//! | blocks evicted | as many as are taken | whole leaves, until there are enough |
//!
//! Sources: vLLM V1, `vllm/v1/core/block_pool.py` and `kv_cache_manager.py` from 0.24 on
//! (<https://github.com/vllm-project/vllm/tree/main/vllm/v1/core>), where a freed block without a hash is
//! taken before all that have one; up to 0.23 it went to the end of the queue like them, which evicts about
//! a block a request more. `SGLang`, `python/sglang/srt/mem_cache/radix_cache.py` with its default policy
//! `lru` (<https://github.com/sgl-project/sglang/blob/main/python/sglang/srt/mem_cache/radix_cache.py>).
//!
//! Left out: blocks that a running request of vLLM fills while it decodes are found from its end on, or its
//! preemption, not one by one as they fill; a request of `SGLang` that is considered and not admitted does
//! not count as a look-up; hits in sliding windows and state-space layers, `EAGLE`'s dropped last block, cache
//! salts and `LoRA` names, tiers behind the device.

mod cache;
mod names;
#[cfg(test)]
pub(crate) mod tests;
mod tree;

pub use cache::{Found, Pin, PrefixCache};
pub use names::Names;

use std::ops::AddAssign;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How often the cache was asked, and with what success; sequences that come back after a preemption are
/// not counted again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrefixTally {
    /// Sequences.
    pub queries: u64,
    /// Those that found something.
    pub hits: u64,
    /// Tokens of their prompts.
    pub query_tokens: u64,
    /// Those that were there.
    pub hit_tokens: u64,
    /// Blocks that were evicted.
    pub evicted_blocks: u64,
}

impl PrefixTally {
    /// A sequence of `prompt` tokens comes, of which `found` are there.
    pub fn count(&mut self, prompt: u32, found: u32) {
        self.queries += 1;
        self.hits += u64::from(found > 0);
        self.query_tokens += u64::from(prompt);
        self.hit_tokens += u64::from(found);
    }
}

impl AddAssign for PrefixTally {
    fn add_assign(&mut self, other: Self) {
        self.queries += other.queries;
        self.hits += other.hits;
        self.query_tokens += other.query_tokens;
        self.hit_tokens += other.hit_tokens;
        self.evicted_blocks += other.evicted_blocks;
    }
}

/// How KV is kept for later requests whose prompt begins the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PrefixCaching {
    /// It is not. vLLM `--no-enable-prefix-caching`, `SGLang` `--disable-radix-cache`.
    #[default]
    Off,
    /// As vLLM V1 does: full blocks by the hash of their tokens, found as soon as they are scheduled, the
    /// block freed first evicted first. vLLM `--enable-prefix-caching`, its default.
    BlockHash,
    /// As `SGLang` does: a radix tree of pages, found when they are computed, the leaf used least recently
    /// evicted first. The default of `SGLang`, `--radix-eviction-policy lru`.
    Radix,
}
