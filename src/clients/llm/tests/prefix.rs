//! Prefix caching: a client against vLLM's scheduler over the engines' own caches, request by request.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::clients::llm::batching::{Blocks, Sglang};
use crate::clients::llm::packing::{LeastWorkLeft, LongestPrefixMatch, PackingPolicy};
use crate::memory::prefix::tests::naive::{Naive, NaiveBlocks, NaiveRadix};
use crate::runtime::Chunk;
use crate::units::SimSpan;

#[derive(Clone, Debug)]
struct Named {
    case: Case,
    texts: Vec<Text>,
}

/// What a request's prompt is: runs of this universe, or what an earlier one and its answer were.
#[derive(Clone, Debug)]
struct Draft {
    gap: u64,
    follows: Option<usize>,
    runs: Vec<(u64, u32)>,
    /// Tokens behind the text.
    more: u32,
    output: u32,
    answers: bool,
}

fn drafts() -> impl Strategy<Value = Draft> {
    let run = (0_u64..3, 1_u32..25).prop_map(|(name, tokens)| (name * 1_000, tokens));
    (
        0_u64..250,
        prop::option::of(0_usize..8),
        prop::collection::vec(run, 0..3),
        prop_oneof![Just(0_u32), 1_u32..20],
        1_u32..40,
        any::<bool>(),
    )
        .prop_map(|(gap, follows, runs, more, output, answers)| Draft {
            gap,
            follows,
            runs,
            more,
            output,
            answers,
        })
}

fn named() -> impl Strategy<Value = Named> {
    let blocks = 12_u64..60;
    let block_size = prop::sample::select(vec![1_u32, 4, 5, 16]);
    let drafts = prop::collection::vec(drafts(), 1..30);
    (blocks, block_size, 1_u32..12, drafts, 0_u32..60).prop_map(
        |(blocks, block_size, seqs, drafts, spare)| {
            let room = (blocks * u64::from(block_size)) as u32;
            let (mut now, mut jobs, mut texts) = (0, Vec::<Job>::new(), Vec::<Text>::new());
            for (at, draft) in drafts.iter().enumerate() {
                now += draft.gap * 1_000;
                let mut text = Text::default();
                if let Some(before) = draft.follows.and_then(|back| at.checked_sub(back + 1)) {
                    let (mut left, (_, prompt, output)) = (jobs[before].1, jobs[before]);
                    for run in texts[before].runs() {
                        text.push(run.first, run.tokens.min(left));
                        left -= run.tokens.min(left);
                    }
                    if let Some(first) = texts[before].answer().filter(|_| text.tokens() == u64::from(prompt))
                    {
                        text.push(first, output);
                    }
                }
                for (first, tokens) in &draft.runs {
                    text.push(*first, *tokens);
                }
                if draft.answers {
                    text = text.answered(1_000_000 + 1_000 * at as u64);
                }
                let prompt = (text.tokens() as u32 + draft.more).min(room.saturating_sub(1)).max(1);
                jobs.push((now, prompt, draft.output.min(room + 1 - prompt).max(1)));
                texts.push(text);
            }
            let case = Case { blocks, block_size, max_num_seqs: seqs, budget: seqs + spare, jobs };
            Named { case, texts }
        },
    )
}

struct Seq {
    job: Job,
    /// All tokens it will ever have.
    names: Vec<u64>,
    tokens: u32,
    computed: u32,
    goal: u32,
    generated: u32,
    cached: Option<u32>,
    preemptions: u16,
}

/// vLLM V1's scheduler, sequence by sequence, over a cache that a running sequence has the same place in as
/// among the running.
struct Engine<N> {
    cache: N,
    /// Whether what is scheduled is stored at once.
    early: bool,
    blocks: u64,
    block_size: u32,
    max_num_seqs: usize,
    seqs: Vec<Seq>,
    waiting: VecDeque<usize>,
    running: Vec<usize>,
    peak: u64,
}

