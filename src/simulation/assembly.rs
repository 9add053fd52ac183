//! Puts a deployment and its workload into a world.

use std::collections::BTreeMap;

use bevy_ecs::entity::Entity;

use super::deployment::Deployment;
use super::run::Run;
use super::{InvalidScenario, RunError, Simulation, sources};
use crate::clients::Node;
use crate::coordinator::routing::RoutingRegistry;
use crate::coordinator::{CoordinatorPlugin, Pool, Pools};
use crate::engine::{SimBuilder, Streams};
use crate::metrics::{MetricsPlugin, Recorder};
use crate::scenario::{Document, Problem, Scenario};
use crate::units::SimTime;
use crate::workload::{Sources, WorkloadPlugin, start};

/// Builds the world of a scenario that was found sound.
pub(super) fn assemble(
    simulation: &Simulation,
    document: Document,
    deployment: Deployment,
) -> Result<Run, RunError> {
    let resolved = match document.scenario.to_ron() {
        Ok(resolved) => resolved,
        Err(problem) => return Err(wrong(document, vec![problem])),
    };
    let mut sim = simulation.builder();
    sim.seed(document.scenario.seed);
    sim.add(WorkloadPlugin).add(CoordinatorPlugin).add(MetricsPlugin);
    for group in &deployment.groups {
        group.deployed.install(&mut sim);
    }
    let clients = spawn_clients(&mut sim, &document.scenario, &deployment, simulation.strides);
    let models = match make_pools(&mut sim, &document.scenario, &deployment, &clients) {
        Ok(models) => models,
        Err(problem) => return Err(wrong(document, vec![problem])),
    };
    match sources::make(sim.world(), &document.scenario, &deployment, &models) {
        Ok((sources, specs)) => {
            start(Sources::new(sources), &mut sim)?;
            sim.insert_resource(Recorder::new(specs));
        }
        Err(problems) => return Err(wrong(document, problems)),
    }
    let sim = sim.build()?;
    let horizon = horizon(&document.scenario);
    let (executor, strides) = (simulation.executor, simulation.strides);
    Ok(Run { sim, document, deployment, clients, resolved, horizon, executor, strides })
}

/// The last instant of a run, if the scenario stops it.
pub(super) fn horizon(scenario: &Scenario) -> Option<SimTime> {
    scenario.horizon.map(|horizon| SimTime::ZERO + horizon.to_sim())
}

/// A scenario with these problems.
pub(super) fn wrong(document: Document, problems: Vec<Problem>) -> RunError {
    InvalidScenario::Wrong { document: Box::new(document), problems }.into()
}

/// Spawns every client with its nodes; clients in the order of the scenario.
fn spawn_clients(
    sim: &mut SimBuilder,
    scenario: &Scenario,
    deployment: &Deployment,
    strides: bool,
) -> Vec<Entity> {
    let mut clients = Vec::new();
    for cluster in &deployment.carving.clusters {
        let client = deployment.groups[cluster.client].deployed.spawn(sim, clients.len() as u32, strides);
        clients.push(client);
        for node in &cluster.nodes {
            let site = &deployment.carving.nodes[*node as usize];
            let sku = Deployment::sku(scenario, site.platform, site.group);
            sim.world().spawn(Node { client, sku, platform: site.instance });
        }
    }
    clients
}

/// One pool a model, with the clients that serve it; answers with the pool of each model.
fn make_pools(
    sim: &mut SimBuilder,
    scenario: &Scenario,
    deployment: &Deployment,
    clients: &[Entity],
) -> Result<BTreeMap<String, u16>, Problem> {
    let mut models: BTreeMap<String, u16> = BTreeMap::new();
    let mut members: Vec<Vec<Entity>> = Vec::new();
    for (cluster, client) in deployment.carving.clusters.iter().zip(clients) {
        let model = deployment.groups[cluster.client].model();
        let pool = *models.entry(model.to_owned()).or_insert(members.len() as u16);
        if pool as usize == members.len() {
            members.push(Vec::new());
        }
        members[pool as usize].push(*client);
    }
    let streams = *sim.world().resource::<Streams>();
    let routing = sim.world().resource::<RoutingRegistry>().resolve(&scenario.coordinator.routing);
    let make_policy = routing.map_err(|error| error.into_problem("coordinator.routing"))?.built;
    let pool = |(at, members): (usize, Vec<Entity>)| {
        Pool::new(members, make_policy(), streams.stream("routing", at as u64))
    };
    let pools = members.into_iter().enumerate().map(pool).collect();
    sim.insert_resource(Pools::new(pools, scenario.coordinator.latency.to_sim()));
    Ok(models)
}
