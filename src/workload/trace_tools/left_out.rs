//! What traces record and a replay leaves out: said wherever a trace is read, never passed over.

use crate::workload::trace::TraceRow;

/// Whether a row records a thing.
type Records = fn(&TraceRow) -> bool;

/// What a replay leaves out, in the words of messages. Whatever comes to simulate one takes its line out.
const LEFT_OUT: [(&str, Records); 7] = [
    ("failed requests", |row| row.failed),
    ("models", |row| !row.model.is_empty()),
    ("kinds of request", |row| !row.kind.is_empty()),
    ("images", |row| row.images > 0),
    ("sessions", |row| {
        !(row.session.is_empty()
            && row.parent.is_empty()
            && row.wait_for.is_empty()
            && row.branches.is_empty())
    }),
    ("prefix blocks", |row| !row.blocks.is_empty()),
    ("pipelines", |row| !row.pipeline.is_empty()),
];

/// What the rows of a trace record beside what a replay uses: arrivals and lengths.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeftOut([bool; LEFT_OUT.len()]);

impl LeftOut {
    /// Adds a row.
    pub fn add(&mut self, row: &TraceRow) {
        for (seen, (_, records)) in self.0.iter_mut().zip(LEFT_OUT) {
            *seen = *seen || records(row);
        }
    }

    /// What was recorded, in words.
    pub fn names(self) -> Vec<&'static str> {
        LEFT_OUT.iter().zip(self.0).filter(|(_, seen)| *seen).map(|((name, _), _)| *name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_row_records_is_not_left_out() {
        let mut left_out = LeftOut::default();
        left_out.add(&TraceRow { prompt_tokens: 5, id: "a".into(), ..TraceRow::default() });
        assert!(left_out.names().is_empty());
        left_out.add(&TraceRow { parent: "a".into(), ..TraceRow::default() });
        left_out.add(&TraceRow { images: 2, ..TraceRow::default() });
        assert_eq!(left_out.names(), ["images", "sessions"]);
    }
}
