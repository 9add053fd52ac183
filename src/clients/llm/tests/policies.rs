//! Every batching policy with every order of the queue, against naive references where there are any.

use std::num::NonZeroU32;

use super::naive::{Engine, Kind};
use super::naive_sglang::Server;
use super::*;

pub(super) type Make = fn(&Case) -> Box<dyn BatchingPolicy>;

/// The batching policies, with limits that random cases reach.
pub(super) const BATCHING: [(&str, Make); 10] = [
    ("Chunked", |case| Box::new(chunked(case, 0))),
    ("Chunked, threshold", |case| Box::new(chunked(case, 3))),
    ("Chunked, by pieces", |case| Box::new(Chunked { reserve: Blocks::Chunk, ..chunked(case, 0) })),
    ("Chunked, whole prompts", |case| {
        Box::new(Chunked { reserve: Blocks::Prompt, watermark: 0.05, ..chunked(case, 7) })
    }),
    ("Continuous", |_| Box::new(Continuous { max_num_batched_tokens: 64, watermark: 0.05 })),
    ("Static", |_| Box::new(Static { max_num_batched_tokens: 80, max_request_tokens: 90 })),
    ("Orca", |_| Box::new(Orca { max_num_batched_tokens: 80, max_request_tokens: 90 })),
    ("Mixed", |case| Box::new(Mixed::new(case.budget))),
    ("SGLang", |_| Box::new(sglang(40, 50, 64))),
    ("SGLang, small", |_| Box::new(sglang(7, 50, 8))),
];

/// The orders of the queue.
pub(super) const PACKING: [fn() -> Box<dyn PackingPolicy>; 7] = [
    || Box::new(Fcfs {}),
    || Box::new(ShortestPrompt {}),
    || Box::new(LeastWorkLeft { expected_output: 0 }),
    || Box::new(LeastWorkLeft { expected_output: 20 }),
    || Box::new(LongestPrefixMatch {}),
    || Box::new(Priority { ageing: None }),
    || Box::new(aged(100.0)),
];

fn chunked(case: &Case, threshold: u32) -> Chunked {
    let max_num_batched_tokens = case.budget;
    Chunked { max_num_batched_tokens, long_prefill_token_threshold: threshold, ..Chunked::default() }
}

fn sglang(chunk: u32, most: u32, max_new_tokens: u32) -> Sglang {
    let mut policy = Sglang::default();
    (policy.chunked_prefill_size, policy.max_prefill_tokens) = (chunk, most);
    policy.max_new_tokens = max_new_tokens;
    policy
}

/// Priorities that count for so many microseconds a class.
fn aged(us: f64) -> Priority {
    Priority { ageing: Some(Span::from_secs(us * 1e-6)) }
}

