//! Plugins of a user's own: one looks on, one adds names, one interferes.

use bevy_ecs::prelude::*;
use mist::clients::llm::{BatchingExt, Chunked, LlmClient, LlmSet};
use mist::coordinator::routing::{RoundRobin, RoutingExt};
use mist::engine::{Calendar, Phase, Rx, SimBuilder, Wake};
use mist::request::Request;
use mist::runtime::{StepCost, StepShape};
use mist::simulation::Simulation;
use mist::units::{SimSpan, SimTime};

const MILLISECOND: SimSpan = SimSpan::from_ns(1_000_000);

/// Time to count.
#[derive(Clone, Copy)]
struct Count;

impl Wake for Count {
    fn pack(self) -> [u64; 2] {
        [0; 2]
    }
    fn unpack(_: [u64; 2]) -> Self {
        Self
    }
}

#[derive(Resource, Default)]
struct Census(u64);

fn count(
    mut due: Rx<Count>,
    requests: Query<&Request>,
    mut census: ResMut<Census>,
    mut calendar: ResMut<Calendar>,
) {
    for wake in due.drain() {
        census.0 += requests.iter().count() as u64;
        calendar.after(MILLISECOND, wake);
    }
}

/// Counts requests every millisecond and touches nothing.
pub fn census(sim: &mut SimBuilder) {
    sim.at(SimTime::ZERO, Count).insert_resource(Census::default());
    sim.systems(Phase::Admit, count.before(LlmSet::Accept));
}

/// Adds names that no scenario uses.
pub fn names(sim: &mut SimBuilder) {
    sim.batching_policy::<Chunked>("Mine").routing_policy::<RoundRobin>("MineToo");
}

/// The power is cut.
#[derive(Clone, Copy)]
struct Brownout;

impl Wake for Brownout {
    fn pack(self) -> [u64; 2] {
        [0; 2]
    }
    fn unpack(_: [u64; 2]) -> Self {
        Self
    }
}

fn dim(mut due: Rx<Brownout>, mut clients: Query<&mut LlmClient>) {
    for Brownout in due.drain() {
        for mut client in &mut clients {
            let bright = client.model().clone();
            client.set_model(std::sync::Arc::new(move |shape: &StepShape<'_>| {
                let cost = bright.price(shape);
                StepCost { seconds: 1.5 * cost.seconds, ..cost }
            }));
        }
    }
}

/// Slows all clients down, 20 ms after the start.
pub fn brownout(sim: &mut SimBuilder) {
    sim.at(SimTime::from_ns(20_000_000), Brownout);
    sim.systems(Phase::Land, dim.after(LlmSet::Land));
}

/// Simulations with all three, in every order.
pub fn orders() -> impl Iterator<Item = Simulation> {
    let add = |simulation: Simulation, which: usize| match which {
        0 => simulation.with(census),
        1 => simulation.with(names),
        _ => simulation.with(brownout),
    };
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    orders.into_iter().map(move |order| order.into_iter().fold(Simulation::new(), add))
}
