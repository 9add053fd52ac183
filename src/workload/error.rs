//! What can be wrong with a source of requests.

use std::io;
use std::path::PathBuf;

use crate::units::SimTime;

/// A trace or a table that cannot be used; always bad input, never a broken invariant.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file is missing or may not be read.
    #[error("cannot open {}: {why}", path.display())]
    Open {
        /// The file as named.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// Reading stopped in the middle of the file.
    #[error("{}:{line}: cannot read on: {why}", path.display())]
    Read {
        /// The file as named.
        path: PathBuf,
        /// Line being read, from 1.
        line: u64,
        /// What the system says.
        why: io::Error,
    },
    /// A line that is not a row of the format.
    #[error("{}:{line}: {what}", path.display())]
    Row {
        /// The file as named.
        path: PathBuf,
        /// Line at fault, from 1.
        line: u64,
        /// Column, what was found and what is expected.
        what: String,
    },
    /// The file holds no request at all.
    #[error("{} holds no requests", path.display())]
    Empty {
        /// The file as named.
        path: PathBuf,
    },
    /// The scenario names a trace format that does not exist.
    #[error("unknown trace format `{name}`; known formats: {known}")]
    UnknownFormat {
        /// As the scenario writes it.
        name: String,
        /// The names that exist, joined by commas.
        known: String,
    },
    /// The scenario names no format and the first line fits none.
    #[error("{}: no trace format fits its first line `{found}`; known formats: {known}", path.display())]
    UnrecognisedFormat {
        /// The file as named.
        path: PathBuf,
        /// The first line, shortened.
        found: String,
        /// Names of the formats and what each is recognised by.
        known: String,
    },
    /// The trace is not to be read, or not to be used, as was asked.
    #[error("{}: {what}", path.display())]
    Option {
        /// The file as named.
        path: PathBuf,
        /// What was asked, and why it does not go.
        what: String,
    },
    /// Requests are so far apart that the clock cannot hold their arrivals.
    #[error(
        "a request arrives more than 292 years after the start, which the clock does not hold: let them come \
         faster, or fewer of them"
    )]
    TooLate,
    /// More rows than a table of lengths can rank.
    #[error("more than {} rows: too many to derive a table of lengths from", u32::MAX)]
    TooManyRows,
}

/// The last instant at which a request may arrive: half of what the clock holds, some 292 years. Sums of
/// spans saturate at the whole, so no arrival up to here is a saturated one.
pub const LAST_ARRIVAL: SimTime = SimTime::from_ns(u64::MAX / 2);

/// `at`, if the clock can hold an arrival then.
pub(super) fn on_the_clock(at: SimTime) -> Result<SimTime, SourceError> {
    if at <= LAST_ARRIVAL { Ok(at) } else { Err(SourceError::TooLate) }
}

/// `text`, shortened to what fits in a message.
pub(super) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
