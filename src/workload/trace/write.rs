//! Writes the native format; [`native`](super::native) says what its keys mean.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::value::RawValue;

use super::native::{Header, VERSION};
use super::{Extents, StageRecord, TraceHeader, TraceRow};
use crate::units::SimSpan;

/// Writes rows as a native trace. Every row is one write, so `out` should be buffered.
pub struct TraceWriter<W> {
    out: W,
    timed: bool,
    line: Vec<u8>,
}

impl<W: Write> TraceWriter<W> {
    /// Starts a trace; rows with blocks need a header that says how large these are.
    ///
    /// # Errors
    /// `out` cannot be written to.
    pub fn new(out: W, header: TraceHeader) -> io::Result<Self> {
        let mut writer = Self { out, timed: header.timed, line: Vec::new() };
        let TraceHeader { block_tokens, timed, foreign_models } = header;
        writer.write_line(&Header { mist_trace: VERSION, block_tokens, timed, foreign_models })?;
        Ok(writer)
    }

    /// Writes one row.
    ///
    /// # Errors
    /// `out` cannot be written to, or a stage's `params` are not JSON.
    pub fn write(&mut self, row: &TraceRow) -> io::Result<()> {
        let line = Line {
            arrival_ns: self.timed.then(|| row.arrival.as_ns()),
            delay_ns: row.delay.map(SimSpan::as_ns),
            prompt_tokens: row.prompt_tokens,
            output_tokens: row.output_tokens,
            images: row.images,
            failed: row.failed,
            id: &row.id,
            model: &row.model,
            kind: &row.kind,
            session: &row.session,
            turn: row.turn,
            parent: &row.parent,
            wait_for: &row.wait_for,
            branches: &row.branches,
            blocks: &row.blocks,
            answer: row.answer,
            pipeline: row.pipeline.iter().map(stage).collect::<Result<_, _>>()?,
        };
        self.write_line(&line)
    }

    /// Hands `out` back, flushed.
    ///
    /// # Errors
    /// `out` cannot be written to.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }

    fn write_line(&mut self, line: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line)?;
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }
}

fn stage(record: &StageRecord) -> Result<Stage<'_>, serde_json::Error> {
    Ok(Stage { stage: &record.stage, params: serde_json::from_str(&record.params)? })
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    arrival_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ns: Option<u64>,
    prompt_tokens: u32,
    output_tokens: u32,
    #[serde(skip_serializing_if = "none")]
    images: u32,
    #[serde(skip_serializing_if = "not")]
    failed: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    model: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    kind: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    session: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    turn: Option<u32>,
    #[serde(skip_serializing_if = "str::is_empty")]
    parent: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    wait_for: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    branches: &'a [String],
    #[serde(skip_serializing_if = "Extents::is_empty")]
    blocks: &'a Extents,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pipeline: Vec<Stage<'a>>,
}

#[derive(Serialize)]
struct Stage<'a> {
    stage: &'a str,
    params: &'a RawValue,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // what serde asks for
const fn none(count: &u32) -> bool {
    *count == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // what serde asks for
const fn not(flag: &bool) -> bool {
    !*flag
}
