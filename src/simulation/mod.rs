//! The door: from a scenario to a run to its results.
//!
//! ```no_run
//! use mist::simulation::Simulation;
//!
//! let outcome = Simulation::new().load("scenarios/quickstart.ron")?.run()?;
//! let ttft = outcome.summary.latency.ttft.expect("requests completed");
//! println!("TTFT p99: {:.1} ms", ttft.p99_ms);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Simulation`] collects what shapes a run: plugins, `--set` overrides, the executor. Loading a
//! scenario settles its open choices (`choices.rs`), puts its clients on clusters ([`Deployment`]),
//! assembles a world (`assembly.rs`), and gives a [`Run`], or several [`Replications`] of it.

mod assembly;
mod choices;
mod deployment;
mod directory;
mod effects;
mod error;
mod notes;
mod recorded;
mod replications;
mod run;
mod sources;
mod traffic;

use std::path::Path;
use std::sync::Arc;

pub use deployment::{Deployment, Group};
pub use error::{InvalidScenario, RunError};
pub use replications::{Replications, ReplicationsProgress};
pub use run::{Outcome, Progress, Run};
pub use traffic::Traffic;

use crate::engine::{Executor, Plugin, SimBuilder};
use crate::runtime::{RuntimeRegistry, StepModel, Target};
use crate::scenario::{Choice, Document, Findings, Kinds, Problem};
use crate::{clients, coordinator, request, runtime, workload};

/// What shapes a run besides its scenario.
pub struct Simulation {
    plugins: Vec<Box<dyn Plugin + Send + Sync>>,
    sets: Vec<String>,
    executor: Executor,
    strides: bool,
    shuffle: Option<u64>,
}

impl Default for Simulation {
    fn default() -> Self {
        Self::new()
    }
}

impl Simulation {
    /// The built-in features and nothing else.
    pub fn new() -> Self {
        Self {
            plugins: Vec::new(),
            sets: Vec::new(),
            executor: Executor::default(),
            strides: true,
            shuffle: None,
        }
    }

    /// Adds a plugin: names for scenarios to use, systems, resources. It may be built several times, and by
    /// [replications](Self::replicate) on several threads at once.
    #[must_use]
    pub fn with(mut self, plugin: impl Plugin + Send + Sync + 'static) -> Self {
        self.plugins.push(Box::new(plugin));
        self
    }

    /// Overrides a value of the scenario: `workload[0].requests=100`.
    #[must_use]
    pub fn set(mut self, assignment: impl Into<String>) -> Self {
        self.sets.push(assignment.into());
        self
    }

    /// Chooses what runs the systems; the results are the same.
    #[must_use]
    pub fn executor(mut self, executor: Executor) -> Self {
        self.executor = executor;
        self
    }

    /// Whether steps that repeat are run as strides; the results are the same.
    #[must_use]
    pub fn strides(mut self, strides: bool) -> Self {
        self.strides = strides;
        self
    }

    /// Shuffles systems within their declared order; the results are the same.
    #[must_use]
    pub fn shuffle(mut self, seed: u64) -> Self {
        self.shuffle = Some(seed);
        self
    }

    /// Reads the scenario file at `path` and makes it ready to run.
    ///
    /// # Errors
    /// Everything wrong with the scenario.
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Run, RunError> {
        self.prepare(Document::open(path.as_ref()).map_err(InvalidScenario::Unreadable)?)
    }

    /// Makes the scenario in `text` ready to run; `name` is the path it has or would have.
    ///
    /// # Errors
    /// Everything wrong with the scenario.
    pub fn read(&self, text: impl Into<String>, name: impl Into<String>) -> Result<Run, RunError> {
        self.prepare(Document::examine(text, name).map_err(InvalidScenario::Unreadable)?)
    }

    /// Reads the scenario file at `path` and makes `count` independent replications of it ready to run.
    ///
    /// # Errors
    /// Everything wrong with the scenario.
    pub fn replicate(&self, path: impl AsRef<Path>, count: u32) -> Result<Replications<'_>, RunError> {
        Ok(Replications::new(self, self.load(path)?, count))
    }

    /// Makes `count` independent replications of the scenario in `text` ready to run; `name` is the path it
    /// has or would have.
    ///
    /// # Errors
    /// Everything wrong with the scenario.
    pub fn replicate_text(
        &self,
        text: impl Into<String>,
        name: impl Into<String>,
        count: u32,
    ) -> Result<Replications<'_>, RunError> {
        Ok(Replications::new(self, self.read(text, name)?, count))
    }

    /// The open choices that scenarios may make here, for [`explain`](crate::scenario::explain).
    pub fn kinds(&self) -> Kinds {
        choices::kinds(self.builder().world())
    }

    /// Steps of `target` as the runtime model `choice` prices them.
    ///
    /// # Errors
    /// There is no such model, its parameters make no sense, or it does not price such a target.
    pub fn step_model(&self, choice: &Choice, target: &Target<'_>) -> Result<Arc<dyn StepModel>, Problem> {
        let mut vocabulary = self.builder();
        let registry = vocabulary.world().resource::<RuntimeRegistry>();
        let kind = registry.resolve(choice).map_err(|error| error.into_problem("runtime"))?.built;
        kind.compile(target).map_err(|message| Problem::new("", message))
    }

    fn prepare(&self, mut document: Document) -> Result<Run, RunError> {
        match self.settle(&mut document) {
            Ok(deployment) => assembly::assemble(self, document, deployment),
            Err(problems) => Err(assembly::wrong(document, problems)),
        }
    }

    /// Fills in what the scenario leaves open, and puts its clients on clusters.
    fn settle(&self, document: &mut Document) -> Result<Deployment, Vec<Problem>> {
        let mut vocabulary = self.builder();
        let world = vocabulary.world();
        let base = document.base_dir.clone();
        // What is wrong is kept in the document, and more is looked for.
        let _ = document.settle(&self.sets, &mut |scenario, findings| {
            choices::settle(scenario, &base, world, findings);
        });
        let scenario = document.scenario.clone();
        let deployment = Deployment::plan(&scenario, world, document.findings());
        if !document.findings().is_empty() {
            // Otherwise it is found out when the sources are made, for good.
            sources::check(world, &scenario, document.findings());
        }
        match deployment {
            Some(deployment) if document.findings().is_empty() => Ok(deployment),
            _ => Err(document.problems()),
        }
    }

    /// A run of a document that is settled already, with another seed.
    fn reseeded(&self, document: &Document, seed: u64) -> Result<Run, RunError> {
        let mut document = document.clone();
        document.scenario.seed = seed;
        let mut findings = Findings::default();
        match Deployment::plan(&document.scenario, self.builder().world(), &mut findings) {
            Some(deployment) => assembly::assemble(self, document, deployment),
            None => Err(assembly::wrong(document, findings.problems().to_vec())),
        }
    }

    /// A builder with every feature and plugin.
    fn builder(&self) -> SimBuilder {
        let mut sim = SimBuilder::new(0);
        sim.add(request::pipeline::built_in).add(clients::built_in).add(runtime::built_in);
        sim.add(coordinator::routing::built_in);
        sim.add(workload::arrivals::built_in).add(workload::lengths::built_in);
        sim.executor(self.executor);
        if let Some(seed) = self.shuffle {
            sim.shuffle(seed);
        }
        for plugin in &self.plugins {
            plugin.build(&mut sim);
        }
        sim
    }
}
