//! One recorded request, whatever format it comes from.

use crate::units::{SimSpan, SimTime};

use super::Extents;

/// What holds for all rows of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceHeader {
    /// Tokens of one block of the prompts, if blocks are recorded.
    pub block_tokens: Option<u32>,
    /// Whether arrivals are recorded; if not, every row arrives at 0.
    pub timed: bool,
    /// Whether rows name models in words of the service that was recorded, which are no names of a catalog.
    pub foreign_models: bool,
}

/// One recorded request. What a trace does not record is an empty text, an empty list or 0. Meant to be
/// reused: a reader overwrites every field and keeps the memory behind them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceRow {
    /// Arrival, counted from the start of the trace; never before that of the row before. For a row
    /// with a [`delay`](Self::delay) and no time of its own, that of the row before it.
    pub arrival: SimTime,
    /// Set for a request that follows others: it arrives this long after the last of them is over
    /// (the turn before it in its session, and all that it waits for), and not at `arrival`.
    pub delay: Option<SimSpan>,
    /// Prompt tokens, as recorded.
    pub prompt_tokens: u32,
    /// Output tokens, as recorded.
    pub output_tokens: u32,
    /// Images in the prompt.
    pub images: u32,
    /// Whether the recorded service failed to answer it.
    pub failed: bool,
    /// The request's own name, unique in the trace.
    pub id: String,
    /// The model it asked for, in the words of the trace or the catalog's: see [`TraceHeader`].
    pub model: String,
    /// What kind of request it is, in the trace's words.
    pub kind: String,
    /// The conversation it belongs to.
    pub session: String,
    /// Its number in the conversation, counted as the trace does.
    pub turn: Option<u32>,
    /// The request whose conversation it continues, by id.
    pub parent: String,
    /// Requests that must be over before it arrives, by id.
    pub wait_for: Vec<String>,
    /// Requests that it sets off, by id; each of them waits for it.
    pub branches: Vec<String>,
    /// The blocks of its prompt from the start; the last may be partly filled.
    pub blocks: Extents,
    /// The id of the first token of its answer, where blocks are single tokens and later prompts go on with it.
    pub answer: Option<u64>,
    /// The stages it goes through, in order; empty for the usual ones.
    pub pipeline: Vec<StageRecord>,
}

/// One stage of a recorded pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StageRecord {
    /// The kind of stage, such as `Rag`.
    pub stage: String,
    /// Its parameters: the text of a JSON object, which the stage's own kind will read.
    pub params: String,
}

impl TraceRow {
    /// Makes it an empty request again and keeps its buffers.
    pub fn clear(&mut self) {
        self.arrival = SimTime::ZERO;
        self.delay = None;
        (self.prompt_tokens, self.output_tokens, self.images) = (0, 0, 0);
        self.failed = false;
        self.turn = None;
        self.answer = None;
        self.wait_for.clear();
        self.branches.clear();
        self.blocks.clear();
        self.pipeline.clear();
        for text in [&mut self.id, &mut self.model, &mut self.kind, &mut self.session, &mut self.parent] {
            text.clear();
        }
    }
}
