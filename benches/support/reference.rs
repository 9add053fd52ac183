//! A hand-written event loop of what `rack_256` simulates, without the engine: the yardstick of its speed.
//!
//! The same clients, arrivals, lengths, token gaps and metrics, in plain vectors, driven by one heap
//! of events in the order (time, kind, sequence). It knows round robin over one pool of LLM clients
//! with one open workload and nothing else, and does not say which system failed, run plugins, or
//! refuse what is not well ordered. Its summary is the engine's to the byte, as long as no request comes
//! at the very nanosecond at which a step in mid-stride ends.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bevy_ecs::entity::Entity;
use mist::clients::llm::{Landed, LlmClient};
use mist::clients::{Client, Usage};
use mist::engine::{Stream, Streams};
use mist::metrics::{ClientUsage, Recorder, RequestRecord, RunEnd, Slo, SourceSpec, Summary, Unfinished};
use mist::request::pipeline::Work;
use mist::simulation::Run;
use mist::stats::TokenGaps;
use mist::units::{SimSpan, SimTime};
use mist::workload::arrivals::ArrivalRegistry;
use mist::workload::lengths::LengthRegistry;
use mist::workload::{ArrivalProcess, LengthSource};

/// What happens, in the order of what comes first at the same instant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    StrideEnds { client: u32, epoch: u32 },
    Arrives,
    Delivered { request: u32, client: u32 },
}

/// A deployment taken out of its world.
pub struct Reference {
    clients: Vec<(LlmClient, Usage)>,
    arrivals: Box<dyn ArrivalProcess>,
    arrival_draws: Stream,
    lengths: Box<dyn LengthSource>,
    length_draws: Stream,
    latency: SimSpan,
    recorder: Recorder,
    gaps: TokenGaps,
    landed: Landed,
    events: BinaryHeap<Reverse<(SimTime, u8, u64, Event)>>,
    scheduled: u64,
    /// Requests that arrived and did not leave; the others' slots are vacant.
    requests: Vec<RequestRecord>,
    vacant: Vec<u32>,
    left_to_arrive: u64,
    arrived: u64,
    departed: u64,
    run: Run,
}

impl Reference {
    /// Takes the clients out of `run`.
    pub fn new(mut run: Run) -> Self {
        let scenario = run.scenario();
        let latency = scenario.coordinator.latency.to_sim();
        let workload = scenario.workload[0].clone();
        let world = run.sim().world_mut();
        let mut query = world.query::<(Entity, &Client)>();
        let mut clients: Vec<_> = query.iter(world).map(|(entity, c)| (c.index, entity)).collect();
        clients.sort_unstable();
        let mut take = |entity: Entity| world.entity_mut(entity).take::<(LlmClient, Usage)>().unwrap();
        let clients = clients.into_iter().map(|(_, entity)| take(entity)).collect();
        let streams = *world.resource::<Streams>();
        let span = |span: mist::units::Span| span.to_sim();
        let source = SourceSpec {
            name: workload.name,
            slo: Slo {
                ttft: workload.slo.ttft.map(span),
                tpot: workload.slo.tpot.map(span),
                e2e: workload.slo.e2e.map(span),
            },
            closed_loop: false,
            stages: Vec::new(),
        };
        Self {
            clients,
            arrivals: world
                .resource::<ArrivalRegistry>()
                .resolve(workload.arrivals.as_ref().unwrap())
                .unwrap()
                .built,
            arrival_draws: streams.stream("arrivals", 0),
            lengths: world
                .resource::<LengthRegistry>()
                .resolve(workload.lengths.as_ref().unwrap())
                .unwrap()
                .built,
            length_draws: streams.stream("lengths", 0),
            latency,
            recorder: Recorder::new(vec![source]),
            gaps: TokenGaps::default(),
            landed: Landed::default(),
            events: BinaryHeap::new(),
            scheduled: 0,
            requests: Vec::new(),
            vacant: Vec::new(),
            left_to_arrive: workload.requests.unwrap(),
            arrived: 0,
            departed: 0,
            run,
        }
    }

    /// Runs to the end.
    pub fn run(mut self) -> Summary {
        self.next_arrival();
        let mut now = SimTime::ZERO;
        while let Some(Reverse((time, _, _, event))) = self.events.pop() {
            now = time;
            match event {
                Event::StrideEnds { client, epoch } => self.land(client, epoch, now),
                Event::Arrives => self.arrive(now),
                Event::Delivered { request, client } => self.deliver(request, client, now),
            }
            if self.left_to_arrive == 0 && self.departed == self.arrived {
                break;
            }
        }
        self.summary(now)
    }

