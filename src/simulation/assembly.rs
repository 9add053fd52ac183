//! Puts a deployment and its workload into a world.

use bevy_ecs::entity::Entity;

use super::deployment::Deployment;
use super::run::Run;
use super::{InvalidScenario, RunError, Simulation, sources};
use crate::clients::{Client, Node};
use crate::coordinator::routing::RoutingRegistry;
use crate::coordinator::{CoordinatorPlugin, KvLink, KvTransfer, Member, Pool, Pools};
use crate::engine::{SimBuilder, Streams};
use crate::metrics::{MetricsPlugin, Recorder};
use crate::scenario::{CoordinatorSpec, DecodeChoice, Document, Problem, Scenario};
use crate::units::{Bandwidth, SimTime, Span};
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
    sim.insert_resource(deployment.directory.programs.clone());
    let clients = spawn_clients(&mut sim, &document.scenario, &deployment, simulation.strides);
    if let Err(problem) = make_pools(&mut sim, &document.scenario, &deployment, &clients) {
        return Err(wrong(document, vec![problem]));
    }
    match sources::make(sim.world(), &document.scenario, &deployment) {
        Ok((sources, specs)) => {
            let texts = deployment.caches_prefixes();
            start(Sources::new(sources).with_texts(texts), &mut sim)?;
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

/// The pools that stages are routed in, each with its clients in order.
fn make_pools(
    sim: &mut SimBuilder,
    scenario: &Scenario,
    deployment: &Deployment,
    clients: &[Entity],
) -> Result<(), Problem> {
    let streams = *sim.world().resource::<Streams>();
    let routing = sim.world().resource::<RoutingRegistry>().resolve(&scenario.coordinator.routing);
    let make_policy = routing.map_err(|error| error.into_problem("coordinator.routing"))?.built;
    let mut pools = Vec::new();
    let carving = &deployment.carving;
    for (at, seats) in deployment.directory.pools.iter().enumerate() {
        let mut members = Vec::new();
        for (groups, guest) in [(&seats.homes, false), (&seats.guests, true)] {
            for (cluster, client) in carving.clusters.iter().zip(clients) {
                if !groups.contains(&cluster.client) {
                    continue;
                }
                let Client { index, inbox } = *sim.world().get(*client).expect("spawned with its client");
                let node = cluster.nodes.first().map(|node| &carving.nodes[*node as usize]);
                let machine = node.map(|node| (node.platform as u32, node.instance)).unwrap_or_default();
                let offers = deployment.groups[cluster.client].deployed.offers();
                let kv_tokens = offers.iter().filter_map(|offer| Some(offer.generates?.kv_tokens)).min();
                let kv_tokens = kv_tokens.unwrap_or_default();
                members.push(Member { client: *client, index, inbox, machine, kv_tokens, guest });
            }
        }
        pools.push(Pool::new(members, make_policy(), streams.stream("routing", at as u64)));
    }
    let CoordinatorSpec { latency, kv_transfer, decode_choice, .. } = &scenario.coordinator;
    let link = |bandwidth: Bandwidth, latency: Span| KvLink {
        bandwidth: bandwidth.bytes_per_s(),
        latency: latency.to_sim(),
    };
    let transfer = kv_transfer.map(|transfer| KvTransfer {
        network: link(transfer.bandwidth, transfer.latency),
        local: transfer.local.map(|local| link(local.bandwidth, local.latency)),
    });
    let pools = Pools::new(pools, latency.to_sim(), transfer);
    let pools = pools.decode_at_arrival(*decode_choice == DecodeChoice::AtArrival);
    sim.insert_resource(pools);
    Ok(())
}
