//! Puts a deployment and its workload into a world.

use std::collections::BTreeMap;

use bevy_ecs::entity::Entity;
use bevy_ecs::world::World;

use super::deployment::Deployment;
use super::run::Run;
use super::{InvalidScenario, RunError, Simulation};
use crate::clients::Node;
use crate::coordinator::routing::RoutingRegistry;
use crate::coordinator::{CoordinatorPlugin, Pool, Pools};
use crate::engine::{SimBuilder, Streams};
use crate::metrics::{MetricsPlugin, Recorder, Slo, SourceSpec};
use crate::scenario::{Document, Findings, Problem, Scenario, SloSpec};
use crate::units::{SimTime, Span};
use crate::workload::arrivals::{ArrivalRegistry, End};
use crate::workload::lengths::LengthRegistry;
use crate::workload::{Source, Sources, WorkloadPlugin, start};

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
    match make_sources(&mut sim, &document.scenario, &models) {
        Ok((sources, specs)) => {
            start(sources, &mut sim)?;
            sim.insert_resource(Recorder::new(specs));
        }
        Err(problems) => return Err(wrong(document, problems)),
    }
    let sim = sim.build()?;
    let horizon = document.scenario.horizon.map(|horizon| SimTime::ZERO + horizon.to_sim());
    let (executor, strides) = (simulation.executor, simulation.strides);
    Ok(Run { sim, document, deployment, clients, resolved, horizon, executor, strides })
}

fn wrong(document: Document, problems: Vec<Problem>) -> RunError {
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

/// What is wrong with arrivals and lengths beyond what they say on their own.
pub(super) fn check_workload(scenario: &Scenario, world: &World, findings: &mut Findings) {
    let mut problems = Vec::new();
    for (at, spec) in scenario.workload.iter().enumerate() {
        let path = format!("workload[{at}]");
        let arrivals = world.resource::<ArrivalRegistry>().resolve(&spec.arrivals);
        let lengths = world.resource::<LengthRegistry>().resolve(&spec.lengths);
        let (Ok(mut arrivals), Ok(lengths)) = (arrivals, lengths) else { continue };
        if let Err(problem) = arrivals.built.plan(spec.requests) {
            problems.push(problem.under("arrivals").under(&path));
        }
        let ends = match arrivals.built.end() {
            End::Itself => true,
            End::Horizon => scenario.horizon.is_some(),
            End::Nothing => false,
        };
        if spec.requests.is_none() && !ends && !lengths.built.ends() {
            let message = "this workload never ends";
            let help = "say how many `requests` arrive, or until which `horizon`";
            problems.push(Problem::new(path, message).help(help));
        }
    }
    findings.report_all(problems);
}

/// The sources of the workload, and what the recorder is to know of them.
fn make_sources(
    sim: &mut SimBuilder,
    scenario: &Scenario,
    models: &BTreeMap<String, u16>,
) -> Result<(Sources, Vec<SourceSpec>), Vec<Problem>> {
    let world = sim.world();
    let streams = *world.resource::<Streams>();
    let mut problems = Vec::new();
    let (mut sources, mut specs) = (Vec::new(), Vec::new());
    for (at, spec) in scenario.workload.iter().enumerate() {
        let path = format!("workload[{at}]");
        let arrivals = world.resource::<ArrivalRegistry>().resolve(&spec.arrivals);
        let lengths = world.resource::<LengthRegistry>().resolve(&spec.lengths);
        let (mut arrivals, lengths) = match (arrivals, lengths) {
            (Ok(arrivals), Ok(lengths)) => (arrivals.built, lengths.built),
            (arrivals, lengths) => {
                let error =
                    |error: crate::scenario::ChoiceError, field| error.into_problem(field).under(&path);
                problems.extend(arrivals.err().map(|e| error(e, "arrivals")));
                problems.extend(lengths.err().map(|e| error(e, "lengths")));
                continue;
            }
        };
        if let Err(problem) = arrivals.plan(spec.requests) {
            problems.push(problem.under("arrivals").under(&path));
        }
        specs.push(SourceSpec {
            name: spec.name.clone(),
            slo: targets(&spec.slo),
            closed_loop: arrivals.is_closed(),
        });
        let pool = models.get(&spec.model).copied().unwrap_or(0);
        let requests = spec.requests.unwrap_or(u64::MAX);
        sources.push(Source::new(arrivals, lengths, pool, requests, &streams, at as u16));
    }
    if problems.is_empty() { Ok((Sources::new(sources), specs)) } else { Err(problems) }
}

fn targets(slo: &SloSpec) -> Slo {
    Slo { ttft: slo.ttft.map(Span::to_sim), tpot: slo.tpot.map(Span::to_sim), e2e: slo.e2e.map(Span::to_sim) }
}
