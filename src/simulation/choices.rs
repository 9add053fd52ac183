//! The open choices of a scenario, resolved against the registries in a world.

use std::path::Path;

use bevy_ecs::world::World;

use crate::catalog::config_path;
use crate::clients::ClientRegistry;
use crate::clients::llm::BatchingRegistry;
use crate::coordinator::routing::RoutingRegistry;
use crate::runtime::RuntimeRegistry;
use crate::scenario::{Choice, Kinds, Problem, Registry, Scenario, WorkloadSpec};
use crate::workload::arrivals::ArrivalRegistry;
use crate::workload::lengths::{LengthRegistry, rebase};

/// Every registry a scenario may draw on.
pub(super) fn kinds(world: &World) -> Kinds {
    let mut kinds = Kinds::default();
    kinds.add(world.resource::<ClientRegistry>()).add(world.resource::<BatchingRegistry>());
    kinds.add(world.resource::<RuntimeRegistry>()).add(world.resource::<RoutingRegistry>());
    kinds.add(world.resource::<ArrivalRegistry>()).add(world.resource::<LengthRegistry>());
    kinds
}

/// Fills in the defaults of every open choice and makes its paths absolute, from `folder`.
pub(super) fn settle(scenario: &mut Scenario, folder: &Path, world: &World) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, client) in scenario.clients.iter_mut().enumerate() {
        client.runs.rebase_with("model", |name| config_path(name, folder));
        if let Err(wrong) = settle_client(&mut client.runs, world) {
            let path = format!("clients[{at}].runs");
            problems.extend(wrong.into_iter().map(|problem| problem.under(&path)));
        }
    }
    let routing = world.resource::<RoutingRegistry>();
    problems.extend(settle_one(routing, &mut scenario.coordinator.routing, "coordinator.routing"));
    for (at, class) in scenario.workload.iter_mut().enumerate() {
        let path = format!("workload[{at}]");
        problems.extend(settle_class(class, folder, world).into_iter().map(|problem| problem.under(&path)));
    }
    problems
}

/// The same for one class of traffic.
pub(super) fn settle_class(class: &mut WorkloadSpec, folder: &Path, world: &World) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(path) = config_path(&class.model, folder) {
        class.model = path;
    }
    if let Some(trace) = &mut class.trace {
        trace.path = folder.join(&trace.path);
    }
    if let Some(arrivals) = &mut class.arrivals {
        arrivals.rebase("path", folder);
        problems.extend(settle_one(world.resource::<ArrivalRegistry>(), arrivals, "arrivals"));
    }
    if let Some(lengths) = &mut class.lengths {
        rebase(lengths, folder);
        problems.extend(settle_one(world.resource::<LengthRegistry>(), lengths, "lengths"));
    }
    problems
}

fn settle_client(runs: &mut Choice, world: &World) -> Result<(), Vec<Problem>> {
    let resolved = world.resource::<ClientRegistry>().resolve(runs);
    let resolved = resolved.map_err(|error| vec![error.into_problem("")])?;
    *runs = resolved.choice;
    resolved.built.complete(runs, world)
}

fn settle_one<B: Send + Sync + 'static>(
    registry: &Registry<B>,
    choice: &mut Choice,
    path: &str,
) -> Option<Problem> {
    match registry.resolve(choice) {
        Ok(resolved) => {
            *choice = resolved.choice;
            None
        }
        Err(error) => Some(error.into_problem(path)),
    }
}
