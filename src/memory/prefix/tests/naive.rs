//! The bookkeeping of both engines as their sources have it: one entry a block, one a token.

use std::collections::{HashMap, VecDeque};

use crate::memory::prefix::Found;

/// What a test asks of an engine.
pub(crate) trait Naive {
    fn new(blocks: u64, block: u32) -> Self;
    /// What is there of `tokens`.
    fn find(&self, tokens: &[u64]) -> Found;
    /// A sequence takes what is there of `tokens`, and `need` blocks more.
    fn begin(&mut self, tokens: &[u64], need: u64);
    /// The `at`-th sequence takes `need` blocks more.
    fn take(&mut self, at: usize, need: u64);
    /// It has all of `tokens`.
    fn store(&mut self, at: usize, tokens: &[u64]);
    fn end(&mut self, at: usize);
    /// Blocks in use, and blocks in the cache that nobody uses.
    fn counts(&self) -> (u64, u64);
}

/// vLLM's block pool: a table of hashes, a free queue. A hash is the text up to the end of the block.
pub(crate) struct NaiveBlocks {
    block: usize,
    hashes: Vec<Option<Vec<u64>>>,
    users: Vec<u32>,
    free: VecDeque<usize>,
    /// Blocks by hash, the oldest first.
    cached: HashMap<Vec<u64>, Vec<usize>>,
    seqs: Vec<Vec<usize>>,
}

impl NaiveBlocks {
    fn hits(&self, tokens: &[u64]) -> Vec<usize> {
        let full = 1..=tokens.len() / self.block;
        let first = |pages: usize| self.cached.get(&tokens[..pages * self.block]).map(|blocks| blocks[0]);
        full.map_while(first).collect()
    }

    fn new_blocks(&mut self, need: u64) -> Vec<usize> {
        let take = |_| {
            let block = self.free.pop_front().expect("checked before");
            if let Some(hash) = self.hashes[block].take() {
                let same = self.cached.get_mut(&hash).expect("what has a hash is in the table");
                same.retain(|other| *other != block);
                if same.is_empty() {
                    self.cached.remove(&hash);
                }
            }
            self.users[block] = 1;
            block
        };
        (0..need).map(take).collect()
    }
}

impl Naive for NaiveBlocks {
    fn new(blocks: u64, block: u32) -> Self {
        let count = blocks as usize;
        Self {
            block: block as usize,
            hashes: vec![None; count],
            users: vec![0; count],
            free: (0..count).collect(),
            cached: HashMap::new(),
            seqs: Vec::new(),
        }
    }

    fn find(&self, tokens: &[u64]) -> Found {
        let hits = self.hits(tokens);
        let idle = hits.iter().filter(|block| self.users[**block] == 0).count() as u32;
        Found { blocks: hits.len() as u32, idle }
    }

    fn begin(&mut self, tokens: &[u64], need: u64) {
        let mut blocks = self.hits(tokens);
        for block in &blocks {
            if self.users[*block] == 0 {
                self.free.retain(|other| other != block);
            }
            self.users[*block] += 1;
        }
        blocks.extend(self.new_blocks(need));
        self.seqs.push(blocks);
    }

    fn take(&mut self, at: usize, need: u64) {
        let blocks = self.new_blocks(need);
        self.seqs[at].extend(blocks);
    }

    fn store(&mut self, at: usize, tokens: &[u64]) {
        for pages in 1..=tokens.len() / self.block {
            let block = self.seqs[at][pages - 1];
            if self.hashes[block].is_none() {
                let hash = tokens[..pages * self.block].to_vec();
                self.cached.entry(hash.clone()).or_default().push(block);
                self.hashes[block] = Some(hash);
            }
        }
    }

    fn end(&mut self, at: usize) {
        for block in self.seqs.remove(at).into_iter().rev() {
            self.users[block] -= 1;
            match (self.users[block], &self.hashes[block]) {
                (0, Some(_)) => self.free.push_back(block),
                (0, None) => self.free.push_front(block),
                _ => {}
            }
        }
    }

    fn counts(&self) -> (u64, u64) {
        let used = self.users.iter().filter(|users| **users > 0).count() as u64;
        let idle = self.free.iter().filter(|block| self.hashes[**block].is_some()).count() as u64;
        (used, idle)
    }
}

#[derive(Clone)]
struct Node {
    parent: usize,
    key: Vec<u64>,
    locks: u32,
    last_access: u64,
    gone: bool,
}

struct Req {
    last_node: usize,
    /// Tokens whose blocks belong to the tree.
    kept: usize,
    /// Blocks of its own.
    own: u64,
}

/// `SGLang`'s radix cache over keys of tokens, with an allocator that counts pages.
pub(crate) struct NaiveRadix {
    block: usize,
    free: u64,
    total: u64,
    nodes: Vec<Node>,
    clock: u64,
    seqs: Vec<Req>,
}

