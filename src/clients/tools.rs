//! Tools with a client of their own: code runners, interpreters, searches that requests queue for.
//!
//! A `RunTool` stage holds one of the client's workers for as long as the tool takes, first come, first
//! served (MIST paper, §III-E: the sequential scheduler; footnote 4); with exponential durations and
//! Poisson arrivals that is the M/M/c queue. Where nothing queues, as with a service outside, `ToolCall`
//! is the same without a client.
//!
//! Left out: what the tool does, and its use of memory and bandwidth: how long it takes is drawn.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tasks::{Discipline, Part, Task, TaskClient, TaskExt, TaskModel};
use super::{Fact, Site};
use crate::catalog::Catalog;
use crate::engine::{SimBuilder, Stream};
use crate::request::pipeline::{Duration, Tokens};
use crate::request::{Payload, StageExt, StageKind};
use crate::runtime::Bound;
use crate::scenario::Problem;

/// Lets scenarios name the client and its stage.
pub(super) fn built_in(sim: &mut SimBuilder) {
    sim.task_client::<Tools>("Tools").stage_kind::<RunTool>("RunTool");
}

/// A pool of workers that run tools: sandboxes, interpreters, test runners.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tools {
    /// Tools that run at the same time, 1 to 1000000; more wait. Default: 8. What a sandbox service limits
    /// as concurrent sessions.
    pub workers: u32,
}

impl Default for Tools {
    fn default() -> Self {
        Self { workers: 8 }
    }
}

/// Runs a tool on a `Tools` client: waits for a worker, holds it, and adds the result to the text.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunTool {
    /// How long the tool takes once it runs; required, such as `Exponential(mean: ms(300))`.
    pub takes: Duration,
    /// Tokens that its result adds to the text. Default: `Exactly(0)`.
    #[serde(default = "nothing")]
    pub adds: Tokens,
}

const fn nothing() -> Tokens {
    Tokens::Exactly(0)
}

impl StageKind for RunTool {
    fn client(&self) -> &'static str {
        "Tools"
    }

    fn answers(&self) -> bool {
        false
    }

    fn finish(&self, payload: &mut Payload, draws: &mut Stream) {
        let adds = self.adds.draw(payload.answer_tokens, draws);
        payload.context_tokens = payload.context_tokens.saturating_add(adds);
    }

    fn check(&self, _: &Catalog) -> Vec<Problem> {
        let faults = [("takes", self.takes.fault()), ("adds", self.adds.fault())];
        let problem = |(field, fault): (&str, Option<String>)| fault.map(|fault| Problem::new(field, fault));
        faults.into_iter().filter_map(problem).collect()
    }
}

impl TaskClient for Tools {
    type Model = Self;

    fn deploy(&self, site: &Site<'_>) -> Result<Self, Vec<Problem>> {
        let wrong = self.check(site.catalog);
        if wrong.is_empty() { Ok(self.clone()) } else { Err(wrong) }
    }

    fn check(&self, _: &Catalog) -> Vec<Problem> {
        if (1..=1_000_000).contains(&self.workers) {
            return Vec::new();
        }
        vec![Problem::new("workers", format!("workers must be 1 to 1000000, found {}", self.workers))]
    }
}

impl TaskModel for Tools {
    type Stage = RunTool;

    fn discipline(&self) -> Discipline {
        Discipline::Sequential { cores: self.workers }
    }

    fn serve(&self, batch: &mut [Task<'_, RunTool>], draws: &mut Stream, parts: &mut Vec<Part>) {
        for task in batch {
            let seconds = task.stage.takes.draw(draws).as_secs_f64();
            parts.push(Part { name: "tool", seconds, bound: Bound::Host });
        }
    }

    fn facts(&self) -> Vec<Fact> {
        vec![Fact::new("serves", format!("tools, {} at a time", self.workers))]
    }

    fn source(&self) -> String {
        "tools take what their stages say".to_owned()
    }
}
