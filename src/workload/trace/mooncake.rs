//! Mooncake's traces and what Dynamo adds to them: sessions, and requests that wait for others.
//!
//! JSON, one request a line. Keys other than these are ignored:
//!
//! | key | meaning |
//! |---|---|
//! | `timestamp` | arrival, ms |
//! | `input_length`, `output_length` | tokens of prompt and output |
//! | `hash_ids` | ids of the prompt's blocks, 512 tokens each unless said otherwise |
//! | `session_id` | turns of one session, in the order of the file, follow one another |
//! | `delay` or `delay_ms` | time from the end of what a request follows to its arrival, ms |
//! | `tool_wait_ms` | time spent in tools between the two, added to the delay |
//! | `request_id` | the request's own name |
//! | `wait_for` | names of requests that must be over first |
//! | `branches` | names of requests that this one sets off |
//! | `model` | the model asked for |
//!
//! A request with a delay, a tool wait or something to wait for arrives after what it follows, so it
//! needs no timestamp; neither does a later turn of a session. Sources: Mooncake (FAST'25),
//! <https://github.com/kvcache-ai/Mooncake>; NVIDIA Dynamo's trace replay, both Apache-2.0.

use serde::Deserialize;

use super::extents::HashIds;
use super::json::{Label, Millis, copy, parse};
use super::{BadRow, Format, Input, Options, RowParser, Rows, TraceHeader, TraceReader, TraceRow};
use crate::units::SimSpan;
use crate::workload::SourceError;

/// The format's entry.
pub(super) const FORMAT: Format = Format {
    name: "mooncake",
    recognised_by: "JSON lines with input_length, output_length",
    recognises: |line| line.trim_ascii_start().starts_with('{') && line.contains("\"input_length\""),
    options: &["block_tokens"],
    open,
};

/// Tokens of a block in the published traces.
const BLOCK_TOKENS: u32 = 512;

#[allow(clippy::unnecessary_wraps)] // one signature for all formats
fn open(input: Input, options: &Options) -> Result<Box<dyn TraceReader>, SourceError> {
    let block_tokens = options.block_tokens.unwrap_or(BLOCK_TOKENS);
    let header = TraceHeader { block_tokens: Some(block_tokens), timed: true, foreign_models: true };
    Ok(Box::new(Rows::new(input.into_lines(), header, Mooncake { block_tokens })))
}

struct Mooncake {
    block_tokens: u32,
}

#[derive(Deserialize)]
struct Line<'a> {
    timestamp: Option<Millis>,
    input_length: u32,
    output_length: u32,
    #[serde(default)]
    hash_ids: HashIds,
    #[serde(borrow)]
    session_id: Option<Label<'a>>,
    delay: Option<Millis>,
    delay_ms: Option<Millis>,
    tool_wait_ms: Option<Millis>,
    #[serde(borrow)]
    request_id: Option<Label<'a>>,
    #[serde(borrow)]
    wait_for: Option<Vec<Label<'a>>>,
    #[serde(borrow)]
    branches: Option<Vec<Label<'a>>>,
    #[serde(borrow)]
    model: Option<Label<'a>>,
}

impl RowParser for Mooncake {
    const CLOCK: &'static str = "timestamp";
    const FOLLOWS: bool = true;

    fn parse(&mut self, text: &str, row: &mut TraceRow) -> Result<Option<i128>, BadRow> {
        let line: Line = parse(text)?;
        row.prompt_tokens = line.input_length;
        row.output_tokens = line.output_length;
        row.blocks = line.hash_ids.of_prompt(line.input_length, self.block_tokens)?;
        copy(line.session_id.as_ref(), &mut row.session);
        copy(line.request_id.as_ref(), &mut row.id);
        copy(line.model.as_ref(), &mut row.model);
        row.wait_for.extend(line.wait_for.into_iter().flatten().map(Label::into_text));
        row.branches.extend(line.branches.into_iter().flatten().map(Label::into_text));
        if line.delay.is_some() && line.delay_ms.is_some() {
            return Err(BadRow::new("`delay` and `delay_ms` are the same; give one"));
        }
        let delay = line.delay.or(line.delay_ms).map(|delay| delay.span("delay")).transpose()?;
        let tools = line.tool_wait_ms.map(|wait| wait.span("tool_wait_ms")).transpose()?;
        let untimed_turn = line.timestamp.is_none() && !row.session.is_empty();
        if delay.is_some() || tools.is_some() || !row.wait_for.is_empty() || untimed_turn {
            let ns = |span: Option<SimSpan>| span.map_or(0, SimSpan::as_ns);
            row.delay = Some(SimSpan::from_ns(ns(delay).saturating_add(ns(tools))));
        } else if line.timestamp.is_none() {
            return Err(BadRow::new("no `timestamp`, and nothing that the request follows"));
        }
        Ok(line.timestamp.map(|timestamp| timestamp.0))
    }
}