impl NaiveRadix {
    fn common(&self, one: &[u64], two: &[u64]) -> usize {
        let pages = one.chunks_exact(self.block).zip(two.chunks_exact(self.block));
        pages.take_while(|(one, two)| one == two).count() * self.block
    }

    fn child(&self, node: usize, key: &[u64]) -> Option<usize> {
        (1..self.nodes.len()).find(|&id| {
            let child = &self.nodes[id];
            !child.gone && child.parent == node && self.common(&child.key, key) > 0
        })
    }

    fn aligned<'a>(&self, key: &'a [u64]) -> &'a [u64] {
        &key[..key.len() / self.block * self.block]
    }

    fn split(&mut self, id: usize, at: usize) -> usize {
        let mut upper = self.nodes[id].clone();
        upper.key.truncate(at);
        self.nodes.push(upper);
        let upper = self.nodes.len() - 1;
        self.nodes[id].key.drain(..at);
        self.nodes[id].parent = upper;
        upper
    }

    /// The node where `key` ends in the tree, parted there; what is there of it.
    fn walk(&mut self, mut key: &[u64]) -> (usize, usize) {
        self.clock += 1;
        let (mut node, mut found) = (0, 0);
        while let Some(child) = self.child(node, key) {
            self.nodes[child].last_access = self.clock;
            let common = self.common(&self.nodes[child].key, key);
            found += common;
            key = &key[common..];
            node = child;
            if common < self.nodes[child].key.len() {
                node = self.split(child, common);
                break;
            }
        }
        (node, found)
    }

    fn lock(&mut self, mut node: usize, by: i32) {
        while node != 0 {
            self.nodes[node].locks = self.nodes[node].locks.checked_add_signed(by).unwrap();
            node = self.nodes[node].parent;
        }
    }

    fn allocate(&mut self, need: u64) {
        while self.free < need {
            let leaf = |id: &usize| {
                let node = &self.nodes[*id];
                let has_child = self.nodes.iter().any(|other| !other.gone && other.parent == *id);
                !node.gone && node.locks == 0 && !has_child
            };
            let oldest = (1..self.nodes.len()).filter(leaf).min_by_key(|id| self.nodes[*id].last_access);
            let oldest = oldest.expect("checked before");
            self.nodes[oldest].gone = true;
            self.free += (self.nodes[oldest].key.len() / self.block) as u64;
        }
        self.free -= need;
    }
}

impl Naive for NaiveRadix {
    fn new(blocks: u64, block: u32) -> Self {
        let root = Node { parent: usize::MAX, key: Vec::new(), locks: 1, last_access: 0, gone: false };
        let block = block as usize;
        Self { block, free: blocks, total: blocks, nodes: vec![root], clock: 0, seqs: Vec::new() }
    }

    /// Without the access time and the parting that a look-up in earnest brings.
    fn find(&self, tokens: &[u64]) -> Found {
        let (mut key, mut node, mut found) = (self.aligned(tokens), 0, Found::default());
        while let Some(child) = self.child(node, key) {
            let common = self.common(&self.nodes[child].key, key);
            let pages = (common / self.block) as u32;
            found.blocks += pages;
            found.idle += if self.nodes[child].locks == 0 { pages } else { 0 };
            if common < self.nodes[child].key.len() {
                break;
            }
            (node, key) = (child, &key[common..]);
        }
        found
    }

    fn begin(&mut self, tokens: &[u64], need: u64) {
        let (last_node, kept) = self.walk(self.aligned(tokens));
        self.lock(last_node, 1);
        self.allocate(need);
        self.seqs.push(Req { last_node, kept, own: need });
    }

    fn take(&mut self, at: usize, need: u64) {
        self.allocate(need);
        self.seqs[at].own += need;
    }

    fn store(&mut self, at: usize, tokens: &[u64]) {
        let key = self.aligned(tokens);
        let (node, found) = self.walk(key);
        let Req { last_node, kept, .. } = self.seqs[at];
        assert!(found >= kept, "what is locked is there");
        let (mut last, twice, new) = (node, found - kept, key.len() - found);
        if new > 0 {
            let key = key[found..].to_vec();
            let last_access = self.clock;
            self.nodes.push(Node { parent: node, key, locks: 0, last_access, gone: false });
            last = self.nodes.len() - 1;
        }
        self.free += (twice / self.block) as u64;
        self.lock(last_node, -1);
        self.lock(last, 1);
        let handed = ((twice + new) / self.block) as u64;
        self.seqs[at] = Req { last_node: last, kept: key.len(), own: self.seqs[at].own - handed };
    }

    fn end(&mut self, at: usize) {
        let Req { last_node, own, .. } = self.seqs.remove(at);
        self.free += own;
        self.lock(last_node, -1);
    }

    fn counts(&self) -> (u64, u64) {
        let idle = self.nodes.iter().skip(1).filter(|node| !node.gone && node.locks == 0);
        let idle: usize = idle.map(|node| node.key.len() / self.block).sum();
        (self.total - self.free - idle as u64, idle as u64)
    }
}
