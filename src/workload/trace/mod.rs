//! Readers of recorded request traces, one format a file.
//!
//! A reader is a stream of [`TraceRow`]s: the file is never held in memory, whatever its size, and
//! a line longer than [`Lines::LONGEST`] is an error. Arrivals count from the first row, and a row
//! that is earlier than the row before it is an error: a stream cannot be sorted, and a replay in
//! file order would not be the recorded one. Token counts are taken as they are, zeros too.
//!
//! To add a format: a file here with a `FORMAT`, and its line in [`FORMATS`]. Formats of one
//! request a line implement [`RowParser`] and leave lines, numbering, order and errors to [`Rows`].

mod azure;
mod csv;
mod lines;
mod rows;
mod timestamp;

pub use csv::Columns;
pub use lines::Lines;
pub use rows::{BadRow, Recorded, RowParser, Rows};
pub use timestamp::parse_instant_ns;

use std::path::Path;

use super::SourceError;
use super::error::excerpt;
use crate::units::SimTime;

/// One recorded request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceRow {
    /// Arrival, counted from the first row of the trace.
    pub arrival: SimTime,
    /// Prompt tokens, as recorded.
    pub prompt_tokens: u32,
    /// Output tokens, as recorded.
    pub output_tokens: u32,
}

/// A stream of recorded requests in order of arrival. It ends after the first error.
pub trait TraceReader: Iterator<Item = Result<TraceRow, SourceError>> + Send + Sync {}

impl<R: Iterator<Item = Result<TraceRow, SourceError>> + Send + Sync> TraceReader for R {}

/// A trace format: how to know it and how to read it.
#[derive(Clone, Copy)]
pub struct Format {
    /// The name a scenario uses, lower case.
    pub name: &'static str,
    /// What it is recognised by, for messages.
    pub recognised_by: &'static str,
    /// Does the first line of a file look like this format?
    pub recognises: fn(first_line: &str) -> bool,
    /// Reads the lines of a file.
    pub open: fn(Lines) -> Result<Box<dyn TraceReader>, SourceError>,
}

/// Every format, in the order in which they are tried on a file.
pub const FORMATS: &[Format] = &[azure::FORMAT];

/// Opens the trace at `path`, in the format of that name or else the first that fits the file.
///
/// # Errors
/// The file cannot be read or holds nothing, or its format is not known.
pub fn open(path: &Path, format: Option<&str>) -> Result<Box<dyn TraceReader>, SourceError> {
    read(Lines::open(path)?, format)
}

/// As [`open`], for lines from anywhere.
///
/// # Errors
/// See [`open`].
pub fn read(mut lines: Lines, format: Option<&str>) -> Result<Box<dyn TraceReader>, SourceError> {
    let path = lines.path().to_owned();
    let Some(first) = lines.peek()? else { return Err(SourceError::Empty { path }) };
    let known = |describe: fn(&Format) -> String| FORMATS.iter().map(describe).collect::<Vec<_>>().join(", ");
    let found = match format {
        Some(name) => FORMATS.iter().find(|format| format.name == name).ok_or_else(|| {
            SourceError::UnknownFormat { name: name.to_owned(), known: known(|f| format!("`{}`", f.name)) }
        }),
        None => FORMATS.iter().find(|format| (format.recognises)(first)).ok_or_else(|| {
            let known = known(|f| format!("`{}` ({})", f.name, f.recognised_by));
            SourceError::UnrecognisedFormat { path, found: excerpt(first), known }
        }),
    };
    (found?.open)(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &'static str, format: Option<&str>) -> String {
        read(Lines::from_reader("t.csv", text.as_bytes()), format).err().unwrap().to_string()
    }

    #[test]
    fn an_unknown_format_names_the_known_ones() {
        assert_eq!(refusal("x", Some("azur")), "unknown trace format `azur`; known formats: `azure`");
        assert_eq!(
            refusal("a,b\n1,2\n", None),
            "t.csv: no trace format fits its first line `a,b`; known formats: `azure` (a header with \
             TIMESTAMP, ContextTokens, GeneratedTokens)"
        );
        assert_eq!(refusal("", None), "t.csv holds no requests");
        assert_eq!(refusal("\r\n\n", Some("azure")), "t.csv holds no requests");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = open(Path::new("/nonexistent/trace.csv"), None).err().unwrap().to_string();
        assert!(error.starts_with("cannot open /nonexistent/trace.csv: "), "{error}");
    }
}
