//! The prefix cache of a client: what sequences find in it, and what they leave.
//!
//! A sequence that is admitted pins what is there of its prompt, up to all but one token, and computes the
//! rest. What it computes joins the cache, with vLLM as soon as it is scheduled, with `SGLang` when it is
//! computed; what it generated does so when it ends, with vLLM also when it is preempted. Then its blocks are
//! idle: free, yet found by others until they are taken for something else. A preempted sequence looks again,
//! and finds what of its own KV is still there.
//!
//! What is kept of a sequence as a holding stays in use until that is released or evicted. Sequences that go on
//! with a holding, or whose KV was sent here, have nothing to do with the cache. Fetched KV counts as computed;
//! of that and the cache, what goes further is used.

use super::Scheduler;
use crate::clients::llm::sequence::{SeqId, Sequence};
use crate::memory::prefix::{Found, Names, Pin, PrefixCache, PrefixCaching, PrefixTally};
use crate::request::Text;

/// The prefix cache of a scheduler, and what its sequences are called in it.
#[derive(Clone, Debug)]
pub(super) struct Prefixes {
    cache: PrefixCache,
    /// By the number of the sequence.
    entries: Vec<Option<Entry>>,
    /// Names given to tokens that are nobody else's.
    own: u64,
    tally: PrefixTally,
}

/// Why a sequence leaves the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaves {
    /// It is done.
    Done,
    /// It gives way to others.
    Preempted,
}

#[derive(Clone, Debug)]
struct Entry {
    names: Names,
    /// While it runs.
    pin: Option<Pin>,
    /// Tokens found at its first admission.
    found: u32,
}

impl Prefixes {
    pub const fn cache(&self) -> &PrefixCache {
        &self.cache
    }

    pub const fn cache_mut(&mut self) -> &mut PrefixCache {
        &mut self.cache
    }

    fn entry(&self, id: SeqId) -> Option<&Entry> {
        self.entries.get(id.0 as usize)?.as_ref()
    }

    fn entry_mut(&mut self, id: SeqId) -> Option<&mut Entry> {
        self.entries.get_mut(id.0 as usize)?.as_mut()
    }

    fn find(&self, id: SeqId, tokens: u32) -> Found {
        self.entry(id).map_or_else(Found::default, |entry| self.cache.find(&entry.names, tokens))
    }
}

impl Scheduler {
    /// The same, which keeps KV for later prompts that begin alike. To be called before anything is enqueued.
    #[must_use]
    pub fn with_prefix_caching(mut self, caching: PrefixCaching) -> Self {
        let cache = PrefixCache::new(caching, self.kv.block_size());
        self.prefixes = cache.map(|cache| {
            let tally = PrefixTally::default();
            Box::new(Prefixes { cache, entries: Vec::new(), own: 0, tally })
        });
        self
    }

    /// Whether KV is kept for later prompts.
    pub const fn caches_prefixes(&self) -> bool {
        self.prefixes.is_some()
    }

    /// What came of it so far; none without.
    pub fn prefix_tally(&self) -> Option<PrefixTally> {
        self.prefixes.as_ref().map(|prefixes| prefixes.tally)
    }

    pub(super) fn count_prefixes_on(&mut self, before: &Self) {
        if let (Some(prefixes), Some(before)) = (&mut self.prefixes, &before.prefixes) {
            prefixes.tally = before.tally;
        }
    }

    /// Blocks of the cache that sequences use.
    pub(super) fn prefixes_in_use(&self) -> u64 {
        self.prefixes.as_ref().map_or(0, |prefixes| prefixes.cache.in_use())
    }

    /// Blocks of a sequence that are in the cache, if it has to do with it and runs.
    pub(super) fn in_cache(&self, id: SeqId) -> Option<u32> {
        self.prefixes.as_ref()?.entry(id)?.pin.as_ref().map(Pin::blocks)
    }

    /// Free blocks that strides may take. Where evictions matter to who waits, only those outside the cache:
    /// `Radix` evicts more than is taken, so that there may be room afterwards, and keys may depend on what is
    /// there. Otherwise whoever finds no room finds none after an eviction: it needs as many more as it finds
    /// less.
    pub(super) fn free_for_strides(&self) -> u64 {
        let matters = |prefixes: &&Prefixes| {
            self.waiting.has_keys() || prefixes.cache.is_radix() && !self.waiting.is_empty()
        };
        let cached = self.prefixes.as_deref().filter(matters);
        self.kv.free() - cached.map_or(0, |prefixes| prefixes.cache.idle())
    }

    /// A sequence comes that looks for its prompt in the cache, which consists of `text` as far as that is known.
    pub(super) fn name_tokens(&mut self, id: SeqId, text: Option<&Text>) {
        let Some(prefixes) = &mut self.prefixes else { return };
        let Sequence { prompt, output, base, .. } = self.seqs[id.0 as usize];
        if base.is_some() {
            return;
        }
        let at = id.0 as usize;
        prefixes.entries.resize(prefixes.entries.len().max(at + 1), None);
        let names = Names::new(text, prompt, output, &mut prefixes.own);
        prefixes.entries[at] = Some(Entry { names, pin: None, found: 0 });
    }

    /// A sequence is gone: the tokens that it found when it was first admitted.
    pub(super) fn unname_tokens(&mut self, id: SeqId) -> u32 {
        let entry =
            self.prefixes.as_mut().and_then(|prefixes| prefixes.entries.get_mut(id.0 as usize)?.take());
        entry.map_or(0, |entry| entry.found)
    }

