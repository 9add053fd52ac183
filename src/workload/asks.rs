//! What requests ask for: a pipeline and a model.

use std::collections::BTreeMap;

use super::trace::{StageRecord, TraceRow};
use crate::scenario::did_you_mean;

/// What the requests of a source ask for: positions in [`Programs`](crate::request::pipeline::Programs), and
/// how urgently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asks {
    /// Their pipeline.
    pub program: u16,
    /// Their model.
    pub model: u16,
    /// How urgent they are: lower values are more urgent.
    pub priority: i16,
}

/// What the rows of a trace may ask for, by the words they use.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    /// Models that clients serve, in the order of their numbers.
    pub models: Vec<String>,
    /// Pipelines that rows name, with the numbers of their programs.
    pub pipelines: BTreeMap<Vec<StageRecord>, u16>,
}

impl Vocabulary {
    /// The same where programs are numbered from `first`.
    #[must_use]
    pub fn shifted(mut self, first: u16) -> Self {
        self.pipelines.values_mut().for_each(|program| *program += first);
        self
    }

    /// The number of a model.
    ///
    /// # Errors
    /// No client serves it.
    pub fn model(&self, name: &str) -> Result<u16, String> {
        let at = self.models.iter().position(|served| served == name);
        at.map(|at| at as u16).ok_or_else(|| {
            let help = did_you_mean(name, self.models.iter().map(String::as_str));
            format!("field `model`: no client serves `{name}`; {}", help.replace("Allowed:", "served:"))
        })
    }

    /// What `row` asks for, and `otherwise` for what it does not say.
    ///
    /// # Errors
    /// No client serves its model, or its pipeline was not found when the trace was looked through.
    pub fn of(&self, row: &TraceRow, foreign_models: bool, otherwise: Asks) -> Result<Asks, String> {
        let mut asks = otherwise;
        if !foreign_models && !row.model.is_empty() {
            asks.model = self.model(&row.model)?;
        }
        if !row.pipeline.is_empty() {
            let program = self.pipelines.get(&row.pipeline).copied();
            asks.program = program.ok_or(
                "field `pipeline`: the pipelines of a trace are looked up before the run, and this one was not \
                 there then: the trace is a pipe, or has changed",
            )?;
        }
        Ok(asks)
    }
}

/// What the requests of a class ask for, in the words of traces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wording {
    /// The model; empty if no stage takes the request's.
    pub model: String,
    /// The pipeline; empty for prefill and decode.
    pub pipeline: Vec<StageRecord>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_asks_for_what_it_names_and_else_for_what_its_class_does() {
        let pipeline = vec![StageRecord { stage: "Prefill".into(), params: "{}".into() }];
        let words = Vocabulary {
            models: vec!["large".into(), "small".into()],
            pipelines: BTreeMap::from([(pipeline.clone(), 7)]),
        };
        let class = Asks { program: 3, model: 0, priority: -2 };
        let row = |model: &str, pipeline: &[StageRecord]| TraceRow {
            model: model.into(),
            pipeline: pipeline.to_vec(),
            ..TraceRow::default()
        };
        assert_eq!(words.of(&row("", &[]), false, class), Ok(class));
        assert_eq!(words.of(&row("small", &[]), false, class), Ok(Asks { model: 1, ..class }));
        assert_eq!(words.of(&row("ChatGPT", &pipeline), true, class), Ok(Asks { program: 7, ..class }));
        let unserved = words.of(&row("smal", &[]), false, class).unwrap_err();
        assert!(
            unserved.starts_with("field `model`: no client serves `smal`; did you mean `small`?"),
            "{unserved}"
        );
        let mut other = pipeline;
        other[0].stage = "Decode".into();
        assert!(words.of(&row("", &other), false, class).unwrap_err().contains("a pipe"));
    }
}