impl<N: Naive> Engine<N> {
    fn new(named: &Named, early: bool) -> Self {
        let Named { case, texts } = named;
        let seq = |(at, job): (usize, &Job)| {
            let text = &texts[at];
            let runs = text.runs().iter().flat_map(|run| run.first..run.first + u64::from(run.tokens));
            let own = (1_u64 << 40) + (at as u64) * 1_000_000;
            let prompt = runs.chain(own..).take(job.1 as usize);
            let first = text.answer().unwrap_or(own + 500_000);
            let names = prompt.chain(first..first + u64::from(job.2)).collect();
            let (tokens, goal) = (job.1, job.1);
            let rest = (0, 0, None, 0);
            let (computed, generated, cached, preemptions) = rest;
            Seq { job: *job, names, tokens, computed, goal, generated, cached, preemptions }
        };
        Self {
            cache: N::new(case.blocks, case.block_size),
            early,
            blocks: case.blocks,
            block_size: case.block_size,
            max_num_seqs: case.max_num_seqs as usize,
            seqs: case.jobs.iter().enumerate().map(seq).collect(),
            waiting: VecDeque::new(),
            running: Vec::new(),
            peak: 0,
        }
    }

    fn run(&mut self, budget: u32) -> Times {
        let mut times = vec![(0, 0); self.seqs.len()];
        let (mut now, mut next) = (0, 0);
        loop {
            while next < self.seqs.len() && self.seqs[next].job.0 <= now {
                self.waiting.push_back(next);
                next += 1;
            }
            if self.waiting.is_empty() && self.running.is_empty() {
                let Some(seq) = self.seqs.get(next) else { return times };
                now = seq.job.0;
                continue;
            }
            let step = self.schedule(budget);
            self.peak = self.peak.max(self.cache.counts().0);
            now += self.duration(&step);
            for (id, tokens) in step {
                let prefill = self.seqs[id].computed < self.seqs[id].goal;
                self.seqs[id].computed += tokens;
                if prefill {
                    self.store(id);
                }
                let seq = &mut self.seqs[id];
                if seq.computed < seq.tokens {
                    continue;
                }
                seq.generated += 1;
                seq.tokens += 1;
                if seq.generated == 1 {
                    times[id].0 = now;
                }
                if seq.generated == seq.job.2 {
                    times[id].1 = now;
                    self.store(id);
                    let at = self.place(id);
                    self.cache.end(at);
                    self.running.remove(at);
                }
            }
        }
    }

    fn place(&self, id: usize) -> usize {
        self.running.iter().position(|other| *other == id).expect("it runs")
    }

    fn store(&mut self, id: usize) {
        let at = self.place(id);
        let seq = &self.seqs[id];
        self.cache.store(at, &seq.names[..seq.computed as usize]);
    }

    fn duration(&self, step: &[(usize, u32)]) -> u64 {
        let mut chunks = Vec::new();
        let (mut decode_seqs, mut decode_context) = (0, 0);
        for (id, tokens) in step {
            let seq = &self.seqs[*id];
            if seq.computed >= seq.goal {
                decode_seqs += 1;
                decode_context += u64::from(seq.tokens);
            } else {
                let last = seq.computed + tokens == seq.tokens;
                chunks.push(Chunk { tokens: *tokens, context: seq.computed, last });
            }
        }
        let cost = price(&StepShape { prefill: &chunks, decode_seqs, decode_context });
        SimSpan::from_secs_f64(cost.seconds).as_ns()
    }

    fn free(&self) -> u64 {
        self.blocks - self.cache.counts().0
    }

    /// Lets the running `id` compute `tokens` more, if there are blocks.
    fn grow(&mut self, id: usize, tokens: u32) -> bool {
        let seq = &self.seqs[id];
        let (from, to) = (seq.computed, seq.computed + tokens);
        let need = u64::from(to.div_ceil(self.block_size) - from.div_ceil(self.block_size));
        if need > self.free() {
            return false;
        }
        let at = self.place(id);
        self.cache.take(at, need);
        if self.early && from < self.seqs[id].goal {
            self.cache.store(at, &self.seqs[id].names[..to as usize]);
        }
        true
    }

    fn preempt(&mut self, id: usize) {
        let at = self.place(id);
        if self.early {
            self.store(id);
        }
        self.cache.end(at);
        self.running.remove(at);
        let seq = &mut self.seqs[id];
        (seq.computed, seq.goal) = (0, seq.tokens);
        seq.preemptions += 1;
        self.waiting.push_front(id);
    }