    /// What is in the cache of a waiting sequence; the last token is computed in any case.
    pub(super) fn found(&self, id: SeqId) -> Found {
        let find = |prefixes: &Prefixes| prefixes.find(id, self.seq(id).goal - 1);
        self.prefixes.as_deref().map_or_else(Found::default, find)
    }

    /// Makes sure that what a waiting sequence needs is there before any of it is taken: the blocks that
    /// [`compute`](Self::compute) will take, and the idle ones that it finds.
    pub(super) fn has_room(&mut self, id: SeqId, tokens: u32, hold: u32, spare: u64) -> bool {
        if self.prefixes.as_ref().is_none_or(|prefixes| prefixes.entry(id).is_none()) {
            return true; // `compute` will see
        }
        let (computed, _) = self.head_start(id);
        loop {
            let Found { blocks, idle } = self.found(id);
            let own = self.kv.blocks_for((computed + tokens).max(hold)).saturating_sub(blocks);
            let need = u64::from(own) + u64::from(idle) + spare;
            // What is found may be idle only after a holding is evicted.
            if need <= self.kv.free() || !self.reclaim(need) {
                return need <= self.kv.free();
            }
        }
    }

    /// A sequence that is admitted uses what is there of it: the blocks.
    pub(super) fn pin_prefix(&mut self, id: SeqId) -> u32 {
        let found = self.found(id);
        let Sequence { goal, admission, .. } = *self.seq(id);
        let Some(prefixes) = &mut self.prefixes else { return 0 };
        let Prefixes { cache, entries, tally, .. } = &mut **prefixes;
        let Some(Some(entry)) = entries.get_mut(id.0 as usize) else { return 0 };
        let took = self.kv.take(found.idle.into());
        debug_assert!(took, "idle blocks are free");
        let pin = cache.pin(&entry.names, goal - 1);
        debug_assert_eq!(pin.blocks(), found.blocks);
        entry.pin = Some(pin);
        if admission == 0 {
            entry.found = found.blocks * self.kv.block_size();
            tally.count(goal, entry.found);
        }
        found.blocks
    }

    /// What is scheduled is found at once with vLLM.
    pub(super) fn store_scheduled(&mut self, id: SeqId, tokens: u32) {
        if self.prefixes.as_ref().is_some_and(|prefixes| !prefixes.cache.is_radix()) {
            self.store_prefix(id, tokens);
        }
    }

    /// What is computed is found only then with `SGLang`.
    pub(super) fn store_computed(&mut self, id: SeqId, tokens: u32) {
        if self.prefixes.as_ref().is_some_and(|prefixes| prefixes.cache.is_radix()) {
            self.store_prefix(id, tokens);
        }
    }

    /// The first `tokens` tokens of a running sequence join the cache. Blocks that it now shares are no longer
    /// its own, and free.
    fn store_prefix(&mut self, id: SeqId, tokens: u32) {
        self.evict_prefixes();
        let Some(prefixes) = &mut self.prefixes else { return };
        let Prefixes { cache, entries, .. } = &mut **prefixes;
        let Some(Some(Entry { names, pin: Some(pin), .. })) = entries.get_mut(id.0 as usize) else { return };
        let shared = cache.store(pin, names, tokens);
        let seq = &mut self.seqs[id.0 as usize];
        seq.blocks -= shared.blocks;
        seq.shared += shared.blocks;
        self.kv.give_back(u64::from(shared.blocks - shared.idle));
    }

    /// A sequence that is done leaves in the cache what it computed, and goes on using that: what it uses of it.
    pub(super) fn keep_prefix(&mut self, id: SeqId) -> Option<Pin> {
        self.evict_prefixes();
        self.store_prefix(id, self.seq(id).computed);
        self.prefixes.as_mut()?.entry_mut(id)?.pin.take()
    }

    /// A sequence leaves in the cache what it computed. What remains as its own are the blocks that nobody uses any
    /// more.
    pub(super) fn leave_prefix(&mut self, id: SeqId, why: Leaves) {
        self.evict_prefixes();
        let Some(prefixes) = &self.prefixes else { return };
        if why == Leaves::Done || !prefixes.cache.is_radix() {
            self.store_prefix(id, self.seq(id).computed);
        }
        let Some(prefixes) = &mut self.prefixes else { return };
        let Some(pin) = prefixes.entry_mut(id).and_then(|entry| entry.pin.take()) else { return };
        let idle = prefixes.cache.unpin(&pin);
        let seq = self.seq_mut(id);
        (seq.blocks, seq.shared) = (seq.shared + seq.blocks - pin.blocks() + idle, 0);
    }

    /// Blocks that were taken are no longer those of the cache. To be called before any are given back or
    /// looked up.
    pub(super) fn evict_prefixes(&mut self) {
        if let Some(prefixes) = &mut self.prefixes {
            let matters = prefixes.cache.is_radix() || self.waiting.has_keys();
            self.step.evicts |= prefixes.cache.evict(self.kv.free()) && matters;
            prefixes.tally.evicted_blocks += prefixes.cache.take_evicted();
        }
    }

    /// Nothing of the cache is left, while no sequence is here.
    pub(super) fn lose_prefixes(&mut self) {
        if let Some(prefixes) = &mut self.prefixes {
            prefixes.cache.clear();
        }
    }
}
