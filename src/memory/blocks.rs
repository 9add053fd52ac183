//! The pool of KV blocks on a client's accelerators.

/// Counts KV blocks; which block holds what does not matter without prefix sharing.
///
/// `used + free = total` holds by construction.
#[derive(Clone, Copy, Debug)]
pub struct BlockPool {
    total: u64,
    used: u64,
    block_size: u32,
}

impl BlockPool {
    /// `total` free blocks of `block_size` tokens each.
    pub const fn new(total: u64, block_size: u32) -> Self {
        Self { total, used: 0, block_size }
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

    /// Tokens that all blocks together hold.
    pub const fn capacity_tokens(&self) -> u64 {
        self.total * self.block_size as u64
    }

    /// Blocks that `tokens` tokens of one sequence take.
    pub const fn blocks_for(&self, tokens: u32) -> u32 {
        tokens.div_ceil(self.block_size)
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
