//! Batching where theory says what must come of it.

use super::*;

/// Steps that all take as long.
const STEP_NS: u64 = 50_000;

fn constant(case: &Case, policy: impl BatchingPolicy) -> Outcome {
    let model = |_: &StepShape<'_>| StepCost { seconds: STEP_NS as f64 * 1e-9, bound: Bound::Host };
    run_with(case, LlmSetup { model: Arc::new(model), ..setup(case, Box::new(policy), true) }, &[])
}

/// Ample memory, all come at once or later.
fn ample(case: Case) -> Case {
    Case { blocks: 100_000, max_num_seqs: 1_000, ..case }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// A batch of those who wait takes as many steps as the longest answer has tokens; the next one begins
    /// then, or when somebody comes.
    #[test]
    fn static_batching_equals_its_closed_form(case in cases(), size in 1_u32..8) {
        let case = Case { max_num_seqs: size, ..ample(case) };
        let ours = constant(&case, Static { max_num_batched_tokens: 10_000, max_request_tokens: 100 });
        let (mut next, mut now) = (0, 0);
        while next < case.jobs.len() {
            now = now.max(case.jobs[next].0);
            let waiting = case.jobs[next..].iter().take_while(|job| job.0 <= now).count();
            let batch = next..next + waiting.min(size as usize);
            for at in batch.clone() {
                let tokens = u64::from(case.jobs[at].2);
                prop_assert_eq!(ours.times[at], (now + STEP_NS, now + tokens * STEP_NS));
            }
            let longest = case.jobs[batch.clone()].iter().map(|job| job.2).max().unwrap_or(0);
            now += u64::from(longest) * STEP_NS;
            next = batch.end;
        }
    }

    /// Without limits, whole prompts ride with decodes either way.
    #[test]
    fn chunked_without_limits_equals_mixed(case in cases()) {
        let case = ample(case);
        let chunked = Chunked { max_num_batched_tokens: u32::MAX, ..Chunked::default() };
        let (chunked, mixed) = (run(&case, chunked, true), run(&case, Mixed::new(u32::MAX), true));
        prop_assert_eq!(&chunked.times, &mixed.times);
        prop_assert_eq!(format!("{:?}", chunked.usage), format!("{:?}", mixed.usage));
        let orca = Orca { max_num_batched_tokens: u32::MAX, max_request_tokens: 100 };
        prop_assert_eq!(&chunked.times, &run(&case, orca, true).times, "and Orca has the same steps");
    }

    /// With one sequence at a time all policies are the same single server.
    #[test]
    fn one_at_a_time_all_are_alike(case in cases()) {
        let case = Case { max_num_seqs: 1, ..ample(case) };
        let chunked = run(&case, Chunked::default(), true).times;
        prop_assert_eq!(&chunked, &run(&case, Continuous::default(), true).times);
        prop_assert_eq!(&chunked, &run(&case, Static::default(), true).times);
        prop_assert_eq!(&chunked, &run(&case, Orca::default(), true).times);
        prop_assert_eq!(&chunked, &run(&case, Mixed::default(), true).times);
    }
}
