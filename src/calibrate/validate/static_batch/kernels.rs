//! What TensorRT-LLM 0.9 runs otherwise than the engines whose kernels the tables hold. Which kernel runs when, and
//! over how many thread blocks, is read from the engine's sources of about that version (`decoderXQARunner`,
//! `allReducePlugin`, `customAllReduceKernels`); how long they take is fitted, never on what is judged.
//!
//! # Attention of a token
//! Eight query heads of size 128 or 256 a KV head share a block of XQA, if there are at least a quarter as many blocks
//! as multiprocessors; those are priced as the tables' kernels, which share keys alike. All others, groups of other
//! sizes and heads on their own, go through masked multi-head attention: a block for each query head of each sequence,
//! which walks its keys one after another and is not split (`multi_block_mode` is off). Of B blocks on P
//! multiprocessors of clock f, D numbers of keys and values each, and with N bytes of KV in all, read at bandwidth W:
//!
//! ```text
//! t = b·B/(P·f) + max( w·⌈B/P⌉·D/f , e·N/W )
//! ```
//! b are cycles of a block beside its keys, w those of a number of a key or a value, e how much longer memory takes
//! than its data sheet says. The heads of a group find the KV that one of them read in the cache: they walk, but do not
//! stream.
//!
//! # All-reduce
//! One shot, every rank reads all of the others, with less than 500 KB (four ranks 1 MB, two up to 16 MB); two shots,
//! every rank reduces a part and reads the others' sums, up to 8 MB; NCCL beyond. The kernels have 24 blocks at most,
//! and those of two shots share a rank's part evenly: where the only way to do so is a block or two, as with
//! Falcon-180B's 2⁹·29 numbers a token at 128 sequences, those do all of the work.

use crate::runtime::Target;

/// Boost clocks (GHz), makers' data sheets.
const CLOCKS: [(&str, f64); 4] =
    [("A100-80GB-SXM4", 1.41), ("H100-SXM5-80GB", 1.98), ("H200-SXM-141GB", 1.98), ("L40S", 2.52)];

/// The clock of a device (GHz).
pub(super) fn clock(gpu: &str) -> Option<f64> {
    CLOCKS.iter().find(|(name, _)| *name == gpu).map(|(_, ghz)| *ghz)
}

/// All layers of masked multi-head attention of a decode step.
#[derive(Clone, Copy, Default)]
pub(super) struct Masked {
    /// At one cycle for each number that the blocks walk one after another (ms).
    pub walk: f64,
    /// At the data sheet's bandwidth (ms).
    pub stream: f64,
    /// At a thousand cycles a block beside its keys (ms).
    pub blocks: f64,
}

/// What `batch` sequences of `context` tokens take of masked multi-head attention; `None` if XQA attends.
pub(super) fn masked(
    target: &Target<'_>,
    multiprocessors: f64,
    ghz: f64,
    batch: f64,
    context: f64,
) -> Option<Masked> {
    let attention = &target.model.attention;
    let ranks = f64::from(target.tensor_parallel);
    let (heads, head_dim) = (f64::from(attention.heads) / ranks, f64::from(attention.head_dim));
    let kv_heads = (f64::from(attention.kv_heads) / ranks).max(1.0);
    let eight = attention.heads == 8 * attention.kv_heads && [128, 256].contains(&attention.head_dim);
    if eight && 4.0 * batch * kv_heads >= multiprocessors {
        return None;
    }
    let layers = f64::from(target.model.layers);
    let (blocks, numbers) = (batch * heads, 2.0 * head_dim * context);
    let bytes = batch * kv_heads * numbers * target.kv_cache.bytes();
    let cycle = 1e3 * layers / (ghz * 1e9);
    Some(Masked {
        walk: cycle * (blocks / multiprocessors).ceil() * numbers,
        stream: 1e3 * layers * bytes / target.accelerator.memory_bandwidth(),
        blocks: cycle * 1e3 * blocks / multiprocessors,
    })
}

