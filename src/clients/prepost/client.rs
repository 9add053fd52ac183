//! `PrePost(…)`: the client whose cores do something to text.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::stage::lengths;
use super::{TextCosts, TextStage};
use crate::catalog::Catalog;
use crate::clients::tasks::{Discipline, Part, Task, TaskClient, TaskModel};
use crate::clients::{Fact, Site};
use crate::engine::Stream;
use crate::runtime::Bound;
use crate::scenario::Problem;

/// Cores of a CPU that do something to the text of requests, each request on one.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PrePost {
    /// How many cores work, 1 to 65536: as many requests at a time. Default: 64.
    pub cores: u32,
    /// What operations cost on one core. Default: measured or published figures of Python libraries.
    pub costs: TextCosts,
}

impl Default for PrePost {
    fn default() -> Self {
        Self { cores: 64, costs: TextCosts::default() }
    }
}

/// Cores, ready to work.
pub struct PrePostModel {
    settings: PrePost,
}

impl TaskClient for PrePost {
    type Model = PrePostModel;

    fn check(&self, _: &Catalog) -> Vec<Problem> {
        if (1..=65_536).contains(&self.cores) {
            Vec::new()
        } else {
            vec![Problem::new("cores", format!("expected 1 to 65536 cores, found {}", self.cores))]
        }
    }

    fn deploy(&self, site: &Site<'_>) -> Result<PrePostModel, Vec<Problem>> {
        let mut wrong = self.check(site.catalog);
        if let Some(node) = site.nodes.iter().find(|node| node.is_accelerator()) {
            let message = format!("text is processed on processors, and {} is an accelerator", node.name);
            wrong.push(Problem::new("", message).help("take nodes such as an `EPYC 7763 (Milan 64c)`"));
        }
        if wrong.is_empty() { Ok(PrePostModel { settings: self.clone() }) } else { Err(wrong) }
    }
}

impl TaskModel for PrePostModel {
    type Stage = TextStage;

    fn discipline(&self) -> Discipline {
        Discipline::Sequential { cores: self.settings.cores }
    }

    fn serve(&self, batch: &mut [Task<'_, TextStage>], _: &mut Stream, parts: &mut Vec<Part>) {
        for request in batch {
            let mut text = lengths(request.payload);
            for task in &request.stage.tasks {
                let seconds = task.seconds(&self.settings.costs, text);
                parts.push(Part { name: task.name(), seconds, bound: Bound::Host });
                text = task.apply(text);
            }
        }
    }

    fn facts(&self) -> Vec<Fact> {
        vec![Fact::new("cores", self.settings.cores)]
    }

    fn source(&self) -> String {
        if self.settings.costs == TextCosts::default() {
            "one core of a server, measured or published, Python libraries; augmenting assumed".to_owned()
        } else {
            "costs as given".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::prepost::TextTask;
    use crate::engine::Streams;
    use crate::request::{Payload, StageKind};

    #[test]
    fn a_stage_costs_what_its_operations_do_each_on_what_the_last_left() {
        use TextTask::{Augment, Normalize, Tokenize, Truncate};
        let model = PrePostModel { settings: PrePost::default() };
        let tasks = vec![Normalize, Augment { tokens: 500 }, Tokenize, Truncate { to: 1200 }];
        let stage = TextStage { tasks };
        let mut payload = Payload { cached_tokens: 1300, ..Payload::new(1000, 100, 0) };
        let mut draws = Streams::new(0).stream("prepost", 0);
        let mut parts = Vec::new();
        let task = Task { stage: &stage, payload: &mut payload, kv_bytes_per_token: 0.0, leaves: None };
        model.serve(&mut [task], &mut draws, &mut parts);
        let names: Vec<&str> = parts.iter().map(|part| part.name).collect();
        assert_eq!(names, ["normalize", "augment", "tokenize", "truncate"]);
        let seconds: f64 = parts.iter().map(|part| part.seconds).sum();
        let by_hand = 1000.0 * 70e-9 + 1e-3 + 1500.0 * 1.1e-6 + 1200.0 * 0.5e-9;
        assert!((seconds - by_hand).abs() < 1e-12, "{seconds}");
        stage.finish(&mut payload, &mut draws);
        assert_eq!((payload.context_tokens, payload.cached_tokens), (1200, 1199));
    }
}
