//! MIST's own trace format: JSON, one request a line, after a line that says what it is.
//!
//! ```text
//! {"mist_trace":1,"block_tokens":512}
//! {"arrival_ns":0,"prompt_tokens":1400,"output_tokens":52,"session":"s","blocks":[[46,2],[2353,1]]}
//! {"arrival_ns":0,"delay_ns":2500000,"prompt_tokens":1460,"output_tokens":9,"session":"s"}
//! ```
//!
//! The keys are those of `Header` for the first line and of `Line` for every other one, as
//! `mist explain trace` tells them; what is absent was not recorded.
//!
//! Names are texts or whole numbers. Instants are whole ns, so that a replay is exact. Reading is
//! strict: an unknown key is an error. The `params` of a stage are the fields that a scenario writes, as a
//! JSON object: `RunTool(takes: Exactly(ms(5)))` is `{"stage": "RunTool", "params": {"takes": {"Exactly":
//! {"ms": 5}}}}`; stages inside others are texts, `{"stage": "Repeat", "params": {"run": ["Prefill", "Decode"],
//! "times": {"Exactly": 3}}}`. Here their text is kept as it is.

use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::json::{Label, copy, parse};
use super::{
    BadRow, Extents, Format, Input, Options, RowParser, Rows, StageRecord, TraceHeader, TraceReader, TraceRow,
};
use crate::units::SimSpan;
use crate::workload::SourceError;

/// The format's entry.
pub(super) const FORMAT: Format = Format {
    name: NAME,
    recognised_by: "a first line {\"mist_trace\": 1}",
    recognises: is_header,
    options: &[],
    open,
};

/// The name that a scenario gives the format.
pub const NAME: &str = "native";

/// Whether a first line is that of a native trace.
pub fn is_header(first_line: &str) -> bool {
    first_line.contains("\"mist_trace\"")
}

/// The version that this MIST reads and writes.
pub const VERSION: u32 = 1;

/// The first line of a trace in MIST's own format, which is JSON, one object a line; the requests follow.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    /// The version of the format, 1.
    pub mist_trace: u32,
    /// Tokens of one block of the prompts, 1 or more; without it no request has `blocks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_tokens: Option<u32>,
    /// Whether requests have arrivals; without them a trace serves as `lengths` only.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub timed: bool,
    /// Whether `model` is in words of the service recorded, and no name of a catalog.
    #[serde(default, skip_serializing_if = "no")]
    pub foreign_models: bool,
}

const fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref)] // what serde asks for
const fn no(flag: &bool) -> bool {
    !*flag
}

fn open(input: Input, _: &Options) -> Result<Box<dyn TraceReader>, SourceError> {
    let mut lines = input.into_lines();
    let header = parse_header(lines.next_line()?.unwrap_or_default());
    match header {
        Ok(header) => Ok(Box::new(Rows::new(lines, header, Native { header, fresh: true }))),
        Err(BadRow(what)) => Err(lines.error(what)),
    }
}

fn parse_header(line: &str) -> Result<TraceHeader, BadRow> {
    let Header { mist_trace, block_tokens, timed, foreign_models } = parse(line)?;
    if mist_trace != VERSION {
        return Err(BadRow::new(format!("trace format version {mist_trace}; this MIST reads {VERSION}")));
    }
    if block_tokens == Some(0) {
        return Err(BadRow::new("field `block_tokens`: must be 1 or more, found 0"));
    }
    Ok(TraceHeader { block_tokens, timed, foreign_models })
}

struct Native {
    header: TraceHeader,
    /// Whether no row was read yet.
    fresh: bool,
}

/// A first arrival beyond, ten years, is taken for an instant on a calendar.
const LATEST_START_NS: u64 = 10 * 365 * 86_400 * 1_000_000_000;

