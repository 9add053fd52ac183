//! Layers with a window: against a naive vLLM V1 with groups of layers, and the laws under all policies.

use super::naive::Engine;
use super::policies::{BATCHING, PACKING, agree};
use super::*;
use crate::clients::llm::batching::Blocks;

/// Cases for models with and without windowed layers; every request fits the client alone.
pub(super) fn cases() -> impl Strategy<Value = (Case, KvGroups)> {
    let groups = (0_u32..3, 0_u32..4, 1_u32..40)
        .prop_map(|(full, windowed, window)| KvGroups::of(full + u32::from(windowed == 0), windowed, window));
    (super::cases(), groups).prop_map(|(case, groups)| {
        let blocks = case.blocks * u64::from(groups.count());
        (Case { blocks, ..case }, groups)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn chunked_agrees_with_a_naive_vllm_v1_with_windows((case, groups) in cases()) {
        let policy =
            Chunked { max_num_batched_tokens: case.budget, reserve: Blocks::Chunk, ..Chunked::default() };
        let memory = Memory { groups, ..Memory::PLAIN };
        let ours = run_in(&case, Box::new(policy), Box::new(Fcfs {}), true, memory);
        agree(&ours, Engine::v1_by_pieces(&case, 0).grouped(groups))?;
    }

    #[test]
    fn strides_change_nothing_with_windows(
        (case, groups) in cases(), batching in 0..BATCHING.len(), packing in 0..PACKING.len()
    ) {
        let memory = Memory { groups, ..Memory::PLAIN };
        let run = |strides| run_in(&case, BATCHING[batching].1(&case), PACKING[packing](), strides, memory);
        let (on, off) = (run(true), run(false));
        prop_assert_eq!(&on.times, &off.times, "{}", BATCHING[batching].0);
        prop_assert_eq!(format!("{:?}", on.usage), format!("{:?}", off.usage));
    }
}

#[test]
fn a_window_bounds_what_a_sequence_holds() {
    // 1,000 tokens in blocks of 10; a window of 50 spans six blocks at most.
    let case = Case { blocks: 200, block_size: 10, max_num_seqs: 8, budget: 20, jobs: vec![(0, 500, 501)] };
    let peak = |groups| {
        let policy = Chunked { max_num_batched_tokens: 20, ..Chunked::default() };
        let memory = Memory { groups, ..Memory::PLAIN };
        run_in(&case, Box::new(policy), Box::new(Fcfs {}), true, memory).usage.kv_blocks_peak
    };
    assert_eq!(peak(KvGroups::ONE), 100);
    assert!(peak(KvGroups::of(0, 32, 50)) <= 8, "a chunk of 20 beside the window");
    let mixed = peak(KvGroups::of(10, 10, 50));
    assert!((105..=106).contains(&mixed), "{mixed}");
}
