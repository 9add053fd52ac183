//! The BurstGPT traces.
//!
//! CSV with the columns `Timestamp` (s), `Model`, `Request tokens`, `Response tokens`, `Log Type` and,
//! in newer releases, `Session ID` and `Elapsed time`, found by name; `Total tokens` and the elapsed
//! time are not used. A request with 0 response tokens is one that the service failed to answer: it is
//! kept and marked as failed, and a replay leaves it out, as the publisher's files "without fails" do.
//! Source: <https://github.com/HPMLL/BurstGPT>, CC-BY-4.0.

use super::timestamp::instant_ns;
use super::{BadRow, Columns, Format, Input, Options, RowParser, Rows, TraceHeader, TraceReader, TraceRow};
use crate::workload::SourceError;

/// The format's entry.
pub(super) const FORMAT: Format = Format {
    name: "burstgpt",
    recognised_by: "a header with Timestamp, Request tokens, Response tokens",
    recognises: |first_line| columns(first_line).is_ok(),
    options: &[],
    open,
};

const COLUMNS: [&str; 6] =
    ["Timestamp", "Request tokens", "Response tokens", "Model", "Log Type", "Session ID"];

fn columns(header: &str) -> Result<Columns<6>, BadRow> {
    Columns::find(COLUMNS, 3, header)
}

fn open(input: Input, _: &Options) -> Result<Box<dyn TraceReader>, SourceError> {
    let mut lines = input.into_lines();
    let header = lines.next_line()?.unwrap_or_default();
    match columns(header) {
        Ok(columns) => {
            let header = TraceHeader { block_tokens: None, timed: true, foreign_models: true };
            Ok(Box::new(Rows::new(lines, header, BurstGpt { columns })))
        }
        Err(BadRow(what)) => Err(lines.error(what)),
    }
}

struct BurstGpt {
    columns: Columns<6>,
}

impl RowParser for BurstGpt {
    const CLOCK: &'static str = COLUMNS[0];

    fn parse(&mut self, line: &str, row: &mut TraceRow) -> Result<Option<i128>, BadRow> {
        let [timestamp, prompt, output, model, kind, session] = self.columns.pick(line)?;
        row.prompt_tokens = BadRow::tokens(COLUMNS[1], prompt)?;
        row.output_tokens = BadRow::tokens(COLUMNS[2], output)?;
        row.failed = row.output_tokens == 0;
        row.model.push_str(model);
        row.kind.push_str(kind);
        row.session.push_str(session);
        let instant = match timestamp.parse::<i64>() {
            Ok(seconds) => Some(i128::from(seconds) * 1_000_000_000),
            Err(_) => timestamp.parse().ok().and_then(|seconds: f64| instant_ns(seconds, 1_000_000_000)),
        };
        let expected = "a number of seconds";
        instant.map(Some).ok_or_else(|| BadRow::column(COLUMNS[0], timestamp, expected))
    }
}

#[cfg(test)]
mod tests {
    use crate::units::SimTime;
    use crate::workload::trace::{TraceRow, rows_of};

    #[test]
    fn both_releases_are_read_by_name() {
        let text = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n\
            5,ChatGPT,472,18,490,Conversation log\n6.5,GPT-4,1087,0,1087,API log\n";
        let expected = [
            TraceRow {
                prompt_tokens: 472,
                output_tokens: 18,
                model: "ChatGPT".into(),
                kind: "Conversation log".into(),
                ..TraceRow::default()
            },
            TraceRow {
                arrival: SimTime::from_ns(1_500_000_000),
                prompt_tokens: 1087,
                failed: true,
                model: "GPT-4".into(),
                kind: "API log".into(),
                ..TraceRow::default()
            },
        ];
        assert_eq!(rows_of(text).unwrap(), expected);
        let newer = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,\
            Log Type\n5,17,2.3,ChatGPT,472,18,490,Conversation log\n";
        assert_eq!(rows_of(newer).unwrap()[0].session, "17");
    }

    #[test]
    fn bad_values_are_named() {
        let refusal =
            |row: &str| rows_of(&format!("Timestamp,Request tokens,Response tokens\n{row}\n")).unwrap_err();
        assert_eq!(
            refusal("soon,1,1"),
            "t:2: column `Timestamp`: expected a number of seconds, found `soon`"
        );
        assert!(refusal("inf,1,1").contains("a number of seconds"));
        assert!(refusal("1,1,-1").contains("column `Response tokens`"));
    }
}
