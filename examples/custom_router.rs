//! A routing policy of one's own: power of two choices (Mitzenmacher 2001).
//!
//! ```text
//!  request ──▶ draw `choices` clients ──▶ the least loaded of them
//! ```
//! Draws come from the pool's own random stream, so other streams are not disturbed.

use mist::coordinator::routing::{Load, RouteRequest, RoutingExt, RoutingPolicy};
use mist::engine::{SimBuilder, Stream};
use mist::simulation::Simulation;
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Each request goes to the least loaded of a few clients drawn at random.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PowerOfChoices {
    /// Clients drawn, at least 1. Default 2.
    #[serde(default = "two")]
    choices: u32,
}

fn two() -> u32 {
    2
}

impl RoutingPolicy for PowerOfChoices {
    fn route(&mut self, _: &RouteRequest, load: &Load, stream: &mut Stream) -> usize {
        let mut draw = || stream.random_range(0..load.clients());
        let first = draw();
        (1..self.choices).map(|_| draw()).fold(first, |best, other| {
            if load.outstanding(other) < load.outstanding(best) { other } else { best }
        })
    }
}

fn add_policy(sim: &mut SimBuilder) {
    sim.routing_policy::<PowerOfChoices>("PowerOfChoices");
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for routing in ["Random", "PowerOfChoices", "PowerOfChoices(choices: 4)", "LeastOutstanding"] {
        let simulation = Simulation::new().with(add_policy).set(format!("coordinator.routing={routing}"));
        let outcome = simulation.load("scenarios/quickstart.ron")?.run()?;
        let ttft = outcome.summary.latency.ttft.ok_or("no request completed")?;
        println!("{routing:<28} TTFT p50 {:7.1} ms, p99 {:8.1} ms", ttft.p50_ms, ttft.p99_ms);
    }
    Ok(())
}
