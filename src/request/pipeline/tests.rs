//! Random pipelines walked in a world of endless clients, against a direct reading of the tree.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use bevy_ecs::entity::Entity;
use proptest::prelude::*;

use super::step::{Named, Step};
use super::*;
use crate::engine::{Stream, Streams, uniform};
use crate::request::{KvHandle, Payload, Rejection, StageKind};
use crate::scenario::Problem;
use crate::units::{SimSpan, SimTime, Span};

/// Pool 0 runs everything of model 0; model 1 is prefilled in pool 1 and decoded in pool 2; pool 3 crops.
struct Town;

impl Directory for Town {
    fn pool(&self, _: &str, _: Option<&str>) -> Result<u16, Problem> {
        Ok(3)
    }

    fn model(&self, name: &str) -> Result<u16, Problem> {
        name.parse().map_err(|_| Problem::new("", "no such model"))
    }
}

fn models() -> Vec<Served> {
    let served = |name: &str, prefill, decode| Served {
        name: name.to_owned(),
        prefill,
        decode,
        max_model_len: 100,
        kv_bytes_per_token: 1.0,
    };
    vec![served("0", 0, 0), served("1", 1, 2)]
}

/// Adds tokens to the text.
#[derive(Clone, Copy)]
struct Append(u32);

impl StageKind for Append {
    fn client(&self) -> &'static str {
        "Append"
    }

    fn finish(&self, payload: &mut Payload, _: &mut Stream) {
        payload.context_tokens += self.0;
    }
}

#[derive(Clone, Debug)]
enum Raw {
    Generate { anew: bool, reason: Option<u32>, answer: Option<u32> },
    Score,
    Wait(u32),
    Append(u32),
    Parallel(Vec<Vec<Raw>>),
    Repeat(u32, Option<u32>, Vec<Raw>),
    Branch(u32, Vec<Raw>, Vec<Raw>),
    Search { prefix: bool, width: u32, keep: u32, rounds: u32, run: Vec<Raw> },
    Choose(u32),
    Exit,
}

fn raws() -> impl Strategy<Value = Vec<Raw>> {
    let generate = (any::<bool>(), prop::option::of(0_u32..4), prop::option::of(1_u32..6)).prop_map(
        |(anew, reason, answer)| {
            let nothing = reason.unwrap_or(0) == 0;
            Raw::Generate { anew, reason, answer: answer.or(nothing.then_some(2)) }
        },
    );
    let leaf = prop_oneof![
        5 => generate,
        1 => Just(Raw::Score),
        1 => (0_u32..3_000).prop_map(Raw::Wait),
        1 => (0_u32..40).prop_map(Raw::Append),
        1 => (0_u32..150).prop_map(Raw::Choose),
        1 => Just(Raw::Exit),
    ];
    let node = leaf.prop_recursive(3, 20, 3, |inner| {
        let list = move |least: usize| prop::collection::vec(inner.clone(), least..=3);
        prop_oneof![
            prop::collection::vec(list(1), 2..=3).prop_map(Raw::Parallel),
            (0_u32..4, prop::option::of(0_u32..200), list(1))
                .prop_map(|(n, until, run)| Raw::Repeat(n, until, run)),
            (0_u32..150, list(0), list(0)).prop_map(|(below, yes, no)| Raw::Branch(below, yes, no)),
            (any::<bool>(), 2_u32..4, 1_u32..4, 1_u32..4, list(1)).prop_map(
                |(prefix, width, keep, rounds, run)| {
                    Raw::Search { prefix, width, keep: keep.min(width), rounds, run }
                }
            ),
        ]
    });
    prop::collection::vec(node, 1..=4)
}

fn named(name: &str, step: Step) -> Named {
    Named { name: name.to_owned(), path: format!("[{name}]"), step }
}

fn below(tokens: u32) -> When {
    When::ContextTokens { from: 0, below: Some(tokens.max(1)) }
}

fn microseconds(us: u32) -> Duration {
    Duration::Exactly(Span::from_secs(f64::from(us) / 1e6))
}

