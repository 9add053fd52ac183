//! The Qwen-Bailian traces of Alibaba Cloud.
//!
//! JSON, one request a line, with `timestamp` (s), `input_length` and `output_length` (tokens),
//! `hash_ids` (16-token blocks), `chat_id` (the request), `parent_chat_id` (the turn before it, −1 for
//! none), `turn` and `type` (text, search, image or file); other keys are ignored. Every turn has an
//! arrival of its own, so none waits for another.
//! Source: <https://github.com/alibaba-edu/qwen-bailian-usagetraces-anon>, Apache-2.0.

use serde::Deserialize;

use super::extents::HashIds;
use super::json::{Label, Seconds, copy, parse};
use super::{BadRow, Format, Input, Options, RowParser, Rows, TraceHeader, TraceReader, TraceRow};
use crate::workload::SourceError;

/// The format's entry.
pub(super) const FORMAT: Format = Format {
    name: "bailian",
    recognised_by: "JSON lines with chat_id, input_length, output_length",
    recognises: |line| line.contains("\"chat_id\"") && line.contains("\"input_length\""),
    options: &["block_tokens"],
    open,
};

/// Tokens of a block in the published traces.
const BLOCK_TOKENS: u32 = 16;

#[allow(clippy::unnecessary_wraps)] // one signature for all formats
fn open(input: Input, options: &Options) -> Result<Box<dyn TraceReader>, SourceError> {
    let block_tokens = options.block_tokens.unwrap_or(BLOCK_TOKENS);
    let header = TraceHeader { block_tokens: Some(block_tokens), timed: true, foreign_models: false };
    Ok(Box::new(Rows::new(input.into_lines(), header, Bailian { block_tokens })))
}

struct Bailian {
    block_tokens: u32,
}

#[derive(Deserialize)]
struct Line<'a> {
    timestamp: Seconds,
    input_length: u32,
    output_length: u32,
    #[serde(default)]
    hash_ids: HashIds,
    #[serde(borrow)]
    chat_id: Option<Label<'a>>,
    #[serde(borrow)]
    parent_chat_id: Option<Label<'a>>,
    turn: Option<u32>,
    #[serde(borrow, rename = "type")]
    kind: Option<Label<'a>>,
}

impl RowParser for Bailian {
    const CLOCK: &'static str = "timestamp";

    fn parse(&mut self, text: &str, row: &mut TraceRow) -> Result<Option<i128>, BadRow> {
        let line: Line = parse(text)?;
        row.prompt_tokens = line.input_length;
        row.output_tokens = line.output_length;
        row.blocks = line.hash_ids.of_prompt(line.input_length, self.block_tokens)?;
        row.turn = line.turn;
        copy(line.chat_id.as_ref(), &mut row.id);
        if !matches!(line.parent_chat_id, Some(Label::Number(-1))) {
            copy(line.parent_chat_id.as_ref(), &mut row.parent);
        }
        copy(line.kind.as_ref(), &mut row.kind);
        Ok(Some(line.timestamp.0))
    }
}

#[cfg(test)]
mod tests {
    use crate::units::SimTime;
    use crate::workload::trace::{Input, Options, read, rows_of};

    const TEXT: &str = "{\"chat_id\": 55, \"parent_chat_id\": -1, \"timestamp\": 61, \"input_length\": 30, \
        \"output_length\": 7, \"type\": \"search\", \"turn\": 1, \"hash_ids\": [1089, 1090]}\n\
        {\"chat_id\": 159, \"parent_chat_id\": 55, \"timestamp\": 61.114, \"input_length\": 52, \
        \"output_length\": 13, \"type\": \"text\", \"turn\": 2, \"hash_ids\": [1089, 1090, 1091, 6326]}\n";

    #[test]
    fn turns_know_the_turn_before() {
        let rows = rows_of(TEXT).unwrap();
        assert_eq!((rows[0].id.as_str(), rows[0].parent.as_str(), rows[0].turn), ("55", "", Some(1)));
        assert_eq!(
            (rows[1].id.as_str(), rows[1].parent.as_str(), rows[1].kind.as_str()),
            ("159", "55", "text")
        );
        assert_eq!((rows[1].arrival, rows[1].blocks.blocks()), (SimTime::from_ns(114_000_000), 4));
    }

    #[test]
    fn blocks_have_16_tokens_unless_said_otherwise() {
        let block_tokens = |options: &Options| {
            read(Input::from_reader("t", TEXT.as_bytes()), options).unwrap().header().block_tokens
        };
        assert_eq!(block_tokens(&Options::default()), Some(16));
        assert_eq!(block_tokens(&Options { block_tokens: Some(32), ..Options::default() }), Some(32));
    }

    #[test]
    fn prompts_have_as_many_blocks_as_their_length_says() {
        let options = Options { block_tokens: Some(8), ..Options::default() };
        let rows: Vec<_> = read(Input::from_reader("t", TEXT.as_bytes()), &options).unwrap().collect();
        assert_eq!(
            rows[0].as_ref().unwrap_err().to_string(),
            "t:1: 2 `hash_ids` for an `input_length` of 30: blocks of 8 tokens, as `block_tokens` says, make it 3 or 4"
        );
    }
}
