//! The cache: looking up, pinning, storing, evicting.

use std::collections::BTreeMap;

use smallvec::{SmallVec, smallvec};

use super::PrefixCaching;
use super::names::Names;
use super::tree::{Match, ROOT, Stored, Tree};

/// What is there of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Blocks.
    pub blocks: u32,
    /// Those of them that nobody uses: whoever takes them leaves as many less free.
    pub idle: u32,
}

/// What a sequence uses of the cache: the blocks of a path.
#[derive(Clone, Debug)]
pub struct Pin {
    /// The node in which the path ends.
    leaf: u32,
    blocks: u32,
    /// Who stored the blocks, up to each depth.
    by: SmallVec<[(u32, u32); 2]>,
    /// Whose pin it is.
    tag: u32,
}

impl Pin {
    /// Blocks of the path.
    pub const fn blocks(&self) -> u32 {
        self.blocks
    }

    /// The next `blocks` blocks were stored by `tag`.
    fn push(&mut self, blocks: u32, tag: u32) {
        self.blocks += blocks;
        match self.by.last_mut() {
            Some((upto, last)) if *last == tag => *upto = self.blocks,
            _ => self.by.push((self.blocks, tag)),
        }
    }
}

/// Order of eviction: when it was freed or used last; of one path, the end first.
type Place = (u64, std::cmp::Reverse<u32>);

/// KV blocks that may be shared, of one client.
///
/// It counts blocks, which its owner takes from a pool: all that are in use are taken, and idle ones are
/// among the free. After blocks were taken, and before any are given back or looked up, the owner
/// calls [`evict`](Self::evict).
#[derive(Clone, Debug)]
pub struct PrefixCache {
    radix: bool,
    block_size: u32,
    tree: Tree,
    /// What may be evicted: with `BlockHash` everything idle, with `Radix` idle leaves; node and who stored it.
    queue: BTreeMap<Place, (u32, u32)>,
    events: u64,
    tags: u32,
    idle: u64,
    in_use: u64,
    /// Blocks evicted since somebody asked.
    evicted: u64,
}

impl PrefixCache {
    /// An empty cache of blocks of `block_size` tokens; none if caching is off.
    pub fn new(caching: PrefixCaching, block_size: u32) -> Option<Self> {
        (caching != PrefixCaching::Off).then(|| Self {
            radix: caching == PrefixCaching::Radix,
            block_size,
            tree: Tree::new(block_size),
            queue: BTreeMap::new(),
            events: 0,
            tags: 0,
            idle: 0,
            in_use: 0,
            evicted: 0,
        })
    }

    /// Whether it is `Radix`, which stores what has been computed, whereas `BlockHash` stores what is
    /// scheduled.
    pub const fn is_radix(&self) -> bool {
        self.radix
    }

    /// Blocks that nobody uses.
    pub const fn idle(&self) -> u64 {
        self.idle
    }

    /// Blocks that pins use.
    pub const fn in_use(&self) -> u64 {
        self.in_use
    }

    /// What is there of the first `tokens` tokens of `names`, in full blocks.
    pub fn find(&self, names: &Names, tokens: u32) -> Found {
        let (mut found, mut node) = (Found::default(), ROOT);
        let (mut at, most) = (names.from(0), tokens / self.block_size);
        while let Some(Match { node: child, pages }) = self.tree.next_match(node, at, most - found.blocks) {
            let stored = self.tree.node(child);
            found.blocks += pages;
            found.idle += if stored.stored[0].users == 0 { pages } else { 0 };
            if pages < stored.pages {
                break;
            }
            (node, at) = (child, at.behind(pages * self.block_size));
        }
        found
    }

    /// Pins what [`find`](Self::find) finds.
    pub fn pin(&mut self, names: &Names, tokens: u32) -> Pin {
        self.events += 1;
        self.tags = self.tags.wrapping_add(1);
        let tag = if self.radix { 0 } else { self.tags };
        let mut pin = Pin { leaf: ROOT, blocks: 0, by: smallvec![], tag };
        let (mut at, most) = (names.from(0), tokens / self.block_size);
        while let Some(matched) = self.tree.next_match(pin.leaf, at, most - pin.blocks) {
            pin.leaf = self.end_there(matched);
            let by = self.tree.node(pin.leaf).stored[0].tag;
            self.take_up(pin.leaf);
            pin.push(matched.pages, by);
            at = at.behind(matched.pages * self.block_size);
        }
        pin
    }

