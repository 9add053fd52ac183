//! A client against naive models of the engines' schedulers, and the laws of its bookkeeping.

mod naive;
mod naive_sglang;
mod policies;
mod prefix;
mod rounds;
mod swap;
mod theory;
mod windows;

use std::sync::Arc;

use bevy_ecs::entity::Entity;
use proptest::prelude::*;

use super::*;
use crate::clients::Usage;
use crate::memory::prefix::PrefixCaching;
use crate::memory::{BlockPool, KvGroups};
use crate::request::Text;
use crate::request::pipeline::Work;
use crate::runtime::{Bound, StepCost, StepShape};
use crate::units::{SimTime, Span};

/// A request of a test: when it comes, prompt tokens, output tokens.
pub(super) type Job = (u64, u32, u32);

/// First token and end of each request [ns].
pub(super) type Times = Vec<(u64, u64)>;

#[derive(Clone, Debug)]
pub(super) struct Case {
    pub blocks: u64,
    pub block_size: u32,
    pub max_num_seqs: u32,
    pub budget: u32,
    pub jobs: Vec<Job>,
}

/// A price that depends on everything a step is made of, so that a wrong count shows in a time.
fn price(shape: &StepShape<'_>) -> StepCost {
    let decode = 3.0 * f64::from(shape.decode_seqs) + 0.01 * shape.decode_context as f64;
    let prefill = shape.prefill_tokens() as f64 + 0.02 * shape.prefill_pairs();
    StepCost { seconds: 1e-6 * (50.0 + decode + prefill), bound: Bound::Compute }
}

pub(super) struct Outcome {
    pub times: Times,
    pub gaps: TokenGaps,
    pub usage: Usage,
    pub preemptions: Vec<u16>,
    pub cached: Vec<u32>,
    pub strides: u64,
}

/// The priority of the `at`-th job.
pub(super) fn priority(at: usize) -> i16 {
    [-2, 0, 2, -1, 1][at % 5]
}

/// What there is to a client's memory beside its blocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    pub host: Option<HostKv>,
    pub groups: KvGroups,
}

impl Memory {
    pub const PLAIN: Self = Self { host: None, groups: KvGroups::ONE };
}

fn setup(case: &Case, policy: Box<dyn BatchingPolicy>, strides: bool) -> LlmSetup {
    LlmSetup {
        index: 0,
        kv: BlockPool::new(case.blocks, case.block_size),
        host: None,
        prefix_caching: PrefixCaching::Off,
        max_num_seqs: case.max_num_seqs,
        max_prompts: None,
        reserved_tokens: 0,
        max_model_len: u32::MAX,
        policy,
        packing: Box::new(Fcfs {}),
        model: Arc::new(price),
        strides,
    }
}

/// Runs the jobs through one client; arrivals beat step ends at the same instant, as in the engine
/// they are accepted before the next step is formed.
pub(super) fn run(case: &Case, policy: impl BatchingPolicy, strides: bool) -> Outcome {
    run_with(case, setup(case, Box::new(policy), strides), &[])
}

/// The same with another order of the queue.
pub(super) fn run_packed(
    case: &Case,
    policy: Box<dyn BatchingPolicy>,
    packing: Box<dyn PackingPolicy>,
    strides: bool,
) -> Outcome {
    run_with(case, LlmSetup { packing, ..setup(case, policy, strides) }, &[])
}

/// The same in other memory.
pub(super) fn run_in(
    case: &Case,
    policy: Box<dyn BatchingPolicy>,
    packing: Box<dyn PackingPolicy>,
    strides: bool,
    Memory { host, groups }: Memory,
) -> Outcome {
    let kv = BlockPool::new(case.blocks, case.block_size).grouped(groups);
    run_with(case, LlmSetup { kv, host, packing, ..setup(case, policy, strides) }, &[])
}

