//! Replications: the first is the plain run, the number of threads is not seen, intervals hold the truth.

use std::fmt::Write;

use mist::engine::{SimBuilder, Stream, uniform};
use mist::output::ReplicationSummary;
use mist::simulation::{Outcome, Simulation};
use mist::stats::Interval;
use mist::workload::lengths::LengthExt;
use mist::workload::{LengthSource, Lengths, SourceError};
use rayon::ThreadPoolBuilder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenarios::fixed_cases;
use crate::theory::server::{self, scenario, simulation};

/// Everything replications say: JSON, rows, and what each was run with.
fn digest(outcomes: &[Outcome]) -> String {
    let summary = ReplicationSummary::new(outcomes).unwrap();
    let mut bytes = serde_json::to_vec_pretty(&summary).unwrap();
    summary.write_csv(&mut bytes).unwrap();
    let mut text = String::from_utf8(bytes).unwrap();
    for one in outcomes {
        let Outcome { resolved, summary, ticks, events, .. } = one;
        writeln!(text, "{resolved}\n{summary:?}\n{ticks} {events}").unwrap();
    }
    text
}

fn replicate(simulation: &Simulation, text: &str, count: u32) -> Vec<Outcome> {
    simulation.replicate_text(text, "case.ron", count).unwrap().run().unwrap()
}

#[test]
fn the_first_is_the_plain_run_and_each_can_be_run_alone() {
    for case in fixed_cases(6) {
        let text = case.ron("Analytical()", None);
        let simulation = Simulation::new();
        let outcomes = replicate(&simulation, &text, 4);
        let plain = simulation.read(text.as_str(), "case.ron").unwrap().run().unwrap();
        assert_eq!((&outcomes[0].summary, &outcomes[0].resolved), (&plain.summary, &plain.resolved));
        for one in &outcomes {
            let alone = Simulation::new().set(format!("seed={}", one.seed));
            let alone = alone.read(text.as_str(), "case.ron").unwrap().run().unwrap();
            assert_eq!((&alone.summary, &alone.resolved), (&one.summary, &one.resolved));
            let again = Simulation::new().read(one.resolved.as_str(), "case.ron").unwrap().run().unwrap();
            assert_eq!(again.summary, one.summary);
        }
    }
}

#[test]
fn the_number_of_threads_is_not_seen() {
    for case in fixed_cases(4) {
        let text = case.ron("Analytical()", None);
        let on = |threads| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| digest(&replicate(&Simulation::new(), &text, 9)))
        };
        assert_eq!(on(1), on(4), "{text}");
    }
}

#[test]
fn plugins_come_along() {
    // A plugin that holds something, and is built on several threads.
    let step = String::from("10000");
    let holding = move |_: &mut SimBuilder| assert_eq!(step, "10000");
    let text = scenario(10_000, "Uniform(rate: per_s(50))", "Fixed(prompt: 8, output: 1)", 20, 1);
    let outcomes = replicate(&simulation().with(holding), &text, 8);
    assert_eq!(outcomes.len(), 8);
    assert!(ReplicationSummary::new(&outcomes).unwrap().all_equal());
}

/// Lengths that fail in about half of all replications, each in words of its own.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
struct Fragile {}

impl LengthSource for Fragile {
    fn next(&mut self, rng: &mut Stream) -> Result<Option<Lengths>, SourceError> {
        let draw = uniform(rng);
        if draw < 0.02 {
            return Err(SourceError::Empty { path: draw.to_string().into() });
        }
        Ok(Some(Lengths { prompt_tokens: 8, output_tokens: 1 }))
    }
}

fn fragile(sim: &mut SimBuilder) {
    sim.length_source("Fragile", |source: Fragile| Ok(Box::new(source) as Box<dyn LengthSource>));
}

/// However many threads run.
#[test]
fn the_first_failure_is_the_one_reported() {
    let simulation = simulation().with(fragile);
    for seed in 0..6 {
        let text = scenario(10_000, "Poisson(rate: per_s(50))", "Fragile()", 35, seed);
        let replications = || simulation.replicate_text(text.as_str(), "case.ron", 8).unwrap();
        let one_by_one = replications().seeds().find_map(|seed| {
            let alone = server::simulation().with(fragile).set(format!("seed={seed}"));
            alone.read(text.as_str(), "case.ron").unwrap().run().err()
        });
        let one_by_one = one_by_one.map(|error| error.to_string());
        for threads in [1, 4] {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let failure = pool.install(|| replications().run().err());
            assert_eq!(failure.map(|error| error.to_string()), one_by_one);
        }
    }
}

/// The mean wait of M/D/1, which is ρ·S / 2(1 − ρ): of 200 groups of 5 replications, about 95 % of the
/// intervals hold it (within 3.5 standard deviations of a binomial).
#[test]
fn intervals_hold_the_truth_about_as_often_as_they_say() {
    const GROUPS: usize = 200;
    let (service, load) = (0.01, 0.4);
    let truth_ms = 1e3 * load * service / (2.0 * (1.0 - load));
    let arrivals = format!("Poisson(rate: per_s({:?}))", load / service);
    let text = scenario(10_000, &arrivals, "Fixed(prompt: 8, output: 1)", 1_000, 11);
    let outcomes = replicate(&simulation(), &text, 5 * GROUPS as u32);
    let waits: Vec<f64> =
        outcomes.iter().map(|one| one.summary.latency.queueing.as_ref().unwrap().mean_ms).collect();
    let holds = |group: &&[f64]| {
        let interval = Interval::of(group).unwrap();
        interval.ci_low.unwrap() <= truth_ms && truth_ms <= interval.ci_high.unwrap()
    };
    let share = waits.chunks(5).filter(holds).count() as f64 / GROUPS as f64;
    let deviation = (0.95 * 0.05 / GROUPS as f64).sqrt();
    assert!((share - 0.95).abs() <= 3.5 * deviation, "{share} of intervals hold {truth_ms} ms");
    let all = Interval::of(&waits).unwrap();
    assert!((all.mean - truth_ms).abs() <= 2.0 * all.half_width().unwrap() + 0.01 * truth_ms, "{all:?}");
}
