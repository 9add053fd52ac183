//! A network of task clients in tandem, with feedback, against Jackson's theorem.

use mist::clients::Site;
use mist::clients::tasks::{Discipline, Part, Task, TaskClient, TaskExt, TaskModel};
use mist::engine::{SimBuilder, Stream, exponential};
use mist::metrics::Recorder;
use mist::request::{StageExt, StageKind};
use mist::runtime::Bound;
use mist::scenario::Problem;
use mist::simulation::Simulation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::server::{Estimate, REPLICATIONS};
use crate::pipelines::laws::Rows;

/// The `N`-th station.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Visit<const N: usize> {}

/// Its servers, and their mean time (ms).
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Station<const N: usize> {
    servers: u32,
    mean_ms: f64,
}

impl<const N: usize> StageKind for Visit<N> {
    fn client(&self) -> &'static str {
        ["First", "Second"][N]
    }
}

impl<const N: usize> TaskClient for Station<N> {
    type Model = Self;
    fn deploy(&self, _: &Site<'_>) -> Result<Self, Vec<Problem>> {
        Ok(*self)
    }
}

impl<const N: usize> TaskModel for Station<N> {
    type Stage = Visit<N>;

    fn discipline(&self) -> Discipline {
        Discipline::Sequential { cores: self.servers }
    }

    fn serve(&self, _: &mut [Task<'_, Visit<N>>], draws: &mut Stream, parts: &mut Vec<Part>) {
        let seconds = self.mean_ms / 1e3 * exponential(draws);
        parts.push(Part { name: "serve", seconds, bound: Bound::Host });
    }

    fn source(&self) -> String {
        "a test".into()
    }
}

fn stations(sim: &mut SimBuilder) {
    sim.task_client::<Station<0>>("First").stage_kind::<Visit<0>>("VisitFirst");
    sim.task_client::<Station<1>>("Second").stage_kind::<Visit<1>>("VisitSecond");
}

const REQUESTS: u32 = 20_000;

/// Poisson(64/s) arrivals come to M/M/1 with μ = 100/s, again with a chance of 20 %, then to M/M/3 of 30 ms.
#[test]
fn stations_in_tandem_with_feedback_are_a_jackson_network() {
    let simulation = Simulation::new().with(stations);
    let mut times = [Vec::new(), Vec::new()];
    for seed in 0..REPLICATIONS {
        let take = "Take(platform: \"p\", nodes: [(\"cpu\", 1)])";
        let text = format!(
            "(mist: 1, seed: {seed}, platforms: [(name: \"p\", usd_per_hour: 1, \
               nodes: [(name: \"cpu\", hardware: \"EPYC 9654 (Genoa 96c)\", count: 2)])], \
             clients: [(name: \"a\", cluster: {take}, runs: First(servers: 1, mean_ms: 10)), \
               (name: \"b\", cluster: {take}, runs: Second(servers: 3, mean_ms: 30))], \
             workload: [(name: \"w\", requests: {REQUESTS}, arrivals: Poisson(rate: per_s(64)), \
               lengths: Fixed(prompt: 1, output: 1), \
               pipeline: [Repeat(run: [VisitFirst], until: Chance(0.8)), VisitSecond])])"
        );
        let mut run = simulation.read(text, "jackson.ron").unwrap();
        let rows = Rows::default();
        run.sim().world_mut().resource_mut::<Recorder>().write_rows_to(Box::new(rows.clone()));
        run.run().unwrap();
        let mut rows = rows.take();
        rows.sort_by_key(|(row, _)| row.id);
        // The first tenth is left out as the queues fill.
        let rows = &rows[REQUESTS as usize / 10..];
        for (at, times) in times.iter_mut().enumerate() {
            let total: f64 = rows.iter().map(|(_, laps)| laps[at].total().as_secs_f64()).sum();
            times.push(total / rows.len() as f64);
        }
    }
    // 1/0.8 visits of 1/(μ − λ/0.8).
    Estimate::of(&times[0]).agrees_with(1.25 / (100.0 - 80.0), 0.0, 0.06);
    // Erlang C: a = λ·s servers are busy of c = 3.
    let (rate, service) = (64.0, 0.03);
    let load: f64 = rate * service;
    let full = load.powi(3) / 6.0 / (1.0 - load / 3.0);
    let waits = full / (1.0 + load + load * load / 2.0 + full);
    Estimate::of(&times[1]).agrees_with(service + waits / (3.0 / service - rate), 0.0, 0.03);
}