#[cfg(test)]
mod tests {
    use crate::units::{SimSpan, SimTime};
    use crate::workload::trace::{Extent, rows_of};

    const PLAIN: &str = "{\"timestamp\": 27482, \"input_length\": 1400, \"output_length\": 52, \
        \"hash_ids\": [46, 47, 2353]}\n\
        {\"timestamp\": 30535.5, \"input_length\": 900, \"output_length\": 26, \"hash_ids\": [46, 47]}\n";

    #[test]
    fn blocks_are_runs_and_arrivals_count_from_the_first() {
        let rows = rows_of(PLAIN).unwrap();
        assert_eq!((rows[0].prompt_tokens, rows[0].output_tokens), (1400, 52));
        let runs: Vec<_> = rows[0].blocks.iter().collect();
        assert_eq!(runs, [Extent { first: 46, blocks: 2 }, Extent { first: 2353, blocks: 1 }]);
        assert_eq!(rows[1].arrival, SimTime::from_ns(3_053_500_000));
        assert_eq!(rows[1].delay, None);
    }

    #[test]
    fn sessions_and_workflows_follow_what_they_wait_for() {
        let text = "{\"session_id\":\"s\",\"request_id\":\"a\",\"timestamp\":5,\"input_length\":9,\
            \"output_length\":1,\"branches\":[\"b\"],\"prefix_reset\":true}\n\
            {\"session_id\":\"s\",\"request_id\":7,\"delay\":2.5,\"tool_wait_ms\":1,\"wait_for\":[\"a\"],\
            \"input_length\":9,\"output_length\":1}\n\
            {\"session_id\":\"s\",\"input_length\":9,\"output_length\":1}\n";
        let rows = rows_of(text).unwrap();
        assert_eq!((rows[0].delay, rows[0].branches.as_slice()), (None, ["b".to_owned()].as_slice()));
        assert_eq!((rows[1].delay, rows[1].id.as_str()), (Some(SimSpan::from_ns(3_500_000)), "7"));
        assert_eq!(
            (rows[1].wait_for.as_slice(), rows[1].arrival),
            (["a".to_owned()].as_slice(), SimTime::ZERO)
        );
        assert_eq!(rows[2].delay, Some(SimSpan::ZERO));
    }

    #[test]
    fn bad_values_are_named() {
        let refusal = |text: &str| rows_of(&format!("{PLAIN}{text}\n")).unwrap_err();
        assert_eq!(
            refusal("{\"input_length\":1,\"output_length\":1}"),
            "t:3: no `timestamp`, and nothing that the request follows"
        );
        assert!(
            refusal("{\"timestamp\":1e5,\"input_length\":1.5,\"output_length\":1}")
                .starts_with("t:3: field `input_length`: invalid type: floating point `1.5`")
        );
        assert!(
            refusal("{\"timestamp\":1,\"input_length\":1,\"output_length\":1}")
                .contains("earlier than the row before")
        );
        assert!(refusal("{\"delay\":-1,\"input_length\":1,\"output_length\":1}").contains("field `delay`"));
        assert_eq!(
            refusal("{\"timestamp\":1e5,\"input_length\":1400,\"output_length\":1,\"hash_ids\":[1,2,3,4]}"),
            "t:3: 4 `hash_ids` for an `input_length` of 1400: blocks of 512 tokens, as `block_tokens` says, make it \
             2 or 3"
        );
        assert!(
            refusal("{\"delay\":1,\"delay_ms\":1,\"input_length\":1,\"output_length\":1}")
                .contains("give one")
        );
    }
}
