//! What a prefix cache could save at most: one that holds every block ever seen.
//!
//! A block is a hit if it and all blocks before it in its prompt were in an earlier prompt; a prompt's
//! last block counts as many tokens as it holds. Tokens of answers are hits only where the trace names them.
//! The set of blocks seen is kept as runs, so memory follows how scattered the ids are and not
//! how many blocks there are.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::workload::trace::{Extent, TraceRow};

/// The prefix-hit ceiling of a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PrefixStats {
    /// Tokens of one block.
    pub block_tokens: u32,
    /// Blocks of all prompts.
    pub blocks: u64,
    /// Blocks that differ, those of answers among them.
    pub unique_blocks: u64,
    /// Prompt tokens that an infinite cache would hold already.
    pub hit_tokens: u64,
    /// Those over all prompt tokens.
    pub token_hit_ratio: f64,
    /// Hit blocks over all blocks.
    pub block_hit_ratio: f64,
}

/// Counts hits, request by request.
#[derive(Debug, Default)]
pub(super) struct PrefixCeiling {
    block_tokens: u32,
    seen: Runs,
    blocks: u64,
    hit_blocks: u64,
    hit_tokens: u64,
    prompt_tokens: u64,
}

impl PrefixCeiling {
    pub fn new(block_tokens: u32) -> Self {
        Self { block_tokens, ..Self::default() }
    }

    pub fn add(&mut self, row: &TraceRow) {
        let mut hit_blocks = 0;
        for extent in row.blocks.iter() {
            let held = self.seen.held_from_start(extent);
            hit_blocks += held;
            if held < u64::from(extent.blocks) {
                break;
            }
        }
        for extent in row.blocks.iter() {
            self.seen.insert(extent);
            // A hostile file can claim more blocks than there are ids.
            self.blocks = self.blocks.saturating_add(u64::from(extent.blocks));
        }
        if let Some(first) = row.answer
            && row.output_tokens > 0
            && first.checked_add(row.output_tokens.into()).is_some()
        {
            self.seen.insert(Extent { first, blocks: row.output_tokens });
        }
        let hit_tokens = hit_blocks.saturating_mul(u64::from(self.block_tokens));
        self.hit_blocks = self.hit_blocks.saturating_add(hit_blocks);
        self.hit_tokens += hit_tokens.min(u64::from(row.prompt_tokens));
        self.prompt_tokens += u64::from(row.prompt_tokens);
    }

    pub fn stats(&self) -> PrefixStats {
        let ratio = |part: u64, whole: u64| if whole > 0 { part as f64 / whole as f64 } else { 0.0 };
        PrefixStats {
            block_tokens: self.block_tokens,
            blocks: self.blocks,
            unique_blocks: self.seen.ids,
            hit_tokens: self.hit_tokens,
            token_hit_ratio: ratio(self.hit_tokens, self.prompt_tokens),
            block_hit_ratio: ratio(self.hit_blocks, self.blocks),
        }
    }
}

/// A set of ids as runs that neither touch nor overlap: first id to the end.
#[derive(Debug, Default)]
struct Runs {
    ends: BTreeMap<u64, u64>,
    ids: u64,
}

impl Runs {
    /// How many of the run's ids, from its first on, are in the set without a gap.
    fn held_from_start(&self, run: Extent) -> u64 {
        let ids = run.ids();
        let held = self.ends.range(..=ids.start).next_back().map_or(0, |(_, end)| *end);
        held.min(ids.end).saturating_sub(ids.start)
    }

    fn insert(&mut self, run: Extent) {
        if self.held_from_start(run) == u64::from(run.blocks) {
            return;
        }
        let (mut first, mut end) = (run.ids().start, run.ids().end);
        // Every run that overlaps or touches becomes part of this one.
        while let Some((&other, &other_end)) = self.ends.range(..=end).next_back()
            && other_end >= first
        {
            self.ends.remove(&other);
            self.ids -= other_end - other;
            (first, end) = (first.min(other), end.max(other_end));
        }
        self.ends.insert(first, end);
        self.ids += end - first;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::workload::trace::Extents;

    fn stats(prompts: &[(u32, Vec<u64>)]) -> PrefixStats {
        let mut ceiling = PrefixCeiling::new(16);
        for (prompt_tokens, ids) in prompts {
            let mut blocks = Extents::default();
            for id in ids {
                blocks.push(*id).unwrap();
            }
            ceiling.add(&TraceRow { prompt_tokens: *prompt_tokens, blocks, ..TraceRow::default() });
        }
        ceiling.stats()
    }

    #[test]
    fn only_a_prefix_hits_and_a_last_block_counts_its_tokens() {
        let found = stats(&[(32, vec![0, 1]), (40, vec![0, 1, 2]), (48, vec![5, 1, 2]), (40, vec![0, 1, 2])]);
        // Of the second 32, of the third none for all that 1 and 2 were seen, of the fourth all 40.
        assert_eq!((found.hit_tokens, found.unique_blocks, found.blocks), (72, 4, 11));
        assert_eq!(found.token_hit_ratio, 72.0 / 160.0);
        assert_eq!(found.block_hit_ratio, 5.0 / 11.0);
    }

    proptest! {
        #[test]
        fn runs_count_as_a_set_of_ids_does(
            prompts in proptest::collection::vec(proptest::collection::vec(0..30_u64, 0..12), 0..20),
        ) {
            let (mut seen, mut hits) = (BTreeSet::<u64>::new(), 0);
            for ids in &prompts {
                hits += ids.iter().take_while(|id| seen.contains(*id)).count() as u64;
                seen.extend(ids);
            }
            let prompts: Vec<_> = prompts.iter().map(|ids| (16 * ids.len() as u32, ids.clone())).collect();
            let found = stats(&prompts);
            prop_assert_eq!((found.unique_blocks, found.hit_tokens), (seen.len() as u64, 16 * hits));
        }
    }
}
