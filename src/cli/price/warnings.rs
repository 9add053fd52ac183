//! What keeps a server from running a step that has a price all the same.

use crate::clients::llm::sizing::{Limits, sizing};
use crate::memory::SizingError;
use crate::output::figures::{figure, thousands};
use crate::runtime::{Chunk, Target};

/// Fraction of memory that servers fill unless told otherwise, and tokens in a KV block.
const USUAL: (f64, u32) = (0.9, 16);

/// What keeps a server from running the step: memory, and the context of the model.
pub(super) fn warnings(target: &Target<'_>, prefill: &[Chunk], decodes: &[(u32, u32)]) -> Vec<String> {
    let mut warnings = Vec::new();
    let (utilization, block_size) = USUAL;
    let prompts = prefill.iter().map(|chunk| (1, chunk.context.saturating_add(chunk.tokens), chunk.tokens));
    let sequences: Vec<(u32, u32, u32)> =
        prompts.chain(decodes.iter().map(|(count, each)| (*count, *each, 1))).collect();
    let model = target.model;
    let longest = sequences.iter().map(|(_, tokens, _)| *tokens).max().unwrap_or(0);
    if longest > model.max_context {
        let (longest, most) = (thousands(longest.into()), thousands(model.max_context.into()));
        warnings.push(format!("{longest} tokens are more than the {most} of {}'s context", model.name));
    }
    let sum = |of: &dyn Fn(&(u32, u32, u32)) -> u64| {
        u32::try_from(sequences.iter().map(of).sum::<u64>()).unwrap_or(u32::MAX)
    };
    let max_num_seqs = sum(&|(count, ..)| u64::from(*count));
    let limits = Limits { utilization, max_num_seqs, block_size, in_full: false };
    let tokens = sum(&|(count, _, computed)| u64::from(*count) * u64::from(*computed));
    let sizing = sizing(&Target { max_step_tokens: tokens, ..*target }, &limits);
    match sizing.capacity() {
        Err(SizingError::DoesNotFit(why)) => warnings.push(why.to_string()),
        // An encoder keeps no KV.
        Err(SizingError::Invalid(_)) => {}
        Ok(room) => {
            let blocks = |(count, tokens, computed): &(u32, u32, u32)| {
                u64::from(*count) * room.groups.most(*tokens, Some(*computed), block_size)
            };
            let needed: u64 = sequences.iter().map(blocks).sum();
            let there = room.of_one_copy();
            if needed > there {
                let gib = |blocks: u64| figure(blocks as f64 * room.block_bytes / crate::units::GIB);
                warnings.push(format!(
                    "the KV of these sequences takes {} GiB on each device, and beside weights and activations there \
                     are {} GiB in nine tenths of its memory",
                    gib(needed),
                    gib(there)
                ));
            }
        }
    }
    warnings
}
