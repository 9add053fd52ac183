//! Plugins of a user's own: one looks on, one adds names, one interferes.

use std::sync::Arc;

use bevy_ecs::prelude::*;
use mist::clients::Usage;
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

/// Time to look at the power drawn.
#[derive(Clone, Copy)]
struct Meter;

impl Wake for Meter {
    fn pack(self) -> [u64; 2] {
        [0; 2]
    }
    fn unpack(_: [u64; 2]) -> Self {
        Self
    }
}

fn dim(
    mut due: Rx<Meter>,
    mut clients: Query<(Entity, &mut LlmClient, &Usage)>,
    mut calendar: ResMut<Calendar>,
) {
    for wake in due.drain() {
        for (entity, mut client, usage) in &mut clients {
            let busy = client.busy_total(usage, calendar.now()).as_ns();
            let bright = client.model().clone();
            let dimmed = move |shape: &StepShape<'_>| {
                let cost = bright.price(shape);
                StepCost { seconds: cost.seconds * (1.0 + (busy % 7) as f64 / 100.0), ..cost }
            };
            client.set_model(entity, Arc::new(dimmed), &mut calendar);
        }
        if calendar.now() < SimTime::ZERO + MILLISECOND * 100 {
            calendar.after(MILLISECOND * 7, wake);
        }
    }
}

/// Slows clients down every 7 ms of the first 100, by what they have worked until then.
pub fn brownout(sim: &mut SimBuilder) {
    sim.at(SimTime::ZERO, Meter);
    sim.systems(Phase::Land, dim.after(LlmSet::Land));
}

/// Doubles what steps cost every 3 ms, and halves it again.
fn flicker(mut due: Rx<Meter>, mut clients: Query<(Entity, &mut LlmClient)>, mut calendar: ResMut<Calendar>) {
    for wake in due.drain() {
        let dark = calendar.now().as_ns() / (3 * MILLISECOND.as_ns()) % 2 == 1;
        for (entity, mut client) in &mut clients {
            let bright = client.model().clone();
            let factor = if dark { 2.0 } else { 0.5 };
            let model = move |shape: &StepShape<'_>| {
                let cost = bright.price(shape);
                StepCost { seconds: cost.seconds * factor, ..cost }
            };
            client.set_model(entity, Arc::new(model), &mut calendar);
        }
        if calendar.now() < SimTime::ZERO + MILLISECOND * 100 {
            calendar.after(MILLISECOND * 3, wake);
        }
    }
}

/// Steps that take whole milliseconds still do, twice as many of them for a while.
pub fn blackout(sim: &mut SimBuilder) {
    sim.at(SimTime::ZERO + MILLISECOND * 3, Meter);
    sim.systems(Phase::Land, flicker.after(LlmSet::Land));
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