    fn at(&mut self, time: SimTime, event: Event) {
        self.scheduled += 1;
        let kind = match event {
            Event::StrideEnds { .. } => 0,
            Event::Arrives => 1,
            Event::Delivered { .. } => 2,
        };
        self.events.push(Reverse((time, kind, self.scheduled, event)));
    }

    fn next_arrival(&mut self) {
        if self.left_to_arrive > 0 {
            let at = self.arrivals.next(&mut self.arrival_draws).unwrap().unwrap();
            self.at(at, Event::Arrives);
        }
    }

    fn arrive(&mut self, now: SimTime) {
        let lengths = self.lengths.next(&mut self.length_draws).unwrap().unwrap();
        let client = (self.arrived % self.clients.len() as u64) as u32;
        let request = RequestRecord {
            id: self.arrived,
            source: 0,
            client,
            arrived: now,
            started: SimTime::MAX,
            first_token: SimTime::MAX,
            answer: SimTime::MAX,
            last_token: SimTime::MAX,
            done: SimTime::MAX,
            prompt_tokens: lengths.prompt_tokens,
            output_tokens: lengths.output_tokens,
            read_tokens: lengths.prompt_tokens.into(),
            generated_tokens: lengths.output_tokens.into(),
            cached_tokens: 0,
            preemptions: 0,
        };
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.requests.push(request);
            self.requests.len() as u32 - 1
        });
        self.requests[slot as usize] = request;
        self.arrived += 1;
        self.left_to_arrive -= 1;
        self.recorder.arrived(0, now);
        self.at(now + self.latency, Event::Delivered { request: slot, client });
        self.next_arrival();
    }

    fn deliver(&mut self, slot: u32, client: u32, now: SimTime) {
        let RequestRecord { prompt_tokens, output_tokens, arrived, .. } = self.requests[slot as usize];
        let (llm, _) = &mut self.clients[client as usize];
        if let Some(rejection) = llm.refuses(&Work::new(prompt_tokens, output_tokens), None) {
            let request = Unfinished { arrived, prompt_tokens, ..Unfinished::default() };
            self.recorder.rejected(&request, rejection, now).unwrap();
            self.vacant.push(slot);
            self.departed += 1;
            return;
        }
        let name = Entity::from_raw_u32(slot).unwrap();
        let cut = llm.enqueue(name, &Work::new(prompt_tokens, output_tokens), None, None, now);
        if let Some(end) = cut {
            self.at(end.time, Event::StrideEnds { client, epoch: end.epoch });
        } else {
            self.start(client, now);
        }
    }

    /// The next stride of `client`, if it is idle and has something to do.
    fn start(&mut self, client: u32, now: SimTime) {
        let (llm, _) = &mut self.clients[client as usize];
        if llm.form() {
            let end = llm.price(now);
            self.at(end.time, Event::StrideEnds { client, epoch: end.epoch });
        }
    }

    fn land(&mut self, client: u32, epoch: u32, now: SimTime) {
        let (llm, usage) = &mut self.clients[client as usize];
        if !llm.land(epoch, usage, &mut self.gaps, &mut self.landed) {
            return;
        }
        for first in self.landed.first_tokens.drain(..) {
            let request = &mut self.requests[first.stage.index_u32() as usize];
            request.started = first.started;
            request.first_token = first.at;
        }
        for finished in self.landed.finished.drain(..) {
            let slot = finished.stage.index_u32();
            let request = &mut self.requests[slot as usize];
            (request.answer, request.last_token, request.done) = (request.first_token, now, now);
            request.preemptions = finished.preemptions;
            self.recorder.completed(request, &[]).unwrap();
            self.vacant.push(slot);
            self.departed += 1;
        }
        self.start(client, now);
    }

    fn summary(mut self, now: SimTime) -> Summary {
        let deployment = self.run.deployment();
        let groups = deployment.groups.iter().flat_map(|group| (0..group.clients).map(move |_| group));
        let clients = groups.zip(&self.clients).map(|(group, (_, usage))| ClientUsage {
            group: &group.name,
            accelerators: group.accelerators,
            usage,
        });
        self.recorder.summary(&RunEnd {
            scenario: self.run.scenario().name.as_deref().unwrap(),
            now,
            clients: clients.collect(),
            itl: self.gaps.statistics(),
            sessions: None,
            price: deployment.price.clone(),
        })
    }
}
