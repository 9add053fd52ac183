//! Preemption by swap: against a naive vLLM v0 that swaps, and its laws under all policies.

use super::naive::Engine;
use super::policies::{BATCHING, PACKING, agree};
use super::*;

fn hosts() -> impl Strategy<Value = HostKv> {
    (0_u64..80, 0.0..40e-6).prop_map(|(blocks, seconds_per_block)| HostKv { blocks, seconds_per_block })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn continuous_agrees_with_a_naive_vllm_v0_that_swaps(case in cases(), host in hosts()) {
        let policy = Continuous { max_num_batched_tokens: 64, watermark: 0.05 };
        let memory = Memory { host: Some(host), ..Memory::PLAIN };
        let ours = run_in(&case, Box::new(policy), Box::new(Fcfs {}), true, memory);
        agree(&ours, Engine::v0_swapping(&case, 64, 0.05, Some(host)))?;
    }

    /// Whatever the policies: all is served, strides change nothing, what is swapped is not computed again, and
    /// a host without blocks is none.
    #[test]
    fn swapping_keeps_the_laws(
        (case, groups) in super::windows::cases(), host in hosts(), batching in 0..BATCHING.len(), packing in 0..PACKING.len()
    ) {
        let run = |strides, host| {
            let memory = Memory { host, groups };
            run_in(&case, BATCHING[batching].1(&case), PACKING[packing](), strides, memory)
        };
        let (on, off) = (run(true, Some(host)), run(false, Some(host)));
        prop_assert_eq!(&on.times, &off.times, "{}", BATCHING[batching].0);
        prop_assert_eq!(format!("{:?}", on.gaps.statistics()), format!("{:?}", off.gaps.statistics()));
        prop_assert_eq!(format!("{:?}", on.usage), format!("{:?}", off.usage));
        prop_assert_eq!(&on.preemptions, &off.preemptions);
        for ((first, end), job) in on.times.iter().zip(&case.jobs) {
            prop_assert!(job.0 < *first && first <= end && (first == end) == (job.2 == 1));
        }
        let tally = on.usage.swapped.unwrap_or_default();
        if tally.preemptions == on.usage.preemptions {
            let prompts: u64 = case.jobs.iter().map(|job| u64::from(job.1)).sum();
            let decodes: u64 = case.jobs.iter().map(|job| u64::from(job.2) - 1).sum();
            prop_assert_eq!((on.usage.prefill_tokens, on.usage.decode_tokens), (prompts, decodes));
        }
        let (none, empty) = (run(true, None), run(true, Some(HostKv { blocks: 0, ..host })));
        prop_assert_eq!(none.times, empty.times);
    }
}

#[test]
fn who_is_swapped_out_goes_on_where_it_stopped() {
    // Two sequences grow to 40 tokens each; six blocks of ten hold one and a half.
    let case =
        Case { blocks: 6, block_size: 10, max_num_seqs: 8, budget: 64, jobs: vec![(0, 20, 21), (0, 20, 21)] };
    let run = |blocks| {
        let policy = Chunked { max_num_batched_tokens: 64, ..Chunked::default() };
        let host = HostKv { blocks, seconds_per_block: 1e-3 };
        run_in(&case, Box::new(policy), Box::new(Fcfs {}), true, Memory { host: Some(host), ..Memory::PLAIN })
    };
    let ours = run(4);
    assert_eq!(ours.preemptions, [0, 1]);
    assert_eq!((ours.usage.prefill_tokens, ours.usage.decode_tokens), (40, 40), "nothing is computed twice");
    // With 30 tokens stored.
    let swapped = SwapTally { preemptions: 1, found_full: 0, blocks_out: 3, blocks_in: 3 };
    assert_eq!(ours.usage.swapped, Some(swapped));
    assert!(ours.usage.busy[Bound::Host as usize] >= crate::units::SimSpan::from_ns(6_000_000));
    let full = run(3);
    let tally = SwapTally { found_full: 1, ..SwapTally::default() };
    assert_eq!(full.usage.swapped, Some(tally), "the host must have room to grow, too");
    assert_eq!((full.preemptions, full.usage.prefill_tokens), (vec![0, 1], 40 + 20 + 11));
}