/// Makes sense of a raw list: tells whether KV is there after it.
fn build(raws: &[Raw], mut kv: bool, joins: bool, steps: &mut Vec<Named>) -> bool {
    let list = |raws: &[Raw], kv: bool, joins: bool| {
        let mut steps = Vec::new();
        let kv = build(raws, kv, joins, &mut steps);
        (steps, kv)
    };
    let tick = || named("Wait", Step::Wait { takes: microseconds(5), adds: Tokens::Exactly(0) });
    for raw in raws {
        match raw {
            Raw::Generate { anew, reason, answer } => {
                if *anew || !kv {
                    steps.push(named("Prefill", Step::Prefill(None)));
                }
                steps.extend(reason.map(|tokens| named("Reason", Step::Reason(Tokens::Exactly(tokens)))));
                steps.extend(answer.map(|tokens| named("Decode", Step::Decode(Tokens::Exactly(tokens)))));
                kv = true;
            }
            Raw::Score => steps.push(named("Score", Step::Pass { model: "0".into(), scores: true })),
            Raw::Wait(us) => {
                let (takes, adds) = (microseconds(*us), Tokens::Exactly(us % 7));
                steps.push(named("Wait", Step::Wait { takes, adds }));
            }
            Raw::Append(tokens) => steps.push(named("Append", Step::stage(Append(*tokens)))),
            Raw::Parallel(branches) => {
                let branch = |raws: &Vec<Raw>| {
                    let (mut steps, _) = list(raws, kv, true);
                    steps.push(tick());
                    steps
                };
                steps.push(named("Parallel", Step::Parallel(branches.iter().map(branch).collect())));
            }
            Raw::Repeat(times, until, run) => {
                let (mut run, after) = list(run, kv, joins);
                if matches!(run.last(), Some(Named { step: Step::Exit, .. })) {
                    run.pop();
                }
                run.push(tick());
                let until = until.map(|from| When::ContextTokens { from, below: None });
                steps.push(named("Repeat", Step::Repeat { run, times: Some(Count::Exactly(*times)), until }));
                kv = if *times == 0 { kv && after } else { after };
            }
            Raw::Branch(tokens, yes, no) => {
                let ((yes, after), (no, after_no)) = (list(yes, kv, joins), list(no, kv, joins));
                let exits = |steps: &[Named]| matches!(steps.last(), Some(Named { step: Step::Exit, .. }));
                kv = (after || exits(&yes)) && (after_no || exits(&no));
                steps.push(named(
                    "Branch",
                    Step::Branch { cases: vec![(below(*tokens), yes)], otherwise: no },
                ));
            }
            Raw::Search { prefix, width, keep, rounds, run } => {
                if *prefix && matches!(run[0], Raw::Generate { anew: false, .. }) {
                    steps.push(named("Prefill", Step::Prefill(None)));
                    kv = true;
                }
                let (mut run, after) = list(run, kv, true);
                run.push(named("Score", Step::Pass { model: "0".into(), scores: true }));
                steps
                    .push(named("Search", Step::Search { width: *width, keep: *keep, rounds: *rounds, run }));
                kv = after;
            }
            Raw::Choose(tokens) => {
                let cases = vec![(below(*tokens), "1".to_owned())];
                steps.push(named("Choose", Step::ChooseModel { cases, otherwise: None }));
                // Somebody may take it.
                steps.push(named("Append", Step::stage(Append(0))));
            }
            Raw::Exit if joins => {}
            Raw::Exit => {
                steps.push(named("Exit", Step::Exit));
                return kv;
            }
        }
    }
    kv
}

/// A pipeline that compiles, whatever was drawn.
fn pipeline(raws: &[Raw]) -> Vec<Named> {
    let mut steps = Vec::new();
    build(raws, false, false, &mut steps);
    if !steps.iter().any(|named| matches!(named.step, Step::Decode(_) | Step::Reason(_))) {
        steps.retain(|named| !matches!(named.step, Step::Exit));
        steps.push(named("Prefill", Step::Prefill(None)));
        steps.push(named("Decode", Step::Decode(Tokens::Share(1.0))));
    }
    steps
}

const STEP_US: u64 = 1_000;
const APPEND_US: u64 = 70;
const PROMPT: u32 = 20;
const ANSWER: u32 = 3;

/// A text on its way, read directly off the tree.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Text {
    now: u64,
    context: u32,
    generated: u32,
    /// Tokens whose KV is there.
    kv: u32,
    model: u16,
    serving: u16,
    sampled: u32,
    first: u64,
    answer: u64,
    last: u64,
    count: u32,
    /// Of all branches.
    work: u64,
    over: bool,
}

