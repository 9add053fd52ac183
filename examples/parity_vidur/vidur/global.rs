//! The global schedulers: which replica gets a request.

use std::sync::{Arc, Mutex, PoisonError};

use bevy_ecs::prelude::{Query, Res, Resource};
use bevy_ecs::schedule::IntoScheduleConfigs;
use mist::clients::llm::LlmClient;
use mist::coordinator::CoordinatorSet;
use mist::coordinator::routing::{self, MakeRouting, RouteRequest, RoutingPolicy, RoutingRegistry};
use mist::engine::{Phase, SimBuilder, Stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::python_random::PythonRandom;
use super::settings::{Global, Settings};

/// Requests in the queue of each replica, those that run not counted.
#[derive(Clone, Default, Resource)]
struct Waiting(Arc<Mutex<Vec<usize>>>);

/// `lor_global_scheduler.py`: to the replica with the fewest requests that wait, the first of equals. It
/// is called by the requests outstanding, but does not know of those that run.
struct Lor(Waiting);

impl RoutingPolicy for Lor {
    fn route(&mut self, _: &RouteRequest, load: &routing::Load, _: &mut Stream) -> usize {
        let mut waiting = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.resize(load.clients(), 0);
        let least = (0..load.clients()).min_by_key(|replica| waiting[*replica]).unwrap_or(0);
        waiting[least] += 1;
        least
    }
}

fn count_waiting(waiting: Res<Waiting>, clients: Query<&LlmClient>) {
    let mut waiting = waiting.0.lock().unwrap_or_else(PoisonError::into_inner);
    waiting.resize(clients.iter().len(), 0);
    for client in &clients {
        waiting[client.index() as usize] = client.scheduler().waiting();
    }
}

/// `random_global_scheduler.py`.
struct Random(PythonRandom);

impl RoutingPolicy for Random {
    fn route(&mut self, _: &RouteRequest, load: &routing::Load, _: &mut Stream) -> usize {
        self.0.below(load.clients() as u32) as usize
    }
}

/// To the replica that had it in the run that is compared with, by its place in the order of arrival.
struct Recorded(Arc<[usize]>);

impl RoutingPolicy for Recorded {
    fn route(&mut self, request: &RouteRequest, _: &routing::Load, _: &mut Stream) -> usize {
        self.0.get(request.id as usize).copied().unwrap_or(usize::MAX)
    }
}

/// A routing policy without parameters for the scenario to give.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Lets the scenario name the global scheduler of the `settings`, as `Global`.
pub fn add(sim: &mut SimBuilder, settings: &Settings) {
    let waiting = Waiting::default();
    if matches!(settings.global, Global::Lor) {
        sim.insert_resource(waiting.clone());
        sim.systems(Phase::Route, count_waiting.before(CoordinatorSet::Collect));
    }
    let Settings { global, seed, draws_before, .. } = settings.clone();
    let make = move || -> Box<dyn RoutingPolicy> {
        match &global {
            Global::RoundRobin => Box::new(routing::RoundRobin::default()),
            Global::Lor => Box::new(Lor(waiting.clone())),
            Global::Random => {
                let mut random = PythonRandom::new(seed);
                for _ in 0..draws_before {
                    random.word();
                }
                Box::new(Random(random))
            }
            Global::Recorded(replicas) => Box::new(Recorded(replicas.clone())),
        }
    };
    let make = Arc::new(make);
    let build = move |Nothing {}| {
        let make = make.clone();
        Ok(Box::new(move || make()) as MakeRouting)
    };
    sim.world().resource_mut::<RoutingRegistry>().register("Global", build);
}
