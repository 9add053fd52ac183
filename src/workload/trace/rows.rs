//! What all formats of one request a line share: numbering, order, errors.

use super::{Lines, TraceRow};
use crate::units::SimTime;
use crate::workload::SourceError;
use crate::workload::error::excerpt;

/// One request as its line records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Arrival on the trace's own clock, in ns.
    pub instant_ns: i128,
    /// Prompt tokens.
    pub prompt_tokens: u32,
    /// Output tokens.
    pub output_tokens: u32,
}

/// Why a line is not a row: column, what was found, what is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow(pub String);

impl BadRow {
    /// A row that is malformed as a whole.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    /// A column whose value is not what it should be.
    pub fn column(column: &str, found: &str, expected: &str) -> Self {
        Self(format!("column `{column}`: expected {expected}, found `{}`", excerpt(found)))
    }
}

/// Turns lines of one format into rows.
pub trait RowParser: Send + Sync {
    /// What the format calls the instant of arrival, for messages.
    const CLOCK: &'static str;

    /// Reads one line.
    ///
    /// # Errors
    /// The line is not a row of the format.
    fn parse(&mut self, line: &str) -> Result<Recorded, BadRow>;
}

/// The rows of a file, counted from its first arrival and checked for order.
pub struct Rows<P> {
    lines: Lines,
    parser: P,
    /// The first instant on the trace's own clock, in ns.
    start_ns: Option<i128>,
    last: SimTime,
    over: bool,
}

impl<P: RowParser> Rows<P> {
    /// The rows of what is left of `lines`.
    pub fn new(lines: Lines, parser: P) -> Self {
        Self { lines, parser, start_ns: None, last: SimTime::ZERO, over: false }
    }

    fn read(&mut self) -> Result<Option<TraceRow>, SourceError> {
        let Some(line) = self.lines.next_line()? else {
            let path = self.lines.path();
            return match self.start_ns {
                Some(_) => Ok(None),
                None => Err(SourceError::Empty { path: path.to_owned() }),
            };
        };
        let row = match self.parser.parse(line) {
            Ok(row) => row,
            Err(BadRow(what)) => return Err(self.lines.error(what)),
        };
        let since_start_ns = row.instant_ns - *self.start_ns.get_or_insert(row.instant_ns);
        let arrival = u64::try_from(since_start_ns).map(SimTime::from_ns);
        let Some(arrival) = arrival.ok().filter(|arrival| *arrival >= self.last) else {
            let column = P::CLOCK;
            return Err(self.lines.error(if since_start_ns > i128::from(u64::MAX) {
                format!("column `{column}`: more than 584 years after the first row")
            } else {
                format!("column `{column}`: earlier than the row before; sort the trace by `{column}`")
            }));
        };
        self.last = arrival;
        let Recorded { prompt_tokens, output_tokens, .. } = row;
        Ok(Some(TraceRow { arrival, prompt_tokens, output_tokens }))
    }
}

impl<P: RowParser> Iterator for Rows<P> {
    type Item = Result<TraceRow, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let row = self.read().transpose();
        self.over = !matches!(row, Some(Ok(_)));
        row
    }
}