/// A request, one a line in order of arrival. A replay takes arrivals, what they follow, lengths, blocks, models
/// and pipelines; the rest is kept by `mist trace` and described by `mist trace inspect`. Names are texts or
/// whole numbers. A request follows only requests above it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    /// Arrival since the start of the trace (ns), no earlier than the request before; required if the trace is
    /// timed, also beside `delay_ns`, where it only gives the order.
    arrival_ns: Option<u64>,
    /// It arrives this long after what it follows is over, and not at `arrival_ns` (ns). It follows the turn
    /// before it in its `session`, its `parent`, what it is to `wait_for`, and those that have it among their
    /// `branches`. After a turn that was turned away the next turn never comes.
    delay_ns: Option<u64>,
    /// Tokens of the prompt.
    prompt_tokens: u32,
    /// Tokens of the answer.
    output_tokens: u32,
    /// Images in the prompt.
    #[serde(default)]
    images: u32,
    /// Whether the recorded service did not answer it; a replay leaves it out.
    #[serde(default)]
    failed: bool,
    /// The request's own name.
    #[serde(borrow)]
    #[schemars(with = "Option<String>")]
    id: Option<Label<'a>>,
    /// The model asked for: a name in the catalog that a client serves, unless `foreign_models` is set. Without
    /// it, that of the class of traffic.
    #[serde(borrow)]
    #[schemars(with = "Option<String>")]
    model: Option<Label<'a>>,
    /// The kind of request, in the words of the source.
    #[serde(borrow)]
    #[schemars(with = "Option<String>")]
    kind: Option<Label<'a>>,
    /// The conversation it belongs to. A turn waits for the one before where it has `delay_ns`; else it comes at
    /// `arrival_ns`.
    #[serde(borrow)]
    #[schemars(with = "Option<String>")]
    session: Option<Label<'a>>,
    /// Its number in the conversation.
    turn: Option<u32>,
    /// The `id` of the request whose conversation it continues.
    #[serde(borrow)]
    #[schemars(with = "Option<String>")]
    parent: Option<Label<'a>>,
    /// The `id`s of requests that must be over first, completed or turned away. Without `delay_ns` the request
    /// comes no earlier than at `arrival_ns` besides.
    #[serde(default, borrow)]
    #[schemars(with = "Vec<String>")]
    wait_for: Vec<Label<'a>>,
    /// The `id`s of requests that it sets off.
    #[serde(default, borrow)]
    #[schemars(with = "Vec<String>")]
    branches: Vec<Label<'a>>,
    /// Blocks of the prompt from its start, as runs `[first id, number of blocks]`.
    #[serde(default)]
    #[schemars(with = "Vec<(u64, u64)>")]
    blocks: Extents,
    /// The id of the first token of the answer, whose tokens follow one another, where later prompts go on with
    /// it; needs `block_tokens: 1`.
    answer: Option<u64>,
    /// Stages in order; empty means those of the class of traffic.
    #[serde(default, borrow)]
    pipeline: Vec<Stage<'a>>,
}

/// A stage of a pipeline.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Stage<'a> {
    /// Its name.
    #[serde(borrow)]
    #[schemars(with = "String")]
    stage: Label<'a>,
    /// The fields of the stage that a scenario would write, as a JSON object: `{"documents": 10}` for
    /// `Rag(documents: 10)`, `{"takes": {"Exactly": {"ms": 5}}}` for `RunTool(takes: Exactly(ms(5)))`. Stages
    /// inside it are texts: `{"run": ["Prefill", "Decode(tokens: Exactly(9))"], "times": {"Exactly": 2}}` for
    /// `Repeat`. What is left out has its default; absent, all of it. `mist trace export` writes them.
    #[serde(borrow)]
    #[schemars(with = "Option<String>", extend("x-words" = "JSON object, or None"))]
    params: Option<&'a RawValue>,
}

impl Stage<'_> {
    fn into_record(self) -> StageRecord {
        let params = self.params.map_or("{}", RawValue::get);
        StageRecord { stage: self.stage.into_text(), params: params.to_owned() }
    }
}