    /// Blocks that the next token of every decoding sequence takes.
    fn decodes_need(&self) -> u64 {
        let seqs = self.running.iter().map(|id| &self.seqs[*id]);
        let opens = |seq: &&Seq| seq.computed >= seq.goal && seq.computed.is_multiple_of(self.block_size);
        seqs.filter(opens).count() as u64
    }

    fn schedule(&mut self, mut budget: u32) -> Vec<(usize, u32)> {
        let (mut step, mut preempted, mut at) = (Vec::new(), false, 0);
        // `SGLang` retracts before it allocates for any decode, which matters to what it evicts.
        while !self.early && self.decodes_need() > self.free() {
            let victim = *self.running.last().expect("a decode runs");
            self.preempt(victim);
            preempted = true;
        }
        'running: while at < self.running.len() && budget > 0 {
            let id = self.running[at];
            let tokens = (self.seqs[id].tokens - self.seqs[id].computed).min(budget);
            while !self.grow(id, tokens) {
                let victim = *self.running.last().expect("the request itself runs");
                self.preempt(victim);
                preempted = true;
                if victim == id {
                    break 'running;
                }
            }
            step.push((id, tokens));
            budget -= tokens;
            at += 1;
        }
        while !preempted && budget > 0 && self.running.len() < self.max_num_seqs {
            let Some(&id) = self.waiting.front() else { break };
            let all = self.seqs[id].tokens;
            let most = self.seqs[id].names[..all as usize - 1].to_vec();
            let found = self.cache.find(&most);
            let hit = found.blocks * self.block_size;
            let tokens = (all - hit).min(budget);
            let need = u64::from((hit + tokens).div_ceil(self.block_size) - found.blocks);
            if need + u64::from(found.idle) > self.free() {
                break;
            }
            self.cache.begin(&most, need);
            self.waiting.pop_front();
            self.running.push(id);
            let seq = &mut self.seqs[id];
            seq.computed = hit;
            seq.cached.get_or_insert(hit);
            if self.early {
                let at = self.place(id);
                self.cache.store(at, &self.seqs[id].names[..(hit + tokens) as usize]);
            }
            step.push((id, tokens));
            budget -= tokens;
        }
        step
    }
}

fn caching() -> impl Strategy<Value = PrefixCaching> {
    prop::sample::select(vec![PrefixCaching::BlockHash, PrefixCaching::Radix])
}

/// Runs a case with chunked batching and a cache.
fn run_cached(case: &Case, caching: PrefixCaching, texts: &[Text]) -> Outcome {
    // As in vLLM before 0.19.
    let policy =
        Chunked { max_num_batched_tokens: case.budget, reserve: Blocks::Chunk, ..Chunked::default() };
    run_with(case, LlmSetup { prefix_caching: caching, ..setup(case, Box::new(policy), true) }, texts)
}

