//! The step that a client composes and then runs.

use smallvec::SmallVec;

use super::sequence::SeqId;
use crate::runtime::Chunk;

/// Pieces of prompts, and whether the decode set takes part.
#[derive(Clone, Debug, Default)]
pub(super) struct Step {
    pub chunks: SmallVec<[Chunk; 4]>,
    /// Whose chunk it is, position by position.
    pub owners: SmallVec<[SeqId; 4]>,
    pub decodes: bool,
    /// Whether the next step would be composed the same; see `Scheduler::repeat_decodes`.
    pub repeats: bool,
    /// Whether holdings were evicted for it: then who waits may need more or find more room next time.
    pub evicts: bool,
}

impl Step {
    pub fn push(&mut self, owner: SeqId, chunk: Chunk) {
        self.chunks.push(chunk);
        self.owners.push(owner);
    }

    pub fn drop_chunk(&mut self, owner: SeqId) {
        if let Some(at) = self.owners.iter().position(|other| *other == owner) {
            self.chunks.remove(at);
            self.owners.remove(at);
        }
    }

    pub fn chunk_tokens(&self) -> u32 {
        self.chunks.iter().map(|chunk| chunk.tokens).sum()
    }

    pub fn clear(&mut self) {
        self.chunks.clear();
        self.owners.clear();
        self.decodes = false;
        self.repeats = false;
        self.evicts = false;
    }
}