impl Text {
    /// A visit that computes what is missing of the context and generates; when its tokens are out.
    fn visit(&mut self, tokens: u32) -> u64 {
        let missing = self.context - self.kv.min(self.context - 1);
        let first = self.now + u64::from(missing) + STEP_US;
        self.now = first + u64::from(tokens - 1) * STEP_US;
        self.kv = self.context + tokens - 1;
        self.context += tokens;
        self.generated += tokens;
        self.work += u64::from(tokens);
        self.last = self.now;
        first
    }

    fn generate(&mut self, prefills: bool, reason: Option<u32>, answer: Option<u32>) {
        let (reasons, answers) = (reason.unwrap_or(0), answer.unwrap_or(0));
        let mut left = reasons + answers;
        let alone = left == 0;
        let mut fused = false;
        let out; // before the visit that generates on
        if prefills {
            (self.serving, self.kv, self.sampled) = (self.model, 0, 0);
            fused = !alone && self.serving == 0;
            let tokens = if fused { left } else { 1 };
            self.first = self.visit(tokens);
            (self.answer, self.count) = (self.first, tokens);
            if alone {
                self.sampled = 1;
                return;
            }
            left -= tokens;
            out = 1;
        } else {
            out = self.sampled.min(left);
            left -= out;
            self.sampled = 0;
        }
        let mut begun = self.first;
        if left > 0 {
            begun = self.visit(left);
            self.count += left;
        }
        let after = |tokens: u32| begun + u64::from(tokens) * STEP_US;
        if fused || left > 0 {
            self.answer = match (reasons, answers) {
                (_, 0) => u64::MAX,
                (_, _) if fused => after(reasons),
                (1.., _) => after(reasons - out),
                (0, _) if self.answer == u64::MAX => begun,
                (0, _) => self.answer,
            };
        }
    }

    fn read(&mut self, steps: &[Named]) {
        let mut at = 0;
        while at < steps.len() && !self.over {
            match &steps[at].step {
                Step::Prefill(_) | Step::Reason(_) | Step::Decode(_) => {
                    let fixed = |tokens: &Tokens| match tokens {
                        Tokens::Exactly(tokens) => *tokens,
                        _ => ANSWER,
                    };
                    let (mut prefills, mut reason, mut answer) = (false, None, None);
                    if matches!(steps[at].step, Step::Prefill(_)) {
                        prefills = true;
                        at += 1;
                    }
                    if let Some(Named { step: Step::Reason(tokens), .. }) = steps.get(at) {
                        reason = Some(fixed(tokens));
                        at += 1;
                    }
                    if let Some(Named { step: Step::Decode(tokens), .. }) = steps.get(at) {
                        answer = Some(fixed(tokens));
                        at += 1;
                    }
                    self.generate(prefills, reason, answer);
                    continue;
                }
                Step::Stage(_) => {
                    self.now += APPEND_US;
                    let tokens: u32 = steps[at].name.parse().unwrap_or(0);
                    self.context += tokens;
                }
                Step::Pass { .. } => {
                    // In passes of what a model takes at once, less the token that it samples.
                    let mut left = self.context;
                    while left > 0 {
                        let part = left.min(99);
                        self.now += u64::from(part) + STEP_US;
                        left -= part;
                    }
                }
                Step::Wait { takes, adds } => {
                    let Duration::Exactly(span) = takes else { unreachable!() };
                    self.now += span.to_sim().as_ns() / 1_000;
                    let Tokens::Exactly(tokens) = adds else { unreachable!() };
                    self.context += tokens;
                }
                Step::Parallel(branches) => {
                    let before = *self;
                    for branch in branches {
                        let mut text = before;
                        text.read(branch);
                        self.now = self.now.max(text.now);
                        self.context += text.context - before.context;
                        self.generated += text.generated - before.generated;
                        self.work += text.work - before.work;
                        if text.model != before.model {
                            self.model = text.model;
                        }
                        if text.generated != before.generated {
                            (self.kv, self.serving, self.sampled) = (text.kv, text.serving, text.sampled);
                            (self.first, self.answer) = (text.first, text.answer);
                            (self.last, self.count) = (text.last, text.count);
                        }
                    }
                }
                Step::Repeat { run, times, until } => {
                    let Some(Count::Exactly(times)) = times else { unreachable!() };
                    for _ in 0..*times {
                        self.read(run);
                        let Some(When::ContextTokens { from, .. }) = until else { continue };
                        if self.over || self.context >= *from {
                            break;
                        }
                    }
                }
                Step::Branch { cases, otherwise } => {
                    let When::ContextTokens { below: Some(tokens), .. } = cases[0].0 else { unreachable!() };
                    self.read(if self.context < tokens { &cases[0].1 } else { otherwise });
                }
                Step::Search { width, rounds, run, .. } => {
                    for _ in 0..*rounds {
                        let before = self.work;
                        self.read(run);
                        self.work += (self.work - before) * u64::from(width - 1);
                    }
                }
                Step::ChooseModel { cases, .. } => {
                    let When::ContextTokens { below: Some(tokens), .. } = cases[0].0 else { unreachable!() };
                    if self.context < tokens {
                        self.model = 1;
                    }
                }
                Step::Exit => self.over = true,
            }
            at += 1;
        }
    }
}