    /// Stores the first `tokens` tokens of `names` as far as they fill blocks, which the owner of `pin` holds
    /// and `pin` has not yet; they become part of it. Tells which of them were there already, so that the
    /// owner shares those and frees its own.
    pub fn store(&mut self, pin: &mut Pin, names: &Names, tokens: u32) -> Found {
        self.events += 1;
        let target = tokens / self.block_size;
        let mut shared = Found::default();
        let mut at = names.from(pin.blocks * self.block_size);
        while pin.blocks < target {
            let left = target - pin.blocks;
            if let Some(matched) = self.tree.next_match(pin.leaf, at, left) {
                pin.leaf = self.end_there(matched);
                let pages = matched.pages;
                if self.radix {
                    shared.blocks += pages;
                    shared.idle += if self.take_up(pin.leaf) { pages } else { 0 };
                } else {
                    let stored = Stored { tag: pin.tag, users: 1, freed: 0 };
                    self.tree.node_mut(pin.leaf).stored.push(stored);
                    self.in_use += u64::from(pages);
                }
                pin.push(pages, pin.tag);
                at = at.behind(pages * self.block_size);
                continue;
            }
            if self.tree.clashes(pin.leaf, at) {
                break;
            }
            if self.is_still_open(pin) {
                self.tree.grow(pin.leaf, names, left);
            } else {
                self.dequeue_leaf(pin.leaf);
                let stored = Stored { tag: pin.tag, users: 1, freed: 0 };
                pin.leaf = self.tree.add(pin.leaf, names, left, stored, self.events);
            }
            self.in_use += u64::from(left);
            pin.push(left, pin.tag);
        }
        // After what was parted from the path on the way.
        self.events += 1;
        self.touch(pin.leaf);
        shared
    }

    /// Lets go of a path; the number of blocks that nobody uses any more.
    pub fn unpin(&mut self, pin: &Pin) -> u32 {
        let (mut id, mut by, mut freed) = (pin.leaf, pin.by.len(), 0);
        while id != ROOT {
            self.events += 1;
            let (now, radix) = (self.events, self.radix);
            let node = self.tree.node_mut(id);
            let (end, pages, parent) = (node.end(), node.pages, node.parent);
            while by > 1 && pin.by[by - 2].0 >= end {
                by -= 1;
            }
            let tag = pin.by[by - 1].1;
            let stored = node.stored.iter_mut().find(|stored| stored.tag == tag);
            let stored = stored.expect("what is pinned is there");
            stored.users -= 1;
            if stored.users == 0 {
                stored.freed = now;
                freed += pages;
                self.in_use -= u64::from(pages);
                self.idle += u64::from(pages);
                if !radix {
                    self.queue.insert((now, std::cmp::Reverse(end)), (id, tag));
                } else if node.children == 0 {
                    self.queue.insert((node.used, std::cmp::Reverse(end)), (id, tag));
                }
            }
            id = parent;
        }
        freed
    }

