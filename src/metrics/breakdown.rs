//! Where the time of requests went, stage by stage of their pipeline.

use super::summary::StageSummary;
use super::utilisation::ratio;
use crate::request::pipeline::Lap;
use crate::stats::Distribution;

/// Times by stage of the requests of one source.
pub(super) struct Breakdown {
    requests: u64,
    stages: Vec<Stage>,
}

struct Stage {
    name: String,
    waited_ns: u128,
    /// Of the requests that spent time in it.
    time: Distribution,
}

impl Breakdown {
    /// No request yet through these stages.
    pub fn new(stages: &[String]) -> Self {
        let stage = |name: &String| Stage { name: name.clone(), waited_ns: 0, time: Distribution::default() };
        Self { requests: 0, stages: stages.iter().map(stage).collect() }
    }

    /// A request has completed, with its time by stage; nothing where the pipeline is one visit.
    pub fn record(&mut self, laps: &[Lap]) {
        self.requests += u64::from(!laps.is_empty());
        for (stage, lap) in self.stages.iter_mut().zip(laps) {
            if *lap != Lap::default() {
                stage.waited_ns += u128::from(lap.waited.as_ns());
                stage.time.record(lap.total());
            }
        }
    }

    pub fn coarsen(&mut self) {
        for stage in &mut self.stages {
            stage.time.coarsen();
        }
    }

    /// What reports say of each stage; nothing where no request had more than one visit.
    pub fn summary(&mut self) -> Vec<StageSummary> {
        if self.requests == 0 {
            return Vec::new();
        }
        let requests = self.requests as f64;
        let all_ns: u128 = self.stages.iter().map(|stage| stage.time.sum_ns()).sum();
        let summary = |stage: &mut Stage| StageSummary {
            name: stage.name.clone(),
            requests: stage.time.count(),
            mean_ms: stage.time.sum_ns() as f64 / requests / 1e6,
            mean_waiting_ms: stage.waited_ns as f64 / requests / 1e6,
            e2e_frac: ratio(stage.time.sum_ns() as f64, all_ns as f64),
            time: stage.time.statistics(),
        };
        self.stages.iter_mut().map(summary).collect()
    }
}