/// Clients without end: nobody waits, and what takes how long is known.
struct World<'a> {
    ground: Ground<'a>,
    journey: Journey,
    pending: BinaryHeap<Reverse<(SimTime, u64)>>,
    events: Vec<Option<Event>>,
    /// Handles kept and not released.
    kept: BTreeSet<u32>,
    handles: u32,
    /// Stretches times and turns away, if any.
    chaos: Option<Stream>,
    done: bool,
}

enum Event {
    Visited(Box<(Visit, Visited)>),
    Resume(u32),
}

impl World<'_> {
    fn act(&mut self, actions: &mut Vec<Action>) {
        for action in actions.drain(..) {
            assert!(!self.done, "nothing happens after the end");
            match action {
                Action::Visit(visit) => self.visit(visit),
                Action::Wait { thread, until } => self.push(until, Event::Resume(thread)),
                Action::Release(kv) => assert!(self.kept.remove(&kv.id), "KV is released once"),
                Action::Done => self.done = true,
            }
        }
    }

    fn push(&mut self, at: SimTime, event: Event) {
        let thread = |event: &Event| match event {
            Event::Visited(visited) => visited.0.thread,
            Event::Resume(thread) => *thread,
        };
        let busy = self.events.iter().flatten().any(|other| thread(other) == thread(&event));
        assert!(!busy, "a thread does one thing at a time");
        self.pending.push(Reverse((at, self.events.len() as u64)));
        self.events.push(Some(event));
    }

    fn visit(&mut self, visit: Visit) {
        let Visit { place, pool, work, base, payload, .. } = visit;
        let now = self.ground.now;
        let us = |us: u64| SimSpan::from_ns(us * 1_000);
        let mut factor = 1;
        let mut rejection = None;
        if let Some(draws) = &mut self.chaos {
            factor = 1 + (uniform(draws) * 9.0) as u64;
            rejection = (uniform(draws) < 0.02).then_some(Rejection::ContextLength);
        }
        let (first, end, answer) = if pool == 3 {
            (SimTime::MAX, now + us(APPEND_US * factor), SimTime::MAX)
        } else {
            assert!(base.is_none_or(|kv| self.kept.contains(&kv.id)), "it goes on with KV that is there");
            let there = base.map_or(0, |kv| kv.tokens).min(work.prompt_tokens - 1);
            assert!(work.output_tokens > 0 && work.reason_tokens < work.output_tokens.max(2), "{work:?}");
            let first = now + us((u64::from(work.prompt_tokens - there) + STEP_US) * factor);
            let after = |tokens: u32| first + us(u64::from(tokens) * STEP_US * factor);
            let answer = after(work.reason_tokens);
            (first, after(work.output_tokens - 1), answer)
        };
        let kept = (work.keep && rejection.is_none()).then(|| {
            let tokens = work.prompt_tokens + work.output_tokens - 1;
            self.handles += 1;
            KvHandle { client: Entity::PLACEHOLDER, index: 0, id: self.handles, model: 0, tokens }
        });
        let _ = place;
        let visited = Visited {
            client: pool.into(),
            way: None,
            started: now,
            first_token: first,
            answer,
            payload,
            kept,
            cached_tokens: 0,
            preemptions: 0,
            rejection,
        };
        let end = if rejection.is_some() { now } else { end };
        self.push(end, Event::Visited(Box::new((visit, visited))));
    }

    /// Until nothing is pending.
    fn run(&mut self) {
        let mut actions = Vec::new();
        self.ground.start(&mut self.journey, &mut actions);
        self.act(&mut actions);
        while let Some(Reverse((at, number))) = self.pending.pop() {
            self.ground.now = at;
            match self.events[number as usize].take() {
                Some(Event::Visited(visited)) => {
                    let (visit, visited) = *visited;
                    let there = visit.base.is_none_or(|kv| self.kept.contains(&kv.id));
                    assert!(there, "KV stays as long as somebody goes on with it");
                    self.kept.extend(visited.kept.map(|kv| kv.id));
                    self.ground.finish(&mut self.journey, visit.thread, &visited, &mut actions);
                }
                Some(Event::Resume(thread)) => {
                    self.ground.resume(&mut self.journey, thread, &mut actions);
                }
                None => unreachable!("an event happens once"),
            }
            self.act(&mut actions);
        }
        assert!(self.done, "every journey ends");
        assert!(self.kept.is_empty(), "all KV is released: {:?}", self.kept);
    }
}

