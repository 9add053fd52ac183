//! The open choices of a scenario, resolved against the registries in a world.

use std::path::Path;

use bevy_ecs::world::World;

use crate::clients::ClientRegistry;
use crate::clients::llm::BatchingRegistry;
use crate::coordinator::routing::RoutingRegistry;
use crate::runtime::RuntimeRegistry;
use crate::scenario::{Choice, Findings, Kinds, Registry, Scenario};
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
pub(super) fn settle(scenario: &mut Scenario, folder: &Path, world: &World, findings: &mut Findings) {
    for (at, client) in scenario.clients.iter_mut().enumerate() {
        let mut inside = Findings::default();
        if let Some(kind) = world.resource::<ClientRegistry>().settle(&mut client.runs, "", &mut inside) {
            let mut nested = Findings::default();
            kind.complete(&mut client.runs, world, &mut nested);
            inside.absorb(nested, "");
        }
        findings.absorb(inside, &format!("clients[{at}].runs"));
    }
    let routing = world.resource::<RoutingRegistry>();
    routing.settle(&mut scenario.coordinator.routing, "coordinator.routing", findings);
    for (at, workload) in scenario.workload.iter_mut().enumerate() {
        let arrivals = world.resource::<ArrivalRegistry>();
        let path = format!("workload[{at}].arrivals");
        settle_from(folder, arrivals, &mut workload.arrivals, &path, findings, |choice, folder| {
            choice.rebase("path", folder);
        });
        let lengths = world.resource::<LengthRegistry>();
        let path = format!("workload[{at}].lengths");
        settle_from(folder, lengths, &mut workload.lengths, &path, findings, rebase);
    }
}

/// Settles a choice with files in it, whose paths `rebase` makes absolute.
fn settle_from<B: Send + Sync + 'static>(
    folder: &Path,
    registry: &Registry<B>,
    choice: &mut Choice,
    path: &str,
    findings: &mut Findings,
    rebase: impl Fn(&mut Choice, &Path),
) {
    let written = choice.to_string();
    rebase(choice, folder);
    let moved = choice.to_string();
    let mut found = Findings::default();
    registry.settle(choice, "", &mut found);
    // Spans are to count in the choice as it is written.
    let same = written.bytes().zip(moved.bytes()).take_while(|(a, b)| a == b).count();
    let longer = moved.len().saturating_sub(written.len());
    found.shift(|at| if at > same { at.saturating_sub(longer).max(same) } else { at });
    findings.absorb(found, path);
}