    /// Blocks that nobody would use any more without `pins`.
    pub fn freed_by<'a>(&self, pins: impl Iterator<Item = &'a Pin>) -> u64 {
        let mut uses = BTreeMap::<(u32, u32), u32>::new();
        for pin in pins {
            let (mut id, mut by) = (pin.leaf, pin.by.len());
            while id != ROOT {
                let node = self.tree.node(id);
                while by > 1 && pin.by[by - 2].0 >= node.end() {
                    by -= 1;
                }
                *uses.entry((id, pin.by[by - 1].1)).or_default() += 1;
                id = node.parent;
            }
        }
        let freed = uses.iter().filter(|((id, tag), pins)| {
            self.tree.node(*id).stored.iter().any(|stored| stored.tag == *tag && stored.users == **pins)
        });
        freed.map(|((id, _), _)| u64::from(self.tree.node(*id).pages)).sum()
    }

    /// Evicts until no more than `free` blocks are idle; tells whether any were evicted.
    pub fn evict(&mut self, free: u64) -> bool {
        let before = self.idle;
        while self.idle > free
            && let Some(((when, std::cmp::Reverse(end)), (id, tag))) = self.queue.pop_first()
        {
            let pages = self.tree.node(id).pages;
            let excess = u32::try_from(self.idle - free).unwrap_or(u32::MAX);
            if self.radix || pages <= excess {
                self.drop_stored(id, tag);
                continue;
            }
            let kept = pages - excess;
            if self.tree.node(id).stored.len() == 1 {
                self.tree.shrink(id, excess);
                self.idle -= u64::from(excess);
                self.queue.insert((when, std::cmp::Reverse(end - excess)), (id, tag));
            } else {
                self.split(id, kept);
                self.drop_stored(id, tag);
            }
        }
        self.evicted += before - self.idle;
        before > self.idle
    }

    /// Blocks evicted since this was asked last.
    pub const fn take_evicted(&mut self) -> u64 {
        std::mem::replace(&mut self.evicted, 0)
    }

    /// Evicts everything; there are no pins.
    pub fn clear(&mut self) {
        debug_assert!(self.in_use == 0, "{} blocks are in use", self.in_use);
        self.tree.clear();
        self.queue.clear();
        self.idle = 0;
    }

    /// The node that ends where a match does.
    fn end_there(&mut self, Match { node, pages }: Match) -> u32 {
        if pages == self.tree.node(node).pages {
            return node;
        }
        if self.radix {
            // The whole node counts as looked up, also what is parted from it.
            self.dequeue_leaf(node);
            let (now, id) = (self.events, node);
            let node = self.tree.node_mut(node);
            node.used = now;
            if node.children == 0 && node.stored[0].users == 0 {
                self.queue.insert((now, std::cmp::Reverse(node.end())), (id, node.stored[0].tag));
            }
        }
        self.split(node, pages)
    }

    fn split(&mut self, id: u32, pages: u32) -> u32 {
        let upper = self.tree.split(id, pages);
        if !self.radix {
            let node = self.tree.node(upper);
            let end = std::cmp::Reverse(node.end());
            for stored in node.stored.iter().filter(|stored| stored.users == 0) {
                self.queue.insert((stored.freed, end), (upper, stored.tag));
            }
        }
        upper
    }

    /// A pin uses the first of what is stored at `id`; tells whether nobody did.
    fn take_up(&mut self, id: u32) -> bool {
        self.dequeue_leaf(id);
        let (now, radix) = (self.events, self.radix);
        let node = self.tree.node_mut(id);
        node.used = now;
        let (end, pages) = (node.end(), node.pages);
        let stored = &mut node.stored[0];
        stored.users += 1;
        let idle = stored.users == 1;
        if idle {
            self.idle -= u64::from(pages);
            self.in_use += u64::from(pages);
            if !radix {
                self.queue.remove(&(stored.freed, std::cmp::Reverse(end)));
            }
        }
        idle
    }

    /// Takes `id` off the queue of `Radix`, as it is used or no longer a leaf.
    fn dequeue_leaf(&mut self, id: u32) {
        if self.radix && id != ROOT {
            let node = self.tree.node(id);
            self.queue.remove(&(node.used, std::cmp::Reverse(node.end())));
        }
    }

    /// All of a path in use counts as looked up.
    fn touch(&mut self, mut id: u32) {
        while self.radix && id != ROOT {
            let node = self.tree.node_mut(id);
            node.used = self.events;
            id = node.parent;
        }
    }

    /// Whether nobody but its owner uses the end of `pin`, so that it can grow; a leaf of `Radix` does not, as
    /// every insertion there is a leaf of its own.
    fn is_still_open(&self, pin: &Pin) -> bool {
        let node = self.tree.node(pin.leaf);
        let alone = matches!(&node.stored[..], [only] if only.tag == pin.tag && only.users == 1);
        !self.radix && alone && node.children == 0
    }

    /// Forgets what `tag` stored at `id`, which is off the queue.
    fn drop_stored(&mut self, id: u32, tag: u32) {
        let node = self.tree.node_mut(id);
        let (pages, parent) = (node.pages, node.parent);
        node.stored.retain(|stored| stored.tag != tag);
        self.idle -= u64::from(pages);
        if !node.stored.is_empty() {
            return;
        }
        self.tree.remove(id);
        if self.radix && parent != ROOT {
            let node = self.tree.node(parent);
            if node.children == 0 && node.stored[0].users == 0 {
                self.queue.insert((node.used, std::cmp::Reverse(node.end())), (parent, tag));
            }
        }
    }
}
