//! KV that outlives the sequence that computed it, for others of its request to go on with.
//!
//! A holding covers the tokens from the start of a text; it stands on the holding that its sequence went
//! on with, whose full blocks it shares, so holdings form trees and shared blocks are counted once. Its
//! blocks go back to the pool exactly once: when the pipeline has released it and nothing stands on it, or
//! earlier, when memory is short and no running sequence needs it, the least recently used first; but what is
//! about to be sent to the client that decodes stays, and newcomers wait, as with the KV connectors of vLLM
//! (`delay_free_blocks`) and `SGLang`. What was evicted is computed again from the nearest ancestor that was not, as by
//! vLLM's prefix cache.

use crate::memory::BlockPool;
use crate::memory::prefix::{Pin, PrefixCache};

/// Where the blocks of holdings come from and go back to.
pub(super) struct Blocks<'a> {
    pub kv: &'a mut BlockPool,
    pub cache: Option<&'a mut PrefixCache>,
}

impl Blocks<'_> {
    /// Gives back `own` blocks, and those of the cache that `pin` alone still uses.
    fn give_back(&mut self, own: u32, pin: Option<Pin>) {
        if let (Some(pin), Some(cache)) = (pin, &mut self.cache) {
            cache.evict(self.kv.free());
            self.kv.give_back(cache.unpin(&pin).into());
        }
        self.kv.give_back(own.into());
    }
}

#[derive(Clone, Debug)]
struct Holding {
    parent: Option<u32>,
    /// Tokens from the start of the text, those of the parent included.
    tokens: u32,
    /// Blocks of its own.
    blocks: u32,
    /// Those that it has in the prefix cache.
    cached: Option<Pin>,
    /// Whether the pipeline may still go on with it.
    owned: bool,
    evicted: bool,
    /// Whether it stays until the pipeline releases it, however short memory is.
    held: bool,
    /// Sequences and holdings that refer to it: while there are any, its number is not given away.
    users: u32,
    /// Running sequences and holdings with KV that stand on its blocks: while there are any, it stays.
    pins: u32,
    last_use: u64,
}

impl Holding {
    /// Whether it may be evicted.
    const fn is_idle(&self) -> bool {
        self.pins == 0 && !self.evicted && !self.held
    }
}

/// The holdings of one client.
#[derive(Clone, Debug, Default)]
pub(super) struct Holdings {
    slots: Vec<Holding>,
    vacant: Vec<u32>,
    uses: u64,
}

impl Holdings {
    /// Keeps `blocks` that a sequence leaves, which went on with `parent`, and what it has in the prefix cache;
    /// the number of the holding.
    pub fn keep(&mut self, parent: Option<u32>, tokens: u32, blocks: u32, cached: Option<Pin>) -> u32 {
        self.uses += 1;
        let last_use = self.uses;
        let holding = Holding {
            parent,
            tokens,
            blocks,
            cached,
            owned: true,
            evicted: false,
            held: false,
            users: 0,
            pins: 0,
            last_use,
        };
        if let Some(parent) = parent {
            self.refer(parent);
            self.pin(parent);
        }
        if let Some(id) = self.vacant.pop() {
            self.slots[id as usize] = holding;
            return id;
        }
        self.slots.push(holding);
        self.slots.len() as u32 - 1
    }

    /// Keeps `id` from being evicted until it is released.
    pub fn hold(&mut self, id: u32) {
        self.slots[id as usize].held = true;
    }

    /// Whether there are any that stay until they are released.
    pub fn any_held(&self) -> bool {
        self.slots.iter().any(|holding| holding.held)
    }