/// The lines of the format, the first and every other, for the documentation.
pub fn lines() -> [(&'static str, Schema); 2] {
    [("trace header", schema_for!(Header)), ("trace", schema_for!(Line<'static>))]
}

impl RowParser for Native {
    const CLOCK: &'static str = "arrival_ns";
    const FROM_FIRST_ROW: bool = false;
    const FOLLOWS: bool = true;

    fn parse(&mut self, text: &str, row: &mut TraceRow) -> Result<Option<i128>, BadRow> {
        let line: Line = parse(text)?;
        match (self.header.timed, line.arrival_ns) {
            (true, None) => return Err(BadRow::new("missing field `arrival_ns`")),
            (false, Some(_)) => return Err(BadRow::new("field `arrival_ns`: the trace says `timed: false`")),
            _ => {}
        }
        if self.header.block_tokens.is_none() && !line.blocks.is_empty() {
            return Err(BadRow::new("field `blocks`: the first line does not say `block_tokens`"));
        }
        row.delay = line.delay_ns.map(SimSpan::from_ns);
        row.prompt_tokens = line.prompt_tokens;
        row.output_tokens = line.output_tokens;
        row.images = line.images;
        row.failed = line.failed;
        row.turn = line.turn;
        row.blocks = line.blocks;
        if line.answer.is_some() && self.header.block_tokens != Some(1) {
            return Err(BadRow::new(
                "field `answer`: tokens have ids of their own only with `block_tokens: 1`",
            ));
        }
        row.answer = line.answer;
        copy(line.id.as_ref(), &mut row.id);
        copy(line.model.as_ref(), &mut row.model);
        copy(line.kind.as_ref(), &mut row.kind);
        copy(line.session.as_ref(), &mut row.session);
        copy(line.parent.as_ref(), &mut row.parent);
        row.wait_for.extend(line.wait_for.into_iter().map(Label::into_text));
        row.branches.extend(line.branches.into_iter().map(Label::into_text));
        for stage in line.pipeline {
            let stage = stage.into_record();
            if !stage.params.starts_with('{') {
                return Err(BadRow::column("params", &stage.params, "a JSON object"));
            }
            row.pipeline.push(stage);
        }
        if self.fresh && line.arrival_ns.is_some_and(|first| first > LATEST_START_NS) {
            return Err(BadRow::new(
                "field `arrival_ns`: counts from the start of the trace, and the first request comes more than \
                 ten years later; subtract the instant at which the trace begins from all",
            ));
        }
        self.fresh = false;
        Ok(line.arrival_ns.map(i128::from))
    }
}

/// What a row asks for.
#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    model: Option<Label<'a>>,
    #[serde(default, borrow)]
    pipeline: Vec<Stage<'a>>,
}

/// Shows `each` the model and the pipeline of every row that names one; what it answers is an error of that
/// row. Rows that cannot be read are passed over: whoever reads them says so.
///
/// # Errors
/// The file cannot be read, or `each` refuses a row.
pub fn asked(
    input: Input,
    mut each: impl FnMut(&str, &[StageRecord]) -> Result<(), String>,
) -> Result<(), SourceError> {
    let mut lines = input.into_lines();
    let (mut model, mut pipeline) = (String::new(), Vec::new());
    lines.next_line()?; // the header
    while let Some(line) = lines.next_line()? {
        if !line.contains("\"model\"") && !line.contains("\"pipeline\"") {
            continue;
        }
        let Ok(asked) = serde_json::from_str::<Asked<'_>>(line) else { continue };
        model.clear();
        pipeline.clear();
        copy(asked.model.as_ref(), &mut model);
        pipeline.extend(asked.pipeline.into_iter().map(Stage::into_record));
        if let Err(what) = each(&model, &pipeline) {
            return Err(lines.error(what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::units::{SimSpan, SimTime};
    use crate::workload::trace::rows_of;

    fn refusal(row: &str) -> String {
        rows_of(&format!("{{\"mist_trace\":1}}\n{row}\n")).unwrap_err()
    }

    #[test]
    fn arrivals_count_from_the_start_and_not_from_the_first_row() {
        let text = "{\"mist_trace\":1,\"block_tokens\":16}\n\n{\"arrival_ns\":7,\"prompt_tokens\":1,\
            \"output_tokens\":2,\"delay_ns\":5,\"id\":3,\"blocks\":[[0,1]],\
            \"pipeline\":[{\"stage\":\"rag\",\"params\": {\"k\": [1e400, 5]} },{\"stage\":\"prefill\"}]}\n";
        let row = &rows_of(text).unwrap()[0];
        assert_eq!((row.arrival, row.delay), (SimTime::from_ns(7), Some(SimSpan::from_ns(5))));
        assert_eq!((row.id.as_str(), row.blocks.blocks()), ("3", 1));
        assert_eq!(row.pipeline[0].params, "{\"k\": [1e400, 5]}");
        assert_eq!((row.pipeline[1].stage.as_str(), row.pipeline[1].params.as_str()), ("prefill", "{}"));
    }

    #[test]
    fn an_instant_of_the_calendar_is_no_arrival() {
        let error = refusal("{\"arrival_ns\":1700000000000000000,\"prompt_tokens\":1,\"output_tokens\":2}");
        assert!(error.starts_with("t:2: field `arrival_ns`: counts from the start of the trace"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = refusal("{\"arrival_ns\":0,\"prompt_tokens\":1,\"output_tokens\":2,\"modle\":\"m\"}");
        assert!(error.starts_with("t:2: unknown field `modle`, expected one of `arrival_ns`"), "{error}");
        let error = rows_of("{\"mist_trace\":1,\"block\":2}\n").unwrap_err();
        assert!(error.starts_with("t:1: unknown field `block`"), "{error}");
    }

    #[test]
    fn what_contradicts_the_first_line_is_refused() {
        assert!(refusal("{\"prompt_tokens\":1,\"output_tokens\":2}").contains("missing field `arrival_ns`"));
        let blocks = "{\"arrival_ns\":0,\"prompt_tokens\":1,\"output_tokens\":2,\"blocks\":[[0,1]]}";
        assert!(refusal(blocks).contains("does not say `block_tokens`"));
        let params = "{\"arrival_ns\":0,\"prompt_tokens\":1,\"output_tokens\":2,\"pipeline\":\
            [{\"stage\":\"rag\",\"params\":[]}]}";
        assert_eq!(refusal(params), "t:2: column `params`: expected a JSON object, found `[]`");
        let version = rows_of("{\"mist_trace\":2}\n").unwrap_err();
        assert_eq!(version, "t:1: trace format version 2; this MIST reads 1");
        let untimed =
            "{\"mist_trace\":1,\"timed\":false}\n{\"arrival_ns\":0,\"prompt_tokens\":1,\"output_tokens\":2}";
        assert!(rows_of(untimed).unwrap_err().contains("says `timed: false`"));
        assert_eq!(rows_of("{\"mist_trace\":1}\n").unwrap_err(), "t holds no requests");
    }
}