/// The same through a client like this, with what the prompts consist of.
fn run_with(case: &Case, setup: LlmSetup, texts: &[Text]) -> Outcome {
    let mut llm = LlmClient::new(setup);
    let mut out = Outcome {
        times: vec![(0, 0); case.jobs.len()],
        gaps: TokenGaps::default(),
        usage: Usage::default(),
        preemptions: vec![0; case.jobs.len()],
        cached: vec![0; case.jobs.len()],
        strides: 0,
    };
    let mut jobs = case.jobs.iter().enumerate().peekable();
    let mut end: Option<StrideEnd> = None;
    let mut landed = Landed::default();
    loop {
        let arrival = jobs.peek().map(|(_, job)| SimTime::from_ns(job.0));
        let Some(now) = arrival.into_iter().chain(end.map(|end| end.time)).min() else { break };
        // As in a tick: what ends now lands first, then arrivals join, then the next step is formed.
        if let Some(due) = end.filter(|end| end.time == now) {
            assert!(llm.land(due.epoch, &mut out.usage, &mut out.gaps, &mut landed));
            end = None;
            out.strides += 1;
        }
        if arrival == Some(now) {
            llm.catch_up(now, &mut out.usage, &mut out.gaps);
            end = end.filter(|_| llm.is_busy());
        }
        while let Some((at, job)) = jobs.next_if(|(_, job)| job.0 == now.as_ns()) {
            let stage = Entity::from_raw_u32(at as u32).unwrap();
            let work = Work { priority: priority(at), ..Work::new(job.1, job.2) };
            if let Some(cut) = llm.enqueue(stage, &work, None, texts.get(at), now) {
                end = Some(cut);
            }
        }
        for first in landed.first_tokens.drain(..) {
            let at = first.stage.index_u32() as usize;
            out.times[at].0 = first.at.as_ns();
            assert!(first.started.as_ns() >= case.jobs[at].0 && first.at > first.started);
        }
        for done in landed.finished.drain(..) {
            let at = done.stage.index_u32() as usize;
            out.times[at].1 = now.as_ns();
            out.preemptions[at] = done.preemptions;
            out.cached[at] = done.cached_tokens;
        }
        assert_eq!(llm.scheduler().held(), llm.scheduler().kv().used(), "at {now}");
        if llm.form() {
            end = Some(llm.price(now));
        } else if end.is_none() {
            assert!(llm.scheduler().is_empty(), "idle with work at {now}");
        }
        let scheduler = llm.scheduler();
        assert_eq!(scheduler.kv().used(), scheduler.held(), "blocks that nobody holds at {now}");
        let host = scheduler.host_kv().map_or(0, BlockPool::used);
        assert_eq!(host, scheduler.held_by_host(), "host blocks that nobody holds at {now}");
    }
    assert_eq!(llm.scheduler().kv().used(), 0, "blocks left over");
    assert_eq!((llm.scheduler().swapped(), llm.scheduler().held_by_host()), (0, 0), "left on the host");
    if let Some(SwapTally { preemptions, blocks_out, blocks_in, .. }) = out.usage.swapped {
        assert_eq!(blocks_out, blocks_in, "what was copied away was copied back");
        assert!(preemptions <= blocks_out && preemptions <= out.usage.preemptions);
    }
    out
}

