//! What traces record and a replay leaves out: said wherever a trace is read, never passed over.

use crate::workload::trace::{TraceHeader, TraceRow};

/// Whether a row records a thing.
type Records = fn(&TraceRow) -> bool;

/// Models in words of the recorded service, which a replay cannot know; those of a catalog it takes.
const FOREIGN_MODELS: &str = "foreign models";

/// What a replay leaves out, in the words of messages. Whatever comes to simulate one takes its line out.
const LEFT_OUT: [(&str, Records); 4] = [
    ("failed requests", |row| row.failed),
    (FOREIGN_MODELS, |row| !row.model.is_empty()),
    ("kinds of request", |row| !row.kind.is_empty()),
    ("images", |row| row.images > 0),
];

/// What the rows of a trace record beside what a replay uses.
#[derive(Clone, Copy, Debug)]
pub struct LeftOut {
    seen: [bool; LEFT_OUT.len()],
    foreign_models: bool,
}

impl LeftOut {
    /// Nothing yet of a trace with that header.
    pub const fn new(header: TraceHeader) -> Self {
        Self { seen: [false; LEFT_OUT.len()], foreign_models: header.foreign_models }
    }

    /// Adds a row.
    pub fn add(&mut self, row: &TraceRow) {
        for (seen, (_, records)) in self.seen.iter_mut().zip(LEFT_OUT) {
            *seen = *seen || records(row);
        }
    }

    /// What was recorded, in words.
    pub fn names(self) -> Vec<&'static str> {
        let left_out = |name: &str| self.foreign_models || name != FOREIGN_MODELS;
        let seen = LEFT_OUT.iter().zip(self.seen).filter(|((name, _), seen)| *seen && left_out(name));
        seen.map(|((name, _), _)| *name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_row_records_is_not_left_out() {
        let header = |foreign_models| TraceHeader { block_tokens: None, timed: true, foreign_models };
        let mut left_out = LeftOut::new(header(false));
        left_out.add(&TraceRow { prompt_tokens: 5, id: "a".into(), ..TraceRow::default() });
        assert!(left_out.names().is_empty());
        left_out.add(&TraceRow { kind: "chat".into(), ..TraceRow::default() });
        left_out.add(&TraceRow { images: 2, ..TraceRow::default() });
        assert_eq!(left_out.names(), ["kinds of request", "images"]);
        for (foreign, names) in [(true, &[FOREIGN_MODELS][..]), (false, &[])] {
            let mut left_out = LeftOut::new(header(foreign));
            left_out.add(&TraceRow { model: "ChatGPT".into(), ..TraceRow::default() });
            assert_eq!(left_out.names(), names);
        }
    }
}
