//! The pool of KV blocks on a client's accelerators.

use super::KvGroups;

/// Counts KV blocks; which block holds what does not matter without prefix sharing.
///
/// `used + free = total` holds by construction.
#[derive(Clone, Copy, Debug)]
pub struct BlockPool {
    total: u64,
    used: u64,
    block_size: u32,
    groups: KvGroups,
    copies: u32,
}

impl BlockPool {
    /// `total` free blocks of `block_size` tokens each.
    pub const fn new(total: u64, block_size: u32) -> Self {
        Self { total, used: 0, block_size, groups: KvGroups::ONE, copies: 1 }
    }

    /// The same, in which each of the groups of layers takes blocks of its own.
    #[must_use]
    pub const fn grouped(self, groups: KvGroups) -> Self {
        Self { groups, ..self }
    }

    /// The same, of which each of so many copies of attention has its part: no sequence is in two.
    #[must_use]
    pub const fn of_copies(self, copies: u32) -> Self {
        Self { copies, ..self }
    }

    /// Blocks of one copy: most that one sequence can have.
    pub const fn of_one_copy(&self) -> u64 {
        self.total / self.copies as u64
    }

    /// The groups of layers that take blocks.
    pub const fn groups(&self) -> &KvGroups {
        &self.groups
    }

    /// Blocks in all.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Blocks taken.
    pub const fn used(&self) -> u64 {
        self.used
    }

    /// Blocks to be had.
    pub const fn free(&self) -> u64 {
        self.total - self.used
    }

    /// Tokens a block holds.
    pub const fn block_size(&self) -> u32 {
        self.block_size
    }

    /// Tokens that all blocks together hold, in all groups and in full.
    pub const fn capacity_tokens(&self) -> u64 {
        self.total / self.groups.count() as u64 * self.block_size as u64
    }

    /// Blocks that `tokens` tokens of one sequence take in one group.
    pub const fn blocks_for(&self, tokens: u32) -> u32 {
        tokens.div_ceil(self.block_size)
    }

    /// Blocks that a sequence holds in all groups for `tokens` tokens, beside the first `shared` ones of each
    /// group, without those that lie behind the window when `computed` tokens are.
    pub const fn blocks_of(&self, shared: u32, computed: u32, tokens: u32) -> u32 {
        let all = self.blocks_for(tokens);
        let own = all.saturating_sub(shared);
        if self.groups.windowed() == 0 {
            return own;
        }
        let full = self.groups.count() - self.groups.windowed();
        full * own + self.groups.windowed() * all.saturating_sub(self.behind(shared, computed))
    }

    /// Of each windowed group, the first blocks that a sequence does not hold itself: shared or behind the window.
    const fn behind(&self, shared: u32, computed: u32) -> u32 {
        let passed = self.groups.passed(computed, self.block_size);
        if passed > shared { passed } else { shared }
    }

    /// Blocks that such a sequence no longer holds when it has computed `to` tokens instead of `from`.
    pub const fn passed(&self, shared: u32, from: u32, to: u32) -> u32 {
        self.groups.windowed() * (self.behind(shared, to) - self.behind(shared, from))
    }

    /// Takes `blocks`, or nothing and `false` when there are fewer.
    #[must_use]
    pub const fn take(&mut self, blocks: u64) -> bool {
        let fits = blocks <= self.free();
        if fits {
            self.used += blocks;
        }
        fits
    }

    /// Gives `blocks` back.
    pub fn give_back(&mut self, blocks: u64) {
        debug_assert!(blocks <= self.used, "gave back {blocks} of {} blocks", self.used);
        self.used = self.used.saturating_sub(blocks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_taken_whole_or_not_at_all() {
        let mut pool = BlockPool::new(3, 16);
        assert_eq!((pool.blocks_for(0), pool.blocks_for(16), pool.blocks_for(17)), (0, 1, 2));
        assert!(pool.take(2));
        assert!(!pool.take(2));
        assert_eq!((pool.used(), pool.free(), pool.capacity_tokens()), (2, 1, 48));
        pool.give_back(2);
        assert_eq!(pool.free(), pool.total());
    }
}