    /// The nearest of `id` and its ancestors whose KV is there, and the tokens it covers.
    pub fn nearest(&self, mut id: u32) -> Option<(u32, u32)> {
        loop {
            let holding = &self.slots[id as usize];
            if !holding.evicted {
                return Some((id, holding.tokens));
            }
            id = holding.parent?;
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }

    /// Blocks that they hold together, without those in the prefix cache.
    pub fn blocks(&self) -> u64 {
        self.slots.iter().map(|holding| u64::from(holding.blocks)).sum()
    }

    /// Something refers to `id`.
    pub fn refer(&mut self, id: u32) {
        self.slots[id as usize].users += 1;
    }

    /// Something no longer refers to `id`.
    pub fn forget(&mut self, id: u32, blocks: &mut Blocks<'_>) {
        self.slots[id as usize].users -= 1;
        self.free_unused(id, blocks);
    }

    /// A running sequence or a holding stands on the blocks of `id`.
    pub fn pin(&mut self, id: u32) {
        self.uses += 1;
        let holding = &mut self.slots[id as usize];
        holding.pins += 1;
        holding.last_use = self.uses;
    }

    /// It no longer does.
    pub fn unpin(&mut self, id: u32) {
        self.slots[id as usize].pins -= 1;
    }

    /// The pipeline will not go on with `id`.
    pub fn release(&mut self, id: u32, blocks: &mut Blocks<'_>) {
        let holding = &mut self.slots[id as usize];
        debug_assert!(holding.owned, "a holding is released once");
        (holding.owned, holding.held) = (false, false);
        self.free_unused(id, blocks);
    }

    /// Evicts holdings until `needed` blocks are free, or none if there are too few, and tells whether any were.
    pub fn reclaim(&mut self, needed: u64, blocks: &mut Blocks<'_>) -> bool {
        if blocks.kv.free() + self.idle_blocks(blocks.cache.as_deref()) < needed {
            return false;
        }
        let mut evicts = false;
        while blocks.kv.free() < needed {
            let idle = |(_, holding): &(usize, &Holding)| holding.is_idle();
            let oldest =
                self.slots.iter().enumerate().filter(idle).min_by_key(|(_, holding)| holding.last_use);
            let Some((id, _)) = oldest else { break };
            self.empty(id as u32, blocks);
            evicts = true;
        }
        evicts
    }

    /// Evicts all holdings; no running sequence stands on any.
    pub fn lose(&mut self, blocks: &mut Blocks<'_>) {
        for holding in &mut self.slots {
            if holding.owned || holding.users > 0 {
                blocks.give_back(holding.blocks, holding.cached.take());
                (holding.blocks, holding.evicted, holding.held, holding.pins) = (0, true, false, 0);
            }
        }
    }

    /// Blocks of the holdings that no running sequence needs, those of `cache` that nobody else uses among them.
    pub fn idle_blocks(&self, cache: Option<&PrefixCache>) -> u64 {
        if self.slots.is_empty() {
            return 0;
        }
        let mut pins: Vec<u32> = self.slots.iter().map(|holding| holding.pins).collect();
        let idle = |(_, holding): &(usize, &Holding)| holding.is_idle();
        let mut idle: Vec<usize> = self.slots.iter().enumerate().filter(idle).map(|(id, _)| id).collect();
        let (mut blocks, mut cached) = (0, Vec::new());
        while let Some(id) = idle.pop() {
            let holding = &self.slots[id];
            blocks += u64::from(holding.blocks);
            cached.extend(&holding.cached);
            if let Some(parent) = holding.parent {
                pins[parent as usize] -= 1;
                if pins[parent as usize] == 0 && !self.slots[parent as usize].held {
                    idle.push(parent as usize);
                }
            }
        }
        blocks + cache.map_or(0, |cache| cache.freed_by(cached.into_iter()))
    }

    /// Gives back the blocks of `id`.
    fn empty(&mut self, id: u32, blocks: &mut Blocks<'_>) {
        let holding = &mut self.slots[id as usize];
        debug_assert!(!holding.evicted && holding.pins == 0, "only idle KV is freed, and once");
        holding.evicted = true;
        blocks.give_back(std::mem::take(&mut holding.blocks), holding.cached.take());
        if let Some(parent) = holding.parent {
            self.unpin(parent);
        }
    }

    fn free_unused(&mut self, id: u32, blocks: &mut Blocks<'_>) {
        let mut next = Some(id);
        while let Some(id) = next {
            let holding = &self.slots[id as usize];
            if holding.owned || holding.users > 0 {
                return;
            }
            if !holding.evicted {
                self.empty(id, blocks);
            }
            next = self.slots[id as usize].parent.take();
            if let Some(parent) = next {
                self.slots[parent as usize].users -= 1;
            }
            self.vacant.push(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_blocks_are_counted_once_and_freed_once() {
        let mut pool = BlockPool::new(10, 16);
        let mut blocks = Blocks { kv: &mut pool, cache: None };
        let mut holdings = Holdings::default();
        assert!(blocks.kv.take(3));
        let prefix = holdings.keep(None, 48, 3, None);
        // Two branches stand on it.
        for _ in 0..2 {
            holdings.refer(prefix);
            holdings.pin(prefix);
            assert!(blocks.kv.take(1));
        }
        assert!(!holdings.reclaim(6, &mut blocks), "a running branch needs it");
        let branch = holdings.keep(Some(prefix), 64, 1, None);
        for _ in 0..2 {
            holdings.unpin(prefix);
            holdings.forget(prefix, &mut blocks);
        }
        blocks.kv.give_back(1);
        holdings.release(prefix, &mut blocks);
        assert_eq!(blocks.kv.used(), 4, "the branch that is kept stands on it");
        assert_eq!(holdings.nearest(branch), Some((branch, 64)));
        assert!(!holdings.reclaim(11, &mut blocks) && blocks.kv.used() == 4, "nothing is evicted in vain");
        assert!(holdings.reclaim(8, &mut blocks));
        assert_eq!((blocks.kv.used(), holdings.nearest(branch)), (0, None), "leaf first, then the prefix");
        holdings.release(branch, &mut blocks);
        assert_eq!(blocks.kv.used(), 0);
        assert_eq!(holdings.keep(None, 1, 0, None), prefix, "numbers are used again");
    }

    #[test]
    fn what_is_lost_is_not_freed_again() {
        let mut pool = BlockPool::new(10, 16);
        let mut blocks = Blocks { kv: &mut pool, cache: None };
        let mut holdings = Holdings::default();
        assert!(blocks.kv.take(5));
        let prefix = holdings.keep(None, 48, 3, None);
        let branch = holdings.keep(Some(prefix), 80, 2, None);
        holdings.lose(&mut blocks);
        assert_eq!((blocks.kv.used(), holdings.nearest(branch)), (0, None));
        assert!(blocks.kv.take(1));
        let later = holdings.keep(None, 16, 1, None);
        holdings.release(prefix, &mut blocks);
        holdings.release(branch, &mut blocks);
        assert_eq!((blocks.kv.used(), holdings.nearest(later)), (1, Some((later, 16))));
        holdings.release(later, &mut blocks);
        assert_eq!(blocks.kv.used(), 0);
    }
}
