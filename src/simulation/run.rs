//! A scenario ready to run, and what comes of it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bevy_ecs::entity::Entity;

use super::RunError;
use super::deployment::{Deployment, Group};
use super::directory::Directory;
use super::notes::notes;
use crate::clients::Usage;
use crate::coordinator::{VisitLog, VisitPart};
use crate::engine::{Executor, Sim};
use crate::metrics::{ClientUsage, Recorder, RowSink, RowSource, RunEnd, StageRecord, Summary, Unfinished};
use crate::request::pipeline::{Journey, Programs};
use crate::request::{Passage, Request, Stage};
use crate::scenario::{Document, Problem, Scenario, WorkloadSpec};
use crate::stats::TokenGaps;
use crate::units::SimTime;
use crate::workload::{Asks, Sources};

/// Ticks between two looks at the progress.
const TICKS_A_LOOK: u32 = 1_024;

/// A scenario in a world, at time zero.
pub struct Run {
    pub(super) sim: Sim,
    pub(super) document: Document,
    pub(super) deployment: Deployment,
    pub(super) clients: Vec<Entity>,
    pub(super) resolved: String,
    pub(super) horizon: Option<SimTime>,
    pub(super) executor: Executor,
    pub(super) strides: bool,
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The simulated instant.
    pub now: SimTime,
    /// Requests that came in.
    pub arrived: u64,
    /// Requests that completed or were rejected.
    pub departed: u64,
    /// Requests there will be, if the scenario says so.
    pub expected: Option<u64>,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Latency, throughput, utilisation, cost: the same for every executor, with and without strides.
    pub summary: Summary,
    /// The scenario with every default, in RON; running it again gives the same outcome.
    pub resolved: String,
    /// The seed of the random streams.
    pub seed: u64,
    /// What ran the systems.
    pub executor: Executor,
    /// Whether steps that repeat were run as strides.
    pub strides: bool,
    /// Instants at which something happened.
    pub ticks: u64,
    /// Wake-ups delivered.
    pub events: u64,
    /// Where the step times come from, an entry a group of clients.
    pub latency_sources: Vec<String>,
    /// The stages of the first requests; none unless [asked for](Run::log_stages).
    pub stages: Vec<StageRecord>,
}

impl Run {
    /// The scenario, with every default.
    pub fn scenario(&self) -> &Scenario {
        &self.document.scenario
    }

    /// The same in RON: what lies beside results as `scenario.resolved.ron`.
    pub fn resolved(&self) -> &str {
        &self.resolved
    }

    /// The clients on their clusters.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// What whoever reads the results should know, beside the field it is about; no faults.
    pub fn notes(&self) -> Vec<Problem> {
        notes(&self.document.scenario, &self.deployment)
    }

    /// The world, to look at or to change before the run.
    pub fn sim(&mut self) -> &mut Sim {
        &mut self.sim
    }

    /// The name of each client, as rows of results give it.
    pub fn client_names(&self) -> Vec<String> {
        let name = |group: &Group| {
            let name = group.name.clone();
            (0..group.clients).map(move |at| format!("{name}[{at}]")).collect::<Vec<_>>()
        };
        self.deployment.groups.iter().flat_map(name).collect()
    }

    /// Whether any client keeps the KV of prefixes for other requests.
    pub fn caches_prefixes(&self) -> bool {
        self.deployment.caches_prefixes()
    }

    /// The classes of traffic, as rows of results know them.
    pub fn row_sources(&self) -> Vec<RowSource> {
        let Directory { programs, asks, .. } = &self.deployment.directory;
        let source = |(class, Asks { program, model, .. }): (&WorkloadSpec, &Asks)| {
            let one_visit = programs.is_single_visit(*program, *model);
            let stages = if one_visit { Vec::new() } else { programs.program(*program).labels().to_vec() };
            RowSource { name: class.name.clone(), stages }
        };
        self.document.scenario.workload.iter().zip(asks).map(source).collect()
    }

    /// Has the outcome tell the stages of the first `requests` that arrive, one by one.
    pub fn log_stages(&mut self, requests: u64) {
        self.sim.world_mut().insert_resource(VisitLog::new(requests));
    }