pub(super) fn agree(ours: &Outcome, mut naive: Engine) -> Result<(), TestCaseError> {
    prop_assert_eq!(&ours.times, &naive.run());
    prop_assert_eq!(&ours.preemptions, &naive.preemptions());
    prop_assert_eq!(ours.usage.kv_blocks_peak, naive.peak_blocks());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn chunked_agrees_with_a_naive_vllm_v1(case in cases(), threshold in 0_u32..8) {
        let ours = run(&case, chunked(&case, threshold), true);
        agree(&ours, Engine::v1(&case, threshold))?;
        let ours = run(&case, Chunked { reserve: Blocks::Chunk, ..chunked(&case, threshold) }, true);
        agree(&ours, Engine::v1_by_pieces(&case, threshold))?;
    }

    #[test]
    fn chunked_agrees_with_a_naive_vllm_v1_by_priority(case in cases(), threshold in 0_u32..8) {
        let ours = run_packed(&case, Box::new(chunked(&case, threshold)), Box::new(Priority { ageing: None }), true);
        agree(&ours, Engine::v1(&case, threshold).packed(Priority { ageing: None }))?;
    }

    #[test]
    fn continuous_agrees_with_a_naive_vllm_v0(case in cases()) {
        let ours = run(&case, Continuous { max_num_batched_tokens: 64, watermark: 0.05 }, true);
        agree(&ours, Engine::v0(&case, 64, 0.05))?;
    }

    #[test]
    fn orca_agrees_with_its_algorithm(case in cases(), reserve in 1_u32..120) {
        let ours = run(&case, Orca { max_num_batched_tokens: 80, max_request_tokens: reserve }, true);
        agree(&ours, Engine::orca(&case, 80, reserve))?;
        prop_assert_eq!(ours.usage.preemptions, 0);
    }

    #[test]
    fn sglang_agrees_with_a_naive_one(
        case in cases(), blocks in 1_u32..20, most in 1_u32..100, max_new_tokens in 1_u32..80
    ) {
        let chunk = blocks * case.block_size;
        let ours = run(&case, sglang(chunk, most, max_new_tokens), true);
        agree(&ours, Engine::new(&case, Kind::Sglang(Server::new(chunk, most, max_new_tokens))))?;
    }

    #[test]
    fn queues_with_keys_agree_with_sorting(case in cases(), packing in 1_usize..4) {
        for order in [packing, 5, 6] {
            let ours = run_packed(&case, Box::new(chunked(&case, 0)), PACKING[order](), true);
            let naive = Engine::v1(&case, 0);
            agree(&ours, match order {
                1 => naive.packed(ShortestPrompt {}),
                2 => naive.packed(LeastWorkLeft { expected_output: 0 }),
                3 => naive.packed(LeastWorkLeft { expected_output: 20 }),
                5 => naive.packed(Priority { ageing: None }),
                _ => naive.packed(aged(100.0)),
            })?;
        }
    }

    /// Whatever the policies: all is served, strides change nothing, and without preemption nothing is
    /// computed twice.
    #[test]
    fn strides_change_nothing(case in cases(), batching in 0..BATCHING.len(), packing in 0..PACKING.len()) {
        let both = |strides| run_packed(&case, BATCHING[batching].1(&case), PACKING[packing](), strides);
        let (on, off) = (both(true), both(false));
        prop_assert_eq!(&on.times, &off.times, "{}", BATCHING[batching].0);
        prop_assert_eq!(format!("{:?}", on.gaps.statistics()), format!("{:?}", off.gaps.statistics()));
        prop_assert_eq!(format!("{:?}", on.usage), format!("{:?}", off.usage));
        prop_assert_eq!(&on.preemptions, &off.preemptions);
        prop_assert!(on.strides <= off.strides);
        for ((first, end), job) in on.times.iter().zip(&case.jobs) {
            prop_assert!(job.0 < *first && first <= end && (first == end) == (job.2 == 1));
        }
        if on.usage.preemptions == 0 {
            let prompts: u64 = case.jobs.iter().map(|job| u64::from(job.1)).sum();
            prop_assert_eq!(on.usage.prefill_tokens, prompts);
        }
    }

    /// No step computes more prompts than it may, but for those under way, of which there are then no more.
    #[test]
    fn a_step_has_no_more_prompts_than_it_may(
        case in cases(), batching in 0..BATCHING.len(), most in 1_u32..4, strides: bool
    ) {
        let model = move |shape: &StepShape<'_>| {
            assert!(shape.prefill.len() <= most as usize, "{shape:?}");
            price(shape)
        };
        let alone = setup(&case, BATCHING[batching].1(&case), strides);
        let ours = run_with(&case, LlmSetup { model: Arc::new(model), max_prompts: NonZeroU32::new(most), ..alone }, &[]);
        prop_assert!(ours.times.iter().all(|(first, end)| 0 < *first && first <= end));
    }

    /// A request overtakes only those of a less urgent class, and only those that have not waited for so
    /// many times `ageing` longer as it is classes more urgent.
    #[test]
    fn ageing_bounds_how_long_a_request_is_overtaken(case in cases(), ageing in 0.0..400.0) {
        let case = Case { max_num_seqs: 1, blocks: 1_000, ..case };
        let ours = run_packed(&case, Box::new(chunked(&case, 0)), Box::new(aged(ageing)), true);
        let ageing = i128::from(aged(ageing).ageing.unwrap().to_sim().as_ns());
        for (later, overtaking) in case.jobs.iter().enumerate() {
            for (earlier, overtaken) in case.jobs[..later].iter().enumerate() {
                // One at a time: who has its first token first was let in first.
                if ours.times[later].0 < ours.times[earlier].0 {
                    let classes = i128::from(priority(earlier)) - i128::from(priority(later));
                    prop_assert!(i128::from(overtaking.0 - overtaken.0) < classes * ageing);
                }
            }
        }
    }
}