/// Most blocks of an all-reduce, and threads of a block.
const BLOCKS: u64 = 24;
const THREADS: u64 = 1024;
/// Bytes of a thread.
const VECTOR: u64 = 16;

/// Bytes that a block of the engine's own all-reduce of `bytes` reads; none of NCCL's.
pub(super) fn block_bytes(bytes: u64, ranks: u64) -> f64 {
    let (one_shot, most) = match ranks {
        ..=2 => (16_000_000, 16_000_000),
        3..=4 => (1_000_000, 8_000_000),
        _ => (500_000, 8_000_000),
    };
    if ranks < 2 || bytes > most {
        return 0.0;
    }
    if ranks == 2 || bytes < one_shot {
        let blocks = (bytes.div_ceil(VECTOR * THREADS)).clamp(1, BLOCKS);
        return (ranks * bytes) as f64 / blocks as f64;
    }
    let threads = (bytes / ranks / VECTOR).next_multiple_of(32);
    let even = |blocks: &u64| threads.is_multiple_of(*blocks) && threads / blocks <= THREADS;
    let wanted = (1..=threads).find(even).unwrap_or(threads);
    let rounds = (1..=wanted).find(|rounds| wanted.is_multiple_of(*rounds) && wanted / rounds <= BLOCKS);
    (2 * bytes) as f64 / (wanted / rounds.unwrap_or(wanted)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, Precision};

    #[test]
    fn two_shots_share_a_part_evenly_or_a_block_does_it_all() {
        // Numbers a token of Falcon-180B and of Llama-2-70B, in 16 bit.
        let (falcon, llama) = (2 * 14_848, 2 * 8192);
        assert_eq!(block_bytes(64 * falcon, 8), 2.0 * 64.0 * falcon as f64 / 16.0);
        assert_eq!(block_bytes(128 * falcon, 8), 2.0 * 128.0 * falcon as f64);
        assert_eq!(block_bytes(256 * falcon, 8), 256.0 * falcon as f64);
        assert_eq!(block_bytes(512 * falcon, 8), 0.0);
        assert_eq!(block_bytes(128 * llama, 8), 2.0 * 128.0 * llama as f64 / 16.0);
        // One shot.
        assert_eq!(block_bytes(llama, 8), 8.0 * llama as f64);
        assert_eq!(block_bytes(512 * llama, 2), 2.0 * 512.0 * llama as f64 / 24.0);
        assert_eq!(block_bytes(llama, 1), 0.0);
    }

    #[test]
    fn eight_heads_a_kv_head_share_a_block_once_there_are_blocks_enough() {
        let catalog = Catalog::embedded();
        let on = |model: &str, tensor_parallel, batch: f64| {
            let (model, device) =
                (catalog.model(model).unwrap(), catalog.accelerator("A100-80GB-SXM4").unwrap());
            let target = Target { tensor_parallel, kv_cache: Precision::Fp8, ..Target::new(model, device) };
            masked(&target, 108.0, 1.41, batch, 1000.0)
        };
        assert!(on("Llama-2-70B", 8, 26.0).is_some());
        assert!(on("Llama-2-70B", 8, 27.0).is_none());
        assert!(on("Llama-2-70B", 2, 7.0).is_none());
        for model in ["Llama-2-7B", "GPT-J", "Falcon-180B"] {
            assert!(on(model, 1, 512.0).is_some());
        }
        // Groups walk for every head, and stream once.
        let (falcon, group) = (on("Falcon-180B", 8, 108.0).unwrap(), 29.0);
        assert_eq!(falcon.walk, 1e3 * 80.0 * group * 2.0 * 64.0 * 1000.0 / 1.41e9);
        assert_eq!(falcon.stream, 1e3 * 80.0 * 108.0 * 2.0 * 64.0 * 1000.0 / 2.039e12);
    }
}
