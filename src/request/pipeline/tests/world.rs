//! A world of endless clients in which pipelines are walked.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use super::*;

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
pub fn walk(steps: &[Named], chaos: Option<Stream>) -> (Journey, SimTime) {
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
