//! Whole simulations, without loading: `rack_256`, the fleet, a million requests, and the hand-written loop.
//!
//! CPU time, so that it holds on a busy machine. `cargo bench --bench simulation`
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use mist::simulation::Run;
use support::cpu::{CpuTime, requests};
use support::reference::Reference;

fn simulations(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("simulation");
    group.sample_size(10);
    let mut engine = |name: &str, count: u64, load: &dyn Fn() -> Run| {
        group.throughput(requests(count));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(load, |run| run.run().unwrap(), BatchSize::PerIteration);
        });
    };
    engine("rack_256", 100_000, &|| support::load("rack_256", 100_000));
    engine("rack_256_profiled", 100_000, &|| support::load_profiled("rack_256", 100_000));
    engine("rack_256_million", 1_000_000, &|| support::load("rack_256", 1_000_000));
    engine("fleet_10k", 100_000, &|| support::load("fleet_10k", 100_000));
    group.throughput(requests(100_000));
    group.bench_function("rack_256_hand_written", |bencher| {
        let load = || Reference::new(support::load("rack_256", 100_000));
        bencher.iter_batched(load, Reference::run, BatchSize::PerIteration);
    });
    group.finish();
}

/// Reading a scenario, deploying its clients and building its world.
fn loading(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("loading");
    group.sample_size(20);
    for name in ["rack_256", "fleet_10k"] {
        group.bench_function(name, |bencher| {
            bencher.iter_with_large_drop(|| support::load(name, 100_000));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = loading, simulations
}
criterion_main!(benches);
