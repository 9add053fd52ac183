//! The requests that a workload brings, without anyone to serve them: for traces.

use std::path::Path;

use super::deployment::Deployment;
use super::{InvalidScenario, RunError, Simulation, assembly, choices, sources};
use crate::scenario::{Document, Findings, Problem, Scenario, WorkloadSpec, check_shared};
use crate::units::SimTime;
use crate::workload::Source;

/// The requests of a scenario, class by class, as a run draws them.
pub struct Traffic {
    document: Document,
    sources: Vec<Source>,
}

impl Traffic {
    /// The scenario, with every default.
    pub fn scenario(&self) -> &Scenario {
        &self.document.scenario
    }

    /// The last instant that a run comes to, if the scenario stops it.
    pub fn until(&self) -> Option<SimTime> {
        assembly::horizon(self.scenario())
    }

    /// A source for each class, in the order of the scenario.
    pub fn sources(&mut self) -> &mut [Source] {
        &mut self.sources
    }

    /// The scenario is sound, and yet not what was needed.
    pub fn refuse(self, problems: Vec<Problem>) -> InvalidScenario {
        InvalidScenario::Wrong { document: Box::new(self.document), problems }
    }
}

impl Simulation {
    /// The requests of the scenario file at `path`.
    ///
    /// # Errors
    /// Everything wrong with the scenario.
    pub fn traffic(&self, path: impl AsRef<Path>) -> Result<Traffic, RunError> {
        let mut document = Document::open(path.as_ref()).map_err(InvalidScenario::Unreadable)?;
        let made = self.settle(&mut document).and_then(|deployment| self.drawn(&document, &deployment));
        match made {
            Ok(sources) => Ok(Traffic { document, sources }),
            Err(problems) => Err(assembly::wrong(document, problems)),
        }
    }

    /// The requests of one class of traffic, as the first of a scenario with that `seed`; relative paths
    /// start at `folder`.
    ///
    /// # Errors
    /// Everything wrong with the class.
    pub fn source(&self, mut class: WorkloadSpec, seed: u64, folder: &Path) -> Result<Source, Vec<Problem>> {
        let mut sim = self.builder();
        sim.seed(seed);
        let mut findings = Findings::default();
        choices::settle_class(&mut class, folder, sim.world(), &mut findings);
        findings.report_all(check_shared(&class));
        if findings.is_empty() {
            sources::alone(sim.world(), &class)
        } else {
            Err(findings.problems().to_vec())
        }
    }

    fn drawn(&self, document: &Document, deployment: &Deployment) -> Result<Vec<Source>, Vec<Problem>> {
        let mut sim = self.builder();
        sim.seed(document.scenario.seed);
        sources::make(sim.world(), &document.scenario, deployment).map(|(sources, _)| sources)
    }
}
