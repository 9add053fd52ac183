//! How the layers of a model share one pool of KV blocks.
//!
//! ```text
//! group    g layers of one kind, full or windowed; a block holds the KV of a run of tokens in one group
//! g      = layers                          all of one kind
//!        = max(f, w)  if that is < 1.25 · min(f, w), else min(f, w)          f full and w windowed layers
//! groups = ceil(f / g) + ceil(w / g)
//! held   = F·ceil(e / b) + G·(ceil(e / b) − max(0, floor((c − W + 1) / b)))
//! ```
//! F full and G windowed groups, W tokens of the window, b tokens of a block, c tokens computed before the
//! step and e after it: blocks that lie behind the window of all that is to come are free again.
//!
//! Mirrors vLLM's hybrid KV cache manager, `_get_kv_cache_groups_uniform_page_size` in
//! <https://github.com/vllm-project/vllm/blob/v0.11.0/vllm/v1/core/kv_cache_utils.py> and `remove_skipped_blocks`
//! in `single_type_kv_cache_manager.py` beside it. Deviations: blocks behind the window are free at the end of
//! the step, where vLLM frees them when it is the turn of their sequence in the next; the null block that
//! vLLM sets aside is not. A holding keeps what its window held at its end, however far others go on from it.
//! Prefix caching over groups is left out: with it, and where prefill or decode run alone, all layers count in full, as
//! with `--disable-hybrid-kv-cache-manager`.

use crate::catalog::Model;

/// Groups of layers, each with blocks of its own in one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvGroups {
    /// Groups whose layers see everything.
    full: u32,
    /// Groups whose layers see a window.
    windowed: u32,
    /// Tokens that those see.
    window: u32,
    /// Layers of a group, padding included, and of the model.
    layers: (u32, u32),
}

impl KvGroups {
    /// All layers in one group, which see everything.
    pub const ONE: Self = Self { full: 1, windowed: 0, window: u32::MAX, layers: (1, 1) };

    /// Those of `model`.
    pub fn of_model(model: &Model) -> Self {
        let windowed = model.windowed_layers();
        let window = model.attention.window.map_or(0, |window| window.tokens);
        Self::of(model.layers - windowed, windowed, window)
    }

    /// Those of a model with so many layers that see everything, and that see so many tokens.
    pub fn of(full: u32, windowed: u32, window: u32) -> Self {
        let (least, most) = (full.min(windowed), full.max(windowed));
        if windowed == 0 || window == 0 {
            return Self::ONE;
        }
        // Few layers too many are padded.
        let size = if least == 0 || 4 * u64::from(most) < 5 * u64::from(least) { most } else { least };
        let groups = |layers: u32| layers.div_ceil(size);
        Self { full: groups(full), windowed: groups(windowed), window, layers: (size, full + windowed) }
    }

    /// How many there are.
    pub const fn count(&self) -> u32 {
        self.full + self.windowed
    }

    /// Those with a window.
    pub const fn windowed(&self) -> u32 {
        self.windowed
    }

    /// Tokens of the window.
    pub const fn window(&self) -> u32 {
        self.window
    }

    /// Layers of a group over layers of the model: what a block takes of a token's KV.
    pub fn share(&self) -> f64 {
        f64::from(self.layers.0) / f64::from(self.layers.1)
    }

    /// Blocks of each windowed group that lie behind the window when `computed` tokens are.
    pub const fn passed(&self, computed: u32, block_size: u32) -> u32 {
        if self.windowed == 0 { 0 } else { (computed + 1).saturating_sub(self.window) / block_size }
    }

    /// Most blocks that a sequence of `tokens` tokens ever holds, whose prompt is computed in chunks of so
    /// many tokens at most, or whole.
    pub fn most(&self, tokens: u32, chunk: Option<u32>, block_size: u32) -> u64 {
        let all = u64::from(tokens.div_ceil(block_size));
        // The window may not begin with a block.
        let seen =
            |chunk: u32| (u64::from(self.window) - 1 + u64::from(chunk)).div_ceil(block_size.into()) + 1;
        let bounded = chunk.map_or(all, |chunk| seen(chunk).min(all));
        u64::from(self.full) * all + u64::from(self.windowed) * bounded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    #[test]
    fn layers_are_grouped_as_by_vllm() {
        let groups = |name: &str| {
            let groups = KvGroups::of_model(Catalog::embedded().model(name).unwrap());
            (groups.full, groups.windowed, groups.layers.0)
        };
        assert_eq!(groups("Llama-3.1-8B"), (1, 0, 1));
        assert_eq!(groups("Mistral-7B-v0.1"), (0, 1, 32));
        assert_eq!(groups("gpt-oss-120b"), (1, 1, 18));
        assert_eq!(groups("Gemma-3-27B"), (1, 6, 10));
        // 12 windowed layers and 13 full ones are padded, not split into 13.
        assert_eq!(KvGroups::of(13, 12, 128).layers, (13, 25));
        assert_eq!((KvGroups::of(13, 12, 128).count(), KvGroups::of(20, 30, 128).count()), (2, 3));
    }

    #[test]
    fn blocks_behind_the_window_are_free() {
        let groups = KvGroups::of(0, 32, 4096);
        assert_eq!([4094, 4095, 4110, 4111].map(|computed| groups.passed(computed, 16)), [0, 0, 0, 1]);
        // vLLM, `SlidingWindowSpec.max_memory_usage_bytes`: ceil((4095 + 8192) / 16) + 1.
        assert_eq!(groups.most(100_000, Some(8192), 16), 769);
        assert_eq!(groups.most(100_000, None, 16), 6250);
        assert_eq!(KvGroups::of(18, 18, 128).most(16_000, Some(1), 16), 1000 + 9);
    }
}
