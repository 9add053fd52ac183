//! The name space of tokens: every token that requests may share has one name in the whole simulation.
//!
//! ```text
//!  63           48 47                                                       0
//! ┌───────────────┬──────────────────────────────────────────────────────────┐
//! │    source     │ recorded: id of the block × tokens of a block + position │
//! │ (its place in │ drawn:  0 │ token of the shared prefixes, part by part   │
//! │ the workload) │         1 │ token of the sessions, one after the other   │
//! └───────────────┴──────────────────────────────────────────────────────────┘
//! ```
//!
//! Sources share nothing: two that replay the same file have names of their own. What nobody shares, such as the
//! prompt of a request that stands alone, has no names at all: see [`Text`].
//!
//! The tokens of a session are named in the order in which they are said, questions and answers, so the whole
//! history is one run. Ids of recorded blocks that are too large for the 48 bits, as raw hashes are, are folded:
//! their remainder counts. Of a million different blocks of 512 tokens with random ids, one pair or so is
//! then taken for the same; ids that count up, as published ones do, are never folded. Names of sessions
//! repeat after 2⁴⁷ tokens.

use super::trace::Extents;
use crate::request::Text;

/// Names for one source.
const ROOM: u64 = 1 << 48;
/// Those of drawn prefixes; the rest is for sessions.
pub(super) const PREFIX_ROOM: u64 = 1 << 47;

/// The names of the tokens of one source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names(u64);

impl Names {
    /// Those of the source at that place in the workload.
    pub const fn of_source(place: u16) -> Self {
        Self(place as u64 * ROOM)
    }

    /// The name of the `at`-th token of all shared prefixes.
    pub const fn prefix(self, at: u64) -> u64 {
        self.0 + at % PREFIX_ROOM
    }

    /// The name of the `at`-th token of all sessions.
    pub const fn session(self, at: u64) -> u64 {
        self.0 + PREFIX_ROOM + at % (ROOM - PREFIX_ROOM)
    }

    /// The name of a recorded token, by the id of its block of one token.
    pub const fn token(self, id: u64) -> u64 {
        self.0 + id % ROOM
    }

    /// The id by which a trace with blocks of one token tells a name.
    pub const fn id(self, name: u64) -> u64 {
        name - self.0
    }

    /// A prompt of `prompt_tokens` that begins with these blocks of `block_tokens` each, the last of which it
    /// may fill in part.
    pub fn blocks(self, blocks: &Extents, block_tokens: u32, prompt_tokens: u32) -> Text {
        let block = u64::from(block_tokens.max(1));
        let ids = ROOM / block;
        let (mut text, mut left) = (Text::default(), u64::from(prompt_tokens));
        for extent in blocks.iter() {
            let (mut first, mut blocks) = (extent.first % ids, u64::from(extent.blocks));
            while blocks > 0 && left > 0 {
                let run = blocks.min(ids - first);
                let tokens = run.saturating_mul(block).min(left);
                text.push(self.0 + first * block, tokens as u32);
                left -= tokens;
                blocks -= run;
                first = 0;
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Run;

    fn blocks(runs: &[(u64, u32)]) -> Extents {
        let mut blocks = Extents::default();
        for &(first, run) in runs {
            blocks.push_run(first, run).unwrap();
        }
        blocks
    }

    #[test]
    fn the_last_block_is_cut_where_the_prompt_ends() {
        let names = Names::of_source(0);
        let text = names.blocks(&blocks(&[(46, 2), (2353, 1)]), 512, 1400);
        let expected = [Run { first: 46 * 512, tokens: 1024 }, Run { first: 2353 * 512, tokens: 376 }];
        assert_eq!(text.runs(), expected);
        // A prompt longer than its blocks ends in tokens without names.
        assert_eq!(names.blocks(&blocks(&[(3, 1)]), 512, 1400).tokens(), 512);
    }

    #[test]
    fn raw_hashes_are_folded_and_runs_of_them_stay_runs() {
        let names = Names::of_source(1);
        let ids = ROOM / 16;
        let text = names.blocks(&blocks(&[(5 * ids - 1, 2)]), 16, 32);
        let expected = [Run { first: ROOM + (ids - 1) * 16, tokens: 16 }, Run { first: ROOM, tokens: 16 }];
        assert_eq!(text.runs(), expected);
    }

    #[test]
    fn sources_and_kinds_have_names_apart() {
        let [first, second] = [0, u16::MAX].map(Names::of_source);
        assert!(first.prefix(PREFIX_ROOM - 1) < first.session(0));
        assert!(first.session(PREFIX_ROOM - 1) < Names::of_source(1).prefix(0));
        assert_eq!(second.session(PREFIX_ROOM - 1), u64::MAX);
        assert_eq!(second.token(second.id(second.session(7))), second.session(7));
    }
}
