//! Random small scenarios, as a user would write them, and how tests run them.

mod checked;
mod deployment;
pub mod policies;
mod workload;

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use mist::metrics::{Recorder, RequestRecord, RowSink};
use mist::request::pipeline::Lap;
use mist::simulation::{Outcome, Run, Simulation};
use mist::units::{SimSpan, SimTime};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

pub use checked::checked;
use deployment::Group;
pub use deployment::Server;
use workload::Source;

/// A scenario, as the few choices that make it up.
#[derive(Clone, Debug)]
pub struct Case {
    seed: u64,
    groups: Vec<Group>,
    sources: Vec<Source>,
    routing: &'static str,
    latency_us: u32,
    /// Where tests stop the clock, as a share of how long the whole run takes.
    horizon: f64,
}

/// Scenarios of one to five clients and one to three workloads.
pub fn cases() -> impl Strategy<Value = Case> {
    let routing = prop::sample::select(vec!["RoundRobin", "Random", "LeastOutstanding"]);
    let latency = prop_oneof![3 => Just(0_u32), 1 => 1_u32..5_000];
    let groups = prop::collection::vec(deployment::groups(), 1..=3);
    let sources = prop::collection::vec(workload::sources(), 1..=3);
    (any::<u64>(), groups, sources, routing, latency, 0.01..1.0).prop_map(
        |(seed, mut groups, sources, routing, latency_us, horizon)| {
            let mut left = 5;
            for group in &mut groups {
                group.count = group.count.min(left - 1).max(1);
                left -= group.count;
            }
            Case { seed, groups, sources, routing, latency_us, horizon }
        },
    )
}

impl Case {
    /// The scenario in RON, up to `horizon` if there is one; `runtime` names the runtime model.
    pub fn ron(&self, runtime: &str, horizon: Option<SimTime>) -> String {
        let mut text = format!("(mist: 1, seed: {}, platforms: [", self.seed);
        for (at, group) in self.groups.iter().enumerate() {
            text += &group.platform(at);
        }
        text += "], clients: [";
        for (at, group) in self.groups.iter().enumerate() {
            text += &group.client(at, runtime);
        }
        let Self { routing, latency_us, .. } = self;
        write!(text, "], coordinator: (routing: {routing}, latency: us({latency_us})), workload: [").unwrap();
        let priorities = self.groups.iter().any(|group| group.policies.reads_priority());
        for (at, source) in self.sources.iter().enumerate() {
            let priority = if priorities { 1 - i16::try_from(at).unwrap() } else { 0 };
            text += &source.workload(at, self.groups[at % self.groups.len()].model(), priority);
        }
        text += "]";
        if let Some(horizon) = horizon {
            write!(text, ", horizon: us({:?})", horizon.as_ns() as f64 / 1e3).unwrap();
        }
        text + ")"
    }
}

impl Case {
    /// Whether a client has a front end.
    pub fn has_front_end(&self) -> bool {
        self.groups.iter().any(Group::has_front_end)
    }

    /// How each client schedules, in order.
    pub fn modes(&self) -> Vec<policies::Mode> {
        let of = |group: &Group| vec![group.policies.mode(); group.count as usize];
        self.groups.iter().flat_map(of).collect()
    }

    /// Whether tests look at it after every single tick.
    pub const fn looks_at_every_tick(&self) -> bool {
        self.seed.is_multiple_of(8)
    }

    /// What it takes from the coordinator to a client.
    pub fn latency(&self) -> SimSpan {
        SimSpan::from_ns(u64::from(self.latency_us) * 1_000)
    }

    /// An instant in the middle of the run that left these records, in whole microseconds.
    pub fn stop(&self, rows: &[RequestRecord]) -> SimTime {
        let end = rows.iter().map(|row| row.done.as_ns()).max().unwrap_or(1_000_000);
        SimTime::from_ns(((end as f64 * self.horizon) as u64 / 1_000).max(1) * 1_000)
    }
}

/// Runs `test` on so many random scenarios; a failure shows the smallest scenario found that fails.
pub fn on_random_cases(count: u32, test: impl Fn(&Case)) {
    let config =
        Config { cases: count, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let outcome = TestRunner::new(config).run(&cases(), |case| {
        test(&case);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// So many scenarios, always the same ones.
pub fn fixed_cases(count: usize) -> Vec<Case> {
    let mut runner = TestRunner::deterministic();
    let strategy = cases();
    let mut draw = || strategy.new_tree(&mut runner).expect("scenarios are made without rejection").current();
    (0..count).map(|_| draw()).collect()
}

/// The records of completed requests, for whoever holds it.
#[derive(Clone, Default)]
pub struct Rows(Arc<Mutex<Vec<RequestRecord>>>);

impl Rows {
    /// Makes `run` write its records here.
    pub fn of(run: &mut Run) -> Self {
        let rows = Self::default();
        run.sim().world_mut().resource_mut::<Recorder>().write_rows_to(Box::new(rows.clone()));
        rows
    }

    /// The records so far.
    pub fn take(&self) -> Vec<RequestRecord> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl RowSink for Rows {
    fn row(&mut self, request: &RequestRecord, _: &[Lap]) -> std::io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(*request);
        Ok(())
    }
}

/// Reads a scenario that must be in order.
pub fn read(simulation: &Simulation, text: &str) -> Run {
    simulation.read(text, "case.ron").unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Runs a scenario to its end.
pub fn run(simulation: &Simulation, text: &str) -> (Outcome, Vec<RequestRecord>) {
    let mut run = read(simulation, text);
    let rows = Rows::of(&mut run);
    let outcome = run.run().unwrap_or_else(|error| panic!("{error}\n{text}"));
    (outcome, rows.take())
}
