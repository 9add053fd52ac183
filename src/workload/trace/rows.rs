//! What all formats of one request a line share: numbering, order, errors.

use super::{Lines, TraceHeader, TraceReader, TraceRow};
use crate::units::SimTime;
use crate::workload::SourceError;
use crate::workload::error::excerpt;

/// Why a line is not a row: column, what was found, what is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow(pub String);

impl BadRow {
    /// A row that is malformed as a whole.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    /// The tokens in a column, or why there are none.
    pub(super) fn tokens(column: &str, found: &str) -> Result<u32, Self> {
        const EXPECTED: &str = "a whole number of tokens, 0 to 4294967295";
        found.parse().map_err(|_| Self::column(column, found, EXPECTED))
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

    /// Whether arrivals count from the first row, as on a clock of the trace's own, or from 0.
    const FROM_FIRST_ROW: bool = true;

    /// Whether rows may follow others, instead of coming at an arrival of their own.
    const FOLLOWS: bool = false;

    /// Reads one line into a row that was [cleared](TraceRow::clear); answers with the arrival on the
    /// trace's own clock in ns, if the line has one. The row's `arrival` is the caller's to set.
    ///
    /// # Errors
    /// The line is not a row of the format.
    fn parse(&mut self, line: &str, row: &mut TraceRow) -> Result<Option<i128>, BadRow>;
}

/// The rows of a file, with their arrivals counted from its start and checked for order.
pub struct Rows<P> {
    lines: Lines,
    header: TraceHeader,
    parser: P,
    /// The first instant on the trace's own clock, in ns.
    start_ns: Option<i128>,
    last: SimTime,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// No row was read yet.
    Fresh,
    Reading,
    Over,
}

impl<P: RowParser> Rows<P> {
    /// The rows of what is left of `lines`.
    pub fn new(lines: Lines, header: TraceHeader, parser: P) -> Self {
        Self { lines, header, parser, start_ns: None, last: SimTime::ZERO, state: State::Fresh }
    }

    fn read(&mut self, row: &mut TraceRow) -> Result<bool, SourceError> {
        let Some(line) = self.lines.next_line()? else {
            return match self.state {
                State::Fresh => Err(SourceError::Empty { path: self.lines.path().to_owned() }),
                _ => Ok(false),
            };
        };
        row.clear();
        let instant_ns = match self.parser.parse(line, row) {
            Ok(instant_ns) => instant_ns,
            Err(BadRow(what)) => return Err(self.lines.error(what)),
        };
        if let Some(instant_ns) = instant_ns {
            self.last = self.arrival(instant_ns)?;
        }
        row.arrival = self.last;
        Ok(true)
    }

    fn arrival(&mut self, instant_ns: i128) -> Result<SimTime, SourceError> {
        let start_ns = if P::FROM_FIRST_ROW { *self.start_ns.get_or_insert(instant_ns) } else { 0 };
        let since_start_ns = instant_ns - start_ns;
        let arrival = u64::try_from(since_start_ns).map(SimTime::from_ns);
        arrival.ok().filter(|arrival| *arrival >= self.last).ok_or_else(|| {
            let column = P::CLOCK;
            self.lines.error(if since_start_ns > i128::from(u64::MAX) {
                format!("column `{column}`: more than 584 years after the first row")
            } else {
                format!("column `{column}`: earlier than the row before; sort the trace by `{column}`")
            })
        })
    }
}

impl<P: RowParser> TraceReader for Rows<P> {
    fn header(&self) -> TraceHeader {
        self.header
    }

    fn next_into(&mut self, row: &mut TraceRow) -> Result<bool, SourceError> {
        if self.state == State::Over {
            return Ok(false);
        }
        let read = self.read(row);
        self.state = if matches!(read, Ok(true)) { State::Reading } else { State::Over };
        read
    }

    fn may_follow(&self) -> bool {
        P::FOLLOWS
    }

    fn error(&self, what: String) -> SourceError {
        self.lines.error(what)
    }
}