    /// Requests there will be, if the scenario says so.
    pub fn expected(&self) -> Option<u64> {
        let requests = self.document.scenario.workload.iter().map(|class| class.requests);
        requests.reduce(|sum, more| Some(sum?.saturating_add(more?))).unwrap_or(Some(0))
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// A trace or a system fails.
    pub fn run(self) -> Result<Outcome, RunError> {
        self.run_with(None, |_| ControlFlow::Continue(()))
    }

    /// Runs to the end, with a row for each request into `rows`; `watch` is shown the
    /// progress every so often, and may stop the run.
    ///
    /// # Errors
    /// A trace or a system fails, a row cannot be written, or `watch` stops the run.
    pub fn run_with(
        mut self,
        rows: Option<Box<dyn RowSink>>,
        mut watch: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Outcome, RunError> {
        if let Some(rows) = rows {
            self.sim.world_mut().resource_mut::<Recorder>().write_rows_to(rows);
        }
        let expected = self.expected();
        let until = self.horizon.unwrap_or(SimTime::MAX);
        loop {
            let more = self.sim.run_some(until, TICKS_A_LOOK)?;
            let (arrived, departed) = self.sim.world().resource::<Recorder>().progress();
            let progress = Progress { now: self.sim.now(), arrived, departed, expected };
            if watch(progress).is_break() {
                return Err(RunError::Stopped);
            }
            if !more {
                break;
            }
        }
        let requests = self.sim.world().resource::<Sources>().in_flight();
        if requests > 0 && self.sim.next_time().is_none() {
            return Err(RunError::Stuck { now: self.sim.now(), requests });
        }
        self.settle()?;
        self.outcome()
    }

    /// Brings everything up to the present when the clock stops with work in flight.
    fn settle(&mut self) -> Result<(), RunError> {
        let now = self.sim.now();
        let clusters = &self.deployment.carving.clusters;
        for (cluster, client) in clusters.iter().zip(&self.clients) {
            let deployed = &self.deployment.groups[cluster.client].deployed;
            deployed.settle(self.sim.world_mut(), *client, now);
        }
        let world = self.sim.world_mut();
        let programs = world.resource::<Programs>().clone();
        let mut seen: BTreeMap<Entity, [SimTime; 2]> = BTreeMap::new();
        let mut note = |request: Entity, started: SimTime, first_token: SimTime| {
            let times = seen.entry(request).or_insert([SimTime::MAX; 2]);
            // What is on its way to its reader is not there yet.
            let first_token = if first_token <= now { first_token } else { SimTime::MAX };
            *times = [times[0].min(started), times[1].min(first_token)];
        };
        for (stage, passage) in world.query::<(&Stage, Option<&Passage>)>().iter(world) {
            let generates = |passage: &Passage| programs.program(passage.program).generates(passage.place);
            let answers = passage.is_none_or(generates);
            note(stage.request, stage.started, if answers { stage.first_token } else { SimTime::MAX });
        }
        for (entity, journey) in world.query::<(Entity, &Journey)>().iter(world) {
            note(entity, journey.started(), journey.times().first);
        }
        let mut in_flight: Vec<(Entity, Request)> = world
            .query::<(Entity, &Request)>()
            .iter(world)
            .map(|(entity, request)| (entity, *request))
            .collect();
        in_flight.sort_by_key(|(_, request)| request.id);
        let mut recorder = world.resource_mut::<Recorder>();
        for (entity, request) in in_flight {
            let times = seen.get(&entity).copied().unwrap_or([SimTime::MAX; 2]);
            let [started, first_token] = times.map(|at| (at != SimTime::MAX).then_some(at));
            let Request { id, source, arrived, prompt_tokens, .. } = request;
            let unfinished = Unfinished { id, source, arrived, prompt_tokens, started, first_token };
            recorder.unfinished(&unfinished, now).map_err(RunError::Rows)?;
        }
        Ok(())
    }

    fn outcome(mut self) -> Result<Outcome, RunError> {
        let world = self.sim.world_mut();
        let usages: Vec<Usage> = self
            .clients
            .iter()
            .map(|client| world.get::<Usage>(*client).cloned().unwrap_or_default())
            .collect();
        let clusters = &self.deployment.carving.clusters;
        let clients = clusters.iter().zip(&usages).map(|(cluster, usage)| {
            let Group { name, accelerators, .. } = &self.deployment.groups[cluster.client];
            ClientUsage { group: name, accelerators: *accelerators, usage }
        });
        let end = RunEnd {
            scenario: self.document.scenario.name.as_deref().unwrap_or("scenario"),
            now: self.sim.now(),
            clients: clients.collect(),
            // Without LLM clients there are no tokens.
            itl: self.sim.world().get_resource::<TokenGaps>().and_then(TokenGaps::statistics),
            sessions: self.sim.world().resource::<Sources>().sessions(),
            price: self.deployment.price.clone(),
        };
        let mut recorder = self.sim.world_mut().resource_mut::<Recorder>();
        recorder.finish_rows().map_err(RunError::Rows)?;
        let summary = recorder.summary(&end);
        let stages = self.stages();
        let source = |group: &Group| format!("{}: {}", group.name, group.deployed.source_of_latency());
        Ok(Outcome {
            summary,
            seed: self.document.scenario.seed,
            executor: self.executor,
            strides: self.strides,
            ticks: self.sim.ticks(),
            events: self.sim.events(),
            latency_sources: self.deployment.groups.iter().map(source).collect(),
            resolved: self.resolved,
            stages,
        })
    }

    /// What the log of visits holds, by name.
    fn stages(&mut self) -> Vec<StageRecord> {
        let Some(log) = self.sim.world_mut().remove_resource::<VisitLog>() else { return Vec::new() };
        let clients = self.client_names();
        let Directory { programs, .. } = &self.deployment.directory;
        let row = |VisitPart { request, source, program, client, part }| StageRecord {
            request,
            source: self.document.scenario.workload[usize::from(source)].name.clone(),
            stage: programs.program(program).labels()[usize::from(part.label)].clone(),
            branch: part.branch.iter().map(u32::to_string).collect::<Vec<_>>().join("."),
            client: client.map_or_else(String::new, |client: u32| clients[client as usize].clone()),
            routed: part.routed,
            started: part.started,
            done: part.done,
        };
        log.into_visits().into_iter().map(row).collect()
    }
}
