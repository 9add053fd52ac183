//! The open choices of a scenario, resolved against the registries in a world.

use std::path::Path;

use bevy_ecs::world::World;
use schemars::schema_for;

use crate::catalog::{Accelerator, Model, Price, config_path};
use crate::clients::ClientRegistry;
use crate::clients::llm::{BatchingRegistry, PackingRegistry};
use crate::clients::rag::search::IndexRegistry;
use crate::coordinator::routing::RoutingRegistry;
use crate::request::pipeline::StageRegistry;
use crate::runtime::RuntimeRegistry;
use crate::scenario::{Choice, Findings, Kinds, Registry, Scenario, WorkloadSpec};
use crate::workload::arrivals::ArrivalRegistry;
use crate::workload::lengths::{LengthRegistry, rebase};
use crate::workload::trace::native;

/// Every registry a scenario may draw on, and the forms of the files beside it.
pub(super) fn kinds(world: &World) -> Kinds {
    let mut kinds = Kinds::default();
    kinds.add(world.resource::<ClientRegistry>()).add(world.resource::<BatchingRegistry>());
    kinds.add(world.resource::<PackingRegistry>());
    kinds.add(world.resource::<RuntimeRegistry>()).add(world.resource::<RoutingRegistry>());
    kinds.add(world.resource::<ArrivalRegistry>()).add(world.resource::<LengthRegistry>());
    kinds.add(world.resource::<StageRegistry>()).add(world.resource::<IndexRegistry>());
    kinds.file("hardware", schema_for!(Accelerator)).file("models", schema_for!(Model));
    kinds.file("prices", schema_for!(Price));
    for (what, line) in native::lines() {
        kinds.file(what, line);
    }
    kinds
}

/// Fills in the defaults of every open choice and makes its paths absolute, from `folder`.
pub(super) fn settle(scenario: &mut Scenario, folder: &Path, world: &World, findings: &mut Findings) {
    for (at, client) in scenario.clients.iter_mut().enumerate() {
        let mut inside = Findings::default();
        let kinds = world.resource::<ClientRegistry>();
        let kind = settle_from(folder, kinds, &mut client.runs, "", &mut inside, |choice, folder| {
            for model in ["model", "embed", "rerank"] {
                choice.rebase_with(model, |name| config_path(name, folder));
            }
            for at in 0.. {
                let field = format!("also[{at}]");
                if choice.get(&field).is_none() {
                    break;
                }
                choice.rebase_with(&field, |name| config_path(name, folder));
            }
        });
        if let Some(kind) = kind {
            let mut nested = Findings::default();
            kind.complete(&mut client.runs, world, &mut nested);
            inside.absorb(nested, "");
        }
        findings.absorb(inside, &format!("clients[{at}].runs"));
    }
    let routing = world.resource::<RoutingRegistry>();
    routing.settle(&mut scenario.coordinator.routing, "coordinator.routing", findings);
    for (at, class) in scenario.workload.iter_mut().enumerate() {
        let mut inside = Findings::default();
        settle_class(class, folder, world, &mut inside);
        findings.absorb(inside, &format!("workload[{at}]"));
    }
}

/// The same for one class of traffic.
pub(super) fn settle_class(class: &mut WorkloadSpec, folder: &Path, world: &World, findings: &mut Findings) {
    if let Some(path) = class.model.as_ref().and_then(|model| config_path(model, folder)) {
        class.model = Some(path);
    }
    let stages = world.resource::<StageRegistry>();
    for (at, stage) in class.pipeline.iter_mut().enumerate() {
        stages.settle(&mut stage.0, &format!("pipeline[{at}]"), findings);
    }
    if let Some(trace) = &mut class.trace {
        trace.path = folder.join(&trace.path);
    }
    if let Some(arrivals) = &mut class.arrivals {
        let registry = world.resource::<ArrivalRegistry>();
        settle_from(folder, registry, arrivals, "arrivals", findings, |choice, folder| {
            choice.rebase("path", folder);
        });
    }
    if let Some(lengths) = &mut class.lengths {
        let registry = world.resource::<LengthRegistry>();
        settle_from(folder, registry, lengths, "lengths", findings, rebase);
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
) -> Option<B> {
    let written = choice.to_string();
    rebase(choice, folder);
    let moved = choice.to_string();
    let mut found = Findings::default();
    let built = registry.settle(choice, "", &mut found);
    // Spans are to count in the choice as it is written.
    let same = written.bytes().zip(moved.bytes()).take_while(|(a, b)| a == b).count();
    let longer = moved.len().saturating_sub(written.len());
    found.shift(|at| if at > same { at.saturating_sub(longer).max(same) } else { at });
    findings.absorb(found, path);
    built
}
