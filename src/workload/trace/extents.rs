//! Which blocks a prompt consists of, as runs of ids.
//!
//! Published traces name every block of a prompt by the hash of all tokens up to its end, numbered in
//! order of first appearance, so a prompt is a few runs of consecutive ids. A run is kept as its
//! first id and its length, and is never expanded: a prompt of 126,195 tokens is 247 blocks in
//! Mooncake's trace and one to three runs here. Ids that are no runs (raw hashes) cost 16 bytes each.

use std::fmt;
use std::ops::Range;

use serde::de::{Error, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

use super::BadRow;

/// A run of blocks with consecutive ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// Id of the first block.
    pub first: u64,
    /// How many blocks, at least 1.
    pub blocks: u32,
}

impl Extent {
    /// The ids; the end never overflows.
    pub const fn ids(self) -> Range<u64> {
        self.first..self.first + self.blocks as u64
    }
}

/// The blocks of a prompt from its start, as runs; no run continues the one before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Extents(SmallVec<[Extent; 4]>);

impl Extents {
    /// Appends one block; `None` for the one id that has no successor.
    pub fn push(&mut self, id: u64) -> Option<()> {
        self.push_run(id, 1)
    }

    /// Appends a run of `blocks` blocks, at least 1; `None` if its ids pass 2⁶⁴ − 1.
    pub fn push_run(&mut self, first: u64, blocks: u32) -> Option<()> {
        first.checked_add(u64::from(blocks))?;
        if let Some(last) = self.0.last_mut()
            && last.ids().end == first
            && let Some(joined) = last.blocks.checked_add(blocks)
        {
            last.blocks = joined;
        } else {
            self.0.push(Extent { first, blocks });
        }
        Some(())
    }

    /// The runs in the order of the prompt.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Extent> + '_ {
        self.0.iter().copied()
    }

    /// How many blocks there are.
    pub fn blocks(&self) -> u64 {
        self.iter().map(|extent| u64::from(extent.blocks)).sum()
    }

    /// Whether no block is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets all blocks.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// As `[[first, blocks], …]`.
impl Serialize for Extents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut runs = serializer.serialize_seq(Some(self.0.len()))?;
        for Extent { first, blocks } in self.iter() {
            runs.serialize_element(&(first, blocks))?;
        }
        runs.end()
    }
}

/// From `[[first, blocks], …]`.
impl<'de> Deserialize<'de> for Extents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Runs;
        impl<'de> Visitor<'de> for Runs {
            type Value = Extents;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("runs of blocks, [[first id, number of blocks], …]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut runs: A) -> Result<Extents, A::Error> {
                let mut extents = Extents::default();
                while let Some((first, blocks)) = runs.next_element()? {
                    if blocks == 0 {
                        return Err(A::Error::custom("a run has 1 block or more, found 0"));
                    }
                    extents.push_run(first, blocks).ok_or_else(|| too_large(first))?;
                }
                Ok(extents)
            }
        }
        deserializer.deserialize_seq(Runs)
    }
}

/// The blocks of a prompt one id each, as foreign traces list them: `[46, 47, 48, 2353]`.
#[derive(Clone, Debug, Default)]
pub(super) struct HashIds(pub Extents);

impl<'de> Deserialize<'de> for HashIds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ids;
        impl<'de> Visitor<'de> for Ids {
            type Value = HashIds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of block ids")
            }

            fn visit_unit<E: Error>(self) -> Result<HashIds, E> {
                Ok(HashIds::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut ids: A) -> Result<HashIds, A::Error> {
                let mut extents = Extents::default();
                while let Some(id) = ids.next_element()? {
                    extents.push(id).ok_or_else(|| too_large(id))?;
                }
                Ok(HashIds(extents))
            }
        }
        deserializer.deserialize_any(Ids)
    }
}

impl HashIds {
    /// The blocks of a prompt of so many tokens, `block_tokens` each. Some recorders name the block that the end
    /// of a prompt fills in part, others whole blocks alone; no ids at all are none recorded.
    ///
    /// # Errors
    /// There are more or fewer: blocks are of another size, or ids are missing.
    pub fn of_prompt(self, tokens: u32, block_tokens: u32) -> Result<Extents, BadRow> {
        let (found, size) = (self.0.blocks(), block_tokens.max(1));
        let (whole, all) = (u64::from(tokens / size), u64::from(tokens.div_ceil(size)));
        if found == 0 || (whole..=all).contains(&found) {
            return Ok(self.0);
        }
        let asked = if whole == all { format!("{all}") } else { format!("{whole} or {all}") };
        Err(BadRow::new(format!(
            "{found} `hash_ids` for an `input_length` of {tokens}: blocks of {size} tokens, as `block_tokens` says, \
             make it {asked}"
        )))
    }
}

fn too_large<E: Error>(first: u64) -> E {
    E::custom(format_args!("block ids from {first} on pass the largest, 18446744073709551614"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids(text: &str) -> Result<Extents, serde_json::Error> {
        serde_json::from_str::<HashIds>(text).map(|ids| ids.0)
    }

    #[test]
    fn consecutive_ids_are_one_run() {
        let extents = ids("[0, 1, 2, 46, 47, 3]").unwrap();
        assert_eq!(serde_json::to_string(&extents).unwrap(), "[[0,3],[46,2],[3,1]]");
        assert_eq!(extents.blocks(), 6);
        assert!(ids("null").unwrap().is_empty());
    }

    #[test]
    fn runs_are_joined_and_bounded() {
        let runs = |text| serde_json::from_str::<Extents>(text);
        assert_eq!(runs("[[0,2],[2,3]]").unwrap(), runs("[[0,5]]").unwrap());
        assert_eq!(runs("[[0,4294967295],[4294967295,1]]").unwrap().blocks(), 1 << 32);
        assert!(runs("[[0,0]]").unwrap_err().to_string().contains("1 block or more"));
        assert!(runs("[[18446744073709551615,1]]").unwrap_err().to_string().contains("largest"));
        assert!(ids("[18446744073709551615]").is_err() && ids("[-1]").is_err() && ids("[1.5]").is_err());
    }

    proptest! {
        #[test]
        fn no_block_is_lost_or_added(list in proptest::collection::vec(0..12_u64, 0..60)) {
            let text = format!("{list:?}");
            let extents = ids(&text).unwrap();
            let expanded: Vec<u64> = extents.iter().flat_map(Extent::ids).collect();
            prop_assert_eq!(&expanded, &list);
            let again: Extents = serde_json::from_str(&serde_json::to_string(&extents).unwrap()).unwrap();
            prop_assert_eq!(again, extents);
        }
    }
}
