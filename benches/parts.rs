//! What a simulation is made of: a tick, a price, a routing decision, a record, a line of a trace.
//!
//! CPU time, so that it holds on a busy machine. `cargo bench --bench parts`
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::hint::black_box;

use bevy_ecs::entity::Entity;
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use mist::coordinator::Load;
use mist::coordinator::routing::{LeastOutstanding, Part, RouteRequest, RoutingPolicy};
use mist::engine::Streams;
use mist::metrics::{Recorder, RequestRecord, Slo, SourceSpec};
use mist::runtime::{Chunk, StepCost, StepShape};
use mist::stats::TokenGaps;
use mist::units::{SimSpan, SimTime};
use mist::workload::trace::{Input, Options, TraceRow, read};
use support::cpu::{CpuTime, requests};
use support::ticks::{EXECUTORS, sixteen_systems};

/// Ticks in which 2 of 16 systems have something to do.
fn ticks(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("tick");
    for (name, executor) in EXECUTORS {
        let mut sim = sixteen_systems(executor);
        group.bench_function(name, |bencher| bencher.iter(|| sim.step().unwrap()));
    }
    group.finish();
}

fn prices(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("price");
    let models = [
        ("analytical", support::analytical_model()),
        ("empirical", support::empirical_model()),
        ("whole", support::whole_model()),
        ("table", support::profiled_model()),
    ];
    for (name, model) in models {
        let mut sequences = 0;
        let mut next = move || {
            // Batches and contexts like those of rack_256, in no order a branch predictor could learn.
            sequences = (sequences * 5 + 17) % 64;
            (sequences + 1, u64::from(sequences + 1) * 1_300 + 7)
        };
        group.bench_function(BenchmarkId::new("decode", name), |bencher| {
            bencher.iter(|| {
                let (decode_seqs, decode_context) = next();
                model.price(black_box(&StepShape { prefill: &[], decode_seqs, decode_context }))
            });
        });
        group.bench_function(BenchmarkId::new("mixed", name), |bencher| {
            bencher.iter(|| {
                let (decode_seqs, decode_context) = next();
                let prefill = [Chunk { tokens: 16 * decode_seqs, context: 0, last: true }];
                model.price(black_box(&StepShape { prefill: &prefill, decode_seqs, decode_context }))
            });
        });
        group.bench_function(BenchmarkId::new("prompts", name), |bencher| {
            bencher.iter(|| {
                let (sequences, _) = next();
                let prefill = [Chunk { tokens: 16 * sequences, context: 0, last: true }];
                model.price(black_box(&StepShape { prefill: &prefill, ..StepShape::default() }))
            });
        });
        let mut costs = [StepCost::default(); 64];
        group.bench_function(BenchmarkId::new("stride_of_64", name), |bencher| {
            bencher.iter(|| {
                let (sequences, context) = next();
                model.price_decodes(sequences, context, black_box(&mut costs));
            });
        });
    }
    group.finish();
}

/// A decision, with the load brought up to date before and after.
fn routing(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("least_outstanding");
    for clients in [128, 1_024, 8_192] {
        let mut load = Load::new(clients);
        let mut stream = Streams::new(0).stream("routing", 0);
        let request = RouteRequest {
            id: 0,
            request: Entity::PLACEHOLDER,
            class: 0,
            model: 0,
            part: Part::Whole,
            kv_at: None,
            prompt_tokens: 1_000,
            arrived: SimTime::ZERO,
        };
        let mut departing = 0;
        group.bench_function(BenchmarkId::from_parameter(clients), |bencher| {
            bencher.iter(|| {
                let chosen = LeastOutstanding {}.route(&request, &load, &mut stream);
                load.add(chosen);
                departing = (departing + 4_099) % clients;
                load.remove(departing);
                chosen
            });
        });
    }
    group.finish();
}

/// Requests recorded an iteration.
const COUNT: u64 = 100_000;

fn records(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("record");
    let slo = Slo { ttft: Some(SimSpan::from_ns(1_000)), tpot: Some(SimSpan::from_ns(10)), e2e: None };
    let source = SourceSpec { name: "source".into(), slo, closed_loop: false, stages: Vec::new() };
    group.throughput(requests(COUNT));
    group.bench_function("requests", |bencher| {
        let new = || Recorder::new(vec![source.clone()]);
        bencher.iter_batched(
            new,
            |mut recorder| record_requests(&mut recorder, COUNT),
            BatchSize::PerIteration,
        );
    });
    group.throughput(requests(1));
    let (mut gaps, mut ns) = (TokenGaps::default(), 0);
    group.bench_function("token_gaps", |bencher| {
        bencher.iter(|| {
            ns = (ns * 5 + 1_234_567) % 60_000_000;
            gaps.record(SimSpan::from_ns(ns), 16);
        });
    });
    group.finish();
}

/// A format, its first line, and its row of that number.
type Rows = (&'static str, &'static str, fn(u64) -> String);

/// Lines of a trace, read and dropped.
fn traces(criterion: &mut Criterion<CpuTime>) {
    const LINES: u64 = 20_000;
    let mut group = criterion.benchmark_group("trace");
    let formats: [Rows; 3] = [
        ("native", "{\"mist_trace\":1}\n", |at| {
            format!("{{\"arrival_ns\":{},\"prompt_tokens\":1155,\"output_tokens\":421}}\n", at * 1_000)
        }),
        ("azure", "TIMESTAMP,ContextTokens,GeneratedTokens\n", |at| {
            format!("2023-11-16 {:02}:15:46.6805900,{at},44\n", at / 1_000)
        }),
        ("mooncake", "", |at| {
            let ids: Vec<String> = (0..24).map(|id| (at * 9 + id).to_string()).collect();
            let ids = ids.join(", ");
            format!(
                "{{\"timestamp\": {at}, \"input_length\": 12035, \"output_length\": 52, \"hash_ids\": [{ids}]}}\n"
            )
        }),
    ];
    for (name, head, row) in formats {
        let text = head.to_owned() + &(0..LINES).map(row).collect::<String>();
        group.throughput(requests(LINES));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let input = Input::from_reader("trace", std::io::Cursor::new(text.clone()));
                let mut reader = read(input, &Options::format(name)).unwrap();
                let (mut row, mut tokens) = (TraceRow::default(), 0);
                while reader.next_into(&mut row).unwrap() {
                    tokens += u64::from(row.prompt_tokens);
                }
                tokens
            });
        });
    }
    group.finish();
}

fn record_requests(recorder: &mut Recorder, count: u64) {
    let at = SimTime::from_ns;
    for id in 0..count {
        let ns = 4_000_000 * id;
        recorder.arrived(0, at(ns));
        let (arrived, started) = (at(ns), at(ns + 10_000));
        let (first_token, done) = (at(ns + 100_000_000), at(ns + 8_000_000_000 + id));
        let record = RequestRecord {
            id,
            source: 0,
            client: 0,
            arrived,
            started,
            first_token,
            answer: first_token,
            last_token: done,
            done,
            prompt_tokens: 1_000,
            output_tokens: 200,
            read_tokens: 1_000,
            generated_tokens: 200,
            cached_tokens: 0,
            preemptions: 0,
        };
        recorder.completed(&record, &[]).unwrap();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = ticks, prices, routing, records, traces
}
criterion_main!(benches);