pub(super) fn cases() -> impl Strategy<Value = Case> {
    let job = (0_u64..200, 1_u32..60, 1_u32..40);
    (
        12_u64..60,
        prop::sample::select(vec![1_u32, 4, 16]),
        1_u32..12,
        prop::collection::vec(job, 1..30),
        0_u32..60,
    )
        .prop_map(|(blocks, block_size, max_num_seqs, gaps, spare)| {
            let mut now = 0;
            let jobs = gaps
                .into_iter()
                .map(|(gap, prompt, output)| {
                    now += gap * 1_000;
                    // Every request fits the client alone.
                    let room = (blocks * u64::from(block_size)) as u32;
                    let prompt = prompt.min(room.saturating_sub(1)).max(1);
                    (now, prompt, output.min(room + 1 - prompt).max(1))
                })
                .collect();
            Case { blocks, block_size, max_num_seqs, budget: max_num_seqs + spare, jobs }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Gaps between tokens add up to the time from first to last token.
    #[test]
    fn gaps_tile_the_decode_time(case in cases()) {
        let policy = Chunked { max_num_batched_tokens: case.budget, ..Chunked::default() };
        let ours = run(&case, policy, true);
        let decoding: u128 = ours.times.iter().map(|(first, end)| u128::from(end - first)).sum();
        let tokens: u64 = case.jobs.iter().map(|job| u64::from(job.2) - 1).sum();
        prop_assert_eq!(ours.gaps.sum_ns(), decoding);
        prop_assert_eq!(ours.gaps.count(), tokens);
    }
}

#[test]
fn a_long_decode_takes_few_strides() {
    let case =
        Case { blocks: 10_000, block_size: 16, max_num_seqs: 8, budget: 512, jobs: vec![(0, 100, 1_000)] };
    let ours = run(&case, Chunked { max_num_batched_tokens: 512, ..Chunked::default() }, true);
    assert_eq!(ours.usage.steps, 1_000);
    assert!(ours.strides < 20, "{} strides", ours.strides);
}

#[test]
fn what_cannot_be_served_is_refused_with_its_reason() {
    use crate::request::Rejection;
    let case = Case { blocks: 10, block_size: 16, max_num_seqs: 8, budget: 512, jobs: vec![] };
    let policy = Continuous { max_num_batched_tokens: 64, watermark: 0.0 };
    let llm = LlmClient::new(setup(&case, Box::new(policy), true));
    assert_eq!(llm.refuses(&Work::new(60, 10), None), None);
    assert_eq!(llm.refuses(&Work::new(0, 10), None), Some(Rejection::EmptyPrompt));
    assert_eq!(llm.refuses(&Work::new(65, 10), None), Some(Rejection::PromptTooLong));
    assert_eq!(llm.refuses(&Work::new(60, 102), None), Some(Rejection::KvCapacity));
    assert_eq!(llm.refuses(&Work::new(60, 101), None), None, "the last token is never stored");

    // Two copies of attention have five blocks each, of which a sequence lies in one.
    let policy = Continuous { max_num_batched_tokens: 512, watermark: 0.0 };
    let kv = BlockPool::new(10, 16).of_copies(2);
    let llm = LlmClient::new(LlmSetup { kv, ..setup(&case, Box::new(policy), true) });
    assert_eq!(llm.refuses(&Work::new(60, 21), None), None);
    assert_eq!(llm.refuses(&Work::new(60, 22), None), Some(Rejection::KvCapacity));

    // Vetted by vLLM v0 when its turn comes: 9 blocks would leave less than 2 of 10.
    let policy = Continuous { max_num_batched_tokens: 512, watermark: 0.2 };
    let llm = LlmClient::new(setup(&case, Box::new(policy), true));
    assert_eq!(llm.refuses(&Work::new(128, 1), None), None);
    assert_eq!(llm.refuses(&Work::new(129, 1), None), Some(Rejection::KvCapacity));
}

#[test]
fn short_blocks_preempt_the_latest_and_it_comes_back() {
    // Two sequences grow to 40 tokens each; six blocks of ten hold one and a half.
    let case =
        Case { blocks: 6, block_size: 10, max_num_seqs: 8, budget: 64, jobs: vec![(0, 20, 21), (0, 20, 21)] };
    let ours = run(&case, Chunked { max_num_batched_tokens: 64, ..Chunked::default() }, true);
    assert_eq!(ours.preemptions, [0, 1]);
    assert!(ours.times[0].1 < ours.times[1].1);
    // 20 prompt tokens twice, and what the second had by the time it was preempted, once more.
    assert_eq!(ours.usage.prefill_tokens, 40 + 20 + 11);
}