fn agrees<N: Naive>(named: &Named, caching: PrefixCaching) -> Result<(), TestCaseError> {
    let case = &named.case;
    let ours = run_cached(case, caching, &named.texts);
    let mut naive = Engine::<N>::new(named, caching == PrefixCaching::BlockHash);
    prop_assert_eq!(&ours.times, &naive.run(case.budget));
    let cached: Vec<u32> = naive.seqs.iter().map(|seq| seq.cached.unwrap_or_default()).collect();
    prop_assert_eq!(&ours.cached, &cached);
    let preemptions: Vec<u16> = naive.seqs.iter().map(|seq| seq.preemptions).collect();
    prop_assert_eq!(ours.preemptions, preemptions);
    prop_assert_eq!(ours.usage.kv_blocks_peak, naive.peak);
    let tally = ours.usage.prefix.unwrap();
    prop_assert_eq!(tally.queries, case.jobs.len() as u64);
    prop_assert_eq!(tally.query_tokens, case.jobs.iter().map(|job| u64::from(job.1)).sum::<u64>());
    prop_assert_eq!(tally.hit_tokens, cached.iter().map(|tokens| u64::from(*tokens)).sum::<u64>());
    prop_assert_eq!(tally.hits, cached.iter().filter(|tokens| **tokens > 0).count() as u64);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn block_hashes_agree_with_a_naive_vllm_v1(named in named()) {
        agrees::<NaiveBlocks>(&named, PrefixCaching::BlockHash)?;
    }

    #[test]
    fn a_radix_tree_agrees_with_a_naive_one(named in named()) {
        agrees::<NaiveRadix>(&named, PrefixCaching::Radix)?;
    }

    #[test]
    fn strides_change_nothing_with_prefix_caching(
        named in named(), caching in caching(), batching in 0_usize..4, packing in 0_usize..4, threshold in 0_u32..6
    ) {
        let Named { case, texts } = &named;
        let both = |strides| {
            let chunked = Chunked {
                max_num_batched_tokens: case.budget,
                long_prefill_token_threshold: threshold,
                ..Chunked::default()
            };
            let batching: Box<dyn BatchingPolicy> = match batching {
                0 => Box::new(Continuous { max_num_batched_tokens: 2_000, watermark: 0.05 }),
                1 => Box::new(Sglang::default()),
                _ => Box::new(chunked),
            };
            let packing: Box<dyn PackingPolicy> = match packing {
                0 => Box::new(LongestPrefixMatch {}),
                1 => Box::new(LeastWorkLeft::default()),
                _ => Box::new(Fcfs {}),
            };
            run_with(case, LlmSetup { prefix_caching: caching, packing, ..setup(case, batching, strides) }, texts)
        };
        let (on, off) = (both(true), both(false));
        prop_assert_eq!(&on.times, &off.times);
        prop_assert_eq!(format!("{:?}", on.usage), format!("{:?}", off.usage));
        prop_assert_eq!((on.preemptions, on.cached), (off.preemptions, off.cached));
        prop_assert!(on.strides <= off.strides);
    }

    /// Without anything in common there is nothing to find but what a sequence itself left behind.
    #[test]
    fn without_texts_nothing_is_found(case in cases(), caching in caching()) {
        let on = run_cached(&case, caching, &[]);
        let policy =
            Chunked { max_num_batched_tokens: case.budget, reserve: Blocks::Chunk, ..Chunked::default() };
        let off = run(&case, policy, true);
        prop_assert_eq!(on.usage.prefix.unwrap().hits, 0);
        if off.usage.preemptions == 0 {
            prop_assert_eq!(on.times, off.times);
            prop_assert_eq!(on.usage.kv_block_ns, off.usage.kv_block_ns);
        }
    }
}

#[test]
fn the_next_turn_finds_the_last_one_and_its_answer() {
    let mut first = Text::default();
    first.push(0, 40);
    let first = first.answered(9_000);
    let mut second = first.clone();
    second.push(9_000, 24);
    second.push(500, 16);
    let jobs = vec![(0, 40, 24), (1_000_000_000, 80, 4)];
    let case = Case { blocks: 100, block_size: 16, max_num_seqs: 8, budget: 512, jobs };
    for caching in [PrefixCaching::BlockHash, PrefixCaching::Radix] {
        let ours = run_cached(&case, caching, &[first.clone(), second.clone()]);
        // Of 64 tokens the last was never computed, so its block is not full.
        assert_eq!(ours.cached, [0, 48], "{caching:?}");
        assert_eq!(ours.usage.prefill_tokens, 40 + 80 - 48);
    }
}

#[test]
fn prompts_of_the_same_step_share_with_vllm_alone() {
    let mut text = Text::default();
    text.push(0, 64);
    let jobs = vec![(0, 64, 4); 3];
    let case = Case { blocks: 100, block_size: 16, max_num_seqs: 8, budget: 512, jobs };
    for (caching, cached, peak) in
        [(PrefixCaching::BlockHash, [0, 48, 48], 4 + 1 + 1 + 3), (PrefixCaching::Radix, [0, 0, 0], 12)]
    {
        let ours = run_cached(&case, caching, &[text.clone(), text.clone(), text.clone()]);
        assert_eq!((&ours.cached[..], ours.usage.kv_blocks_peak), (&cached[..], peak), "{caching:?}");
    }
}