/// Walks the pipeline; the journey and when it ended.
fn walk(steps: &[Named], chaos: Option<Stream>) -> (Journey, SimTime) {
    let program = compile(steps, &Town).unwrap_or_else(|problems| panic!("{problems:?}"));
    let models = models();
    let payload = Payload::new(PROMPT, ANSWER, 0);
    let draws = Streams::new(1).stream("test", 0);
    let journey = Journey::new(payload, program.labels().len(), draws, SimTime::ZERO);
    let mut world = World {
        ground: Ground { program: &program, models: &models, now: SimTime::ZERO },
        journey,
        pending: BinaryHeap::new(),
        events: Vec::new(),
        kept: BTreeSet::new(),
        handles: 0,
        chaos,
        done: false,
    };
    world.run();
    let now = world.ground.now;
    (world.journey, now)
}

/// What the stage called `Append` adds stands in its name, for the reading of the tree.
fn label(steps: &mut [Named]) {
    for named in steps {
        match &mut named.step {
            Step::Stage(stage) => {
                let append = (stage.as_ref() as &dyn std::any::Any).downcast_ref::<Append>();
                named.name = append.expect("the only stage").0.to_string();
            }
            Step::Parallel(branches) => branches.iter_mut().for_each(|branch| label(branch)),
            Step::Repeat { run, .. } | Step::Search { run, .. } => label(run),
            Step::Branch { cases, otherwise } => {
                for (_, run) in cases {
                    label(run);
                }
                label(otherwise);
            }
            _ => {}
        }
    }
}

fn check(raws: &[Raw]) {
    let mut steps = pipeline(raws);
    label(&mut steps);
    let mut text = Text {
        now: 0,
        context: PROMPT,
        generated: 0,
        kv: 0,
        model: 0,
        serving: 0,
        sampled: 0,
        first: u64::MAX,
        answer: u64::MAX,
        last: u64::MAX,
        count: 0,
        work: 0,
        over: false,
    };
    text.read(&steps);
    let (journey, end) = walk(&steps, None);
    let us = |at: SimTime| if at == SimTime::MAX { u64::MAX } else { at.as_ns() / 1_000 };
    let TokenTimes { first, answer, last, count } = journey.times();
    let payload = journey.payload();
    assert_eq!((us(end), payload.context_tokens), (text.now, text.context));
    assert_eq!((payload.generated_tokens, journey.generated()), (text.generated, text.work));
    assert_eq!((us(first), us(last), count), (text.first, text.last, text.count));
    assert_eq!(us(answer), text.answer, "the first token of the answer");
    let laps = journey.laps().iter().fold(SimSpan::ZERO, |sum, lap| sum + lap.total());
    assert_eq!(laps, end.since(SimTime::ZERO), "the times of the stages add up");
    for seed in 0..4 {
        let (journey, end) = walk(&steps, Some(Streams::new(seed).stream("chaos", 0)));
        if journey.rejection().is_none() {
            let laps = journey.laps().iter().fold(SimSpan::ZERO, |sum, lap| sum + lap.total());
            assert_eq!(laps, end.since(SimTime::ZERO), "the times of the stages add up");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_walk_is_what_the_tree_says(raws in raws()) {
        check(&raws);
    }
}
