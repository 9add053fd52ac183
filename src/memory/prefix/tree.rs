//! The nodes of a prefix tree: pages in runs, where they branch, and how often each is stored.

use hashbrown::HashMap;
use smallvec::{SmallVec, smallvec};
use std::hash::{BuildHasherDefault, Hasher};

use super::names::{Cursor, Names, Parts};

/// The node that every path begins with; it has no pages.
pub(super) const ROOT: u32 = 0;

/// One set of blocks that holds the pages of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// Who stored it.
    pub tag: u32,
    /// Sequences that use it.
    pub users: u32,
    /// When the last of them left.
    pub freed: u64,
}

/// Consecutive pages with the same past and the same users.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub parent: u32,
    /// Pages before it.
    pub depth: u32,
    pub pages: u32,
    pub children: u32,
    /// Its number in the table of children.
    key: u64,
    names: Parts,
    /// The oldest first, which is the one that is found; never empty but for the root.
    pub stored: SmallVec<[Stored; 1]>,
    /// When it was last looked up or stored.
    pub used: u64,
}

impl Node {
    /// Pages up to its end.
    pub const fn end(&self) -> u32 {
        self.depth + self.pages
    }
}

/// Numbers that are spread already need no hashing.
#[derive(Clone, Copy, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u32(&mut self, number: u32) {
        self.0 = self.0.rotate_left(31) ^ u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 ^= number;
    }
}

/// A tree of pages.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    vacant: Vec<u32>,
    /// Children by parent and first page; looked up, never gone through.
    children: HashMap<(u32, u64), u32, BuildHasherDefault<Spread>>,
    page: u32,
}

/// A node that a text goes on with, and how far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Match {
    pub node: u32,
    /// Pages that it has in common with the text, at least one.
    pub pages: u32,
}

impl Tree {
    /// A root alone, for pages of `page` tokens.
    pub fn new(page: u32) -> Self {
        let root = Node {
            parent: ROOT,
            depth: 0,
            pages: 0,
            children: 0,
            key: 0,
            names: Parts::new(),
            stored: SmallVec::new(),
            used: 0,
        };
        Self { nodes: vec![root], vacant: Vec::new(), children: HashMap::default(), page }
    }

    pub fn node(&self, id: u32) -> &Node {
        &self.nodes[id as usize]
    }

    pub fn node_mut(&mut self, id: u32) -> &mut Node {
        &mut self.nodes[id as usize]
    }

    /// The child of `id`, which ends `at` the start of the rest of a text, that this goes on with for at
    /// most `most` pages.
    pub fn next_match(&self, id: u32, at: Cursor<'_>, most: u32) -> Option<Match> {
        if most == 0 {
            return None;
        }
        let child = *self.children.get(&(id, at.page(self.page)?))?;
        let common = at.common(Cursor::over(&self.node(child).names)) / self.page;
        // None in common: other names with the same number.
        (common > 0).then(|| Match { node: child, pages: common.min(most) })
    }

    /// Whether a child of `id` has the number of the next page of `at`, though other names.
    pub fn clashes(&self, id: u32, at: Cursor<'_>) -> bool {
        at.page(self.page).is_none_or(|key| self.children.contains_key(&(id, key)))
    }

    /// Adds `pages` pages of `names` below `id`, which ends where they begin.
    pub fn add(&mut self, id: u32, names: &Names, pages: u32, stored: Stored, used: u64) -> u32 {
        let depth = self.node(id).end();
        let at = names.from(depth * self.page);
        let mut label = Parts::new();
        at.copy(pages * self.page, &mut label);
        let key = at.page(self.page).expect("a node has a page");
        let stored = smallvec![stored];
        self.node_mut(id).children += 1;
        self.put(Node { parent: id, depth, pages, children: 0, key, names: label, stored, used })
    }

    /// Adds `pages` pages of `names` at the end of `id`, which has no children.
    pub fn grow(&mut self, id: u32, names: &Names, pages: u32) {
        let page = self.page;
        let node = self.node_mut(id);
        names.from(node.end() * page).copy(pages * page, &mut node.names);
        node.pages += pages;
    }

    /// Drops the last `pages` pages of `id`, which has more, and no children.
    pub fn shrink(&mut self, id: u32, pages: u32) {
        let page = self.page;
        let node = self.node_mut(id);
        node.pages -= pages;
        super::names::truncate(&mut node.names, pages * page);
    }

    /// Parts the first `pages` pages of `id`, which has more, from the rest, which stays `id`.
    pub fn split(&mut self, id: u32, pages: u32) -> u32 {
        let page = self.page;
        let node = self.node(id);
        let all = Cursor::over(&node.names);
        let (mut front, mut back) = (Parts::new(), Parts::new());
        all.copy(pages * page, &mut front);
        let rest = all.behind(pages * page);
        rest.copy((node.pages - pages) * page, &mut back);
        let key = rest.page(page).expect("a page is left");
        let upper = Node { pages, children: 1, names: front, ..node.clone() };
        let upper = self.put(upper);
        let node = self.node_mut(id);
        node.parent = upper;
        node.depth += pages;
        node.pages -= pages;
        (node.names, node.key) = (back, key);
        self.children.insert((upper, key), id);
        upper
    }

    /// Removes `id`, which has no children.
    pub fn remove(&mut self, id: u32) {
        let Node { parent, key, children, .. } = *self.node(id);
        debug_assert!(children == 0, "a page goes before the pages it stands on");
        self.children.remove(&(parent, key));
        self.node_mut(parent).children -= 1;
        self.node_mut(id).pages = 0;
        self.vacant.push(id);
    }

    /// Removes all nodes.
    pub fn clear(&mut self) {
        *self = Self::new(self.page);
    }

    fn put(&mut self, node: Node) -> u32 {
        let link = (node.parent, node.key);
        let id = if let Some(id) = self.vacant.pop() {
            *self.node_mut(id) = node;
            id
        } else {
            self.nodes.push(node);
            self.nodes.len() as u32 - 1
        };
        self.children.insert(link, id);
        id
    }
}
