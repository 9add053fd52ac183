//! Prints how the engine compares: ratios, which carry over from machine to machine.
//!
//! Each figure is the least CPU time of several runs, those that are compared taking turns.
//! `cargo bench --bench ratios`
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::hint::black_box;
use std::time::Duration;

use mist::simulation::Run;
use support::cpu;
use support::reference::Reference;

const REQUESTS: u64 = 100_000;
const ROUNDS: usize = 7;

fn main() {
    // `cargo test --benches` only wants to know that it works.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    same_results();
    let rack = || support::load("rack_256", REQUESTS);
    let mut whole = || drop(black_box(rack().run().unwrap()));
    let mut fleet = || drop(black_box(support::load("fleet_10k", REQUESTS).run().unwrap()));
    let mut million = || drop(black_box(support::load("rack_256", 10 * REQUESTS).run().unwrap()));
    let mut profiled = || drop(black_box(support::load_profiled("rack_256", REQUESTS).run().unwrap()));
    let [whole, profiled, fleet] = least([&mut whole, &mut profiled, &mut fleet]);
    let [million] = least([&mut million]);
    println!("whole runs, scenario file to summary          CPU s    requests/CPU s   cost a request");
    let line = |name: &str, cost: Duration, requests: u64| {
        let (seconds, requests) = (cost.as_secs_f64(), requests as f64);
        let relative = seconds / requests / (whole.as_secs_f64() / REQUESTS as f64);
        println!("{name:<42} {seconds:>8.3} {:>17.0} {relative:>15.2}×", requests / seconds);
    };
    line("rack_256, 100,000 requests", whole, REQUESTS);
    line("rack_256, a table look-up a step", profiled, REQUESTS);
    line("rack_256, 1,000,000 requests", million, 10 * REQUESTS);
    line("fleet_10k, 100,000 requests", fleet, REQUESTS);

    println!("\nengine over hand-written loop                 engine      loop         ratio (bound 4)");
    for (name, make) in RUNS {
        let (mut engine, mut hand) = (Duration::MAX, Duration::MAX);
        for _ in 0..ROUNDS {
            let run = make();
            engine = engine.min(cpu::spent(|| black_box(run.run().unwrap())).0);
            let reference = Reference::new(make());
            hand = hand.min(cpu::spent(|| black_box(reference.run())).0);
        }
        let (engine, hand) = (engine.as_secs_f64(), hand.as_secs_f64());
        println!("{name:<42} {engine:>7.3} s {hand:>7.3} s {:>12.2}×", engine / hand);
    }
}

type Load = fn() -> Run;

/// Runs that the hand-written loop can do as well.
const RUNS: [(&str, Load); 3] = [
    ("rack_256", || support::load("rack_256", REQUESTS)),
    ("rack_256, a table look-up a step", || support::load_profiled("rack_256", REQUESTS)),
    ("fleet_10k", || support::load("fleet_10k", REQUESTS)),
];

/// The hand-written loop does the same as the engine, or comparing the two says nothing.
fn same_results() {
    for (name, make) in RUNS {
        let engine = serde_json::to_string_pretty(&make().run().unwrap().summary).unwrap();
        let hand = serde_json::to_string_pretty(&Reference::new(make()).run()).unwrap();
        assert_eq!(engine, hand, "{name}");
    }
}

/// The least CPU time of each piece of work, in turns.
fn least<const N: usize>(mut work: [&mut dyn FnMut(); N]) -> [Duration; N] {
    let mut least = [Duration::MAX; N];
    for _ in 0..ROUNDS {
        for (work, least) in work.iter_mut().zip(&mut least) {
            *least = cpu::spent(work).0.min(*least);
        }
    }
    least
}
