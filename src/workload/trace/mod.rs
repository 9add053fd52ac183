//! Readers of recorded request traces, one format a file.
//!
//! ```text
//!  file ─▶ Input ─┬─▶ Lines ────▶ Rows<one parser a format> ─┬─▶ TraceReader ─▶ TraceRow, one at a time
//!                 └─▶ Elements ─▶ ShareGPT ──────────────────┘
//! ```
//!
//! A reader is a stream of [`TraceRow`]s: the file is never held in memory, whatever its size, and
//! a line longer than [`Lines::LONGEST`] is an error. Arrivals count from the first row (in the native
//! format, from 0), and a row that is earlier than the row before it is an error: a stream cannot be
//! sorted, and a replay in file order would not be the recorded one. Token counts are taken as they
//! are, zeros too. What a format records is kept, whether or not a replay uses it; keys and
//! columns that a foreign format does not define are ignored, and in the native one are errors.
//!
//! To add a format: a file here with a `FORMAT`, and its line in [`FORMATS`]. Formats of one
//! request a line implement [`RowParser`] and leave lines, numbering, order and errors to [`Rows`].

mod azure;
mod bailian;
mod burstgpt;
mod csv;
mod elements;
mod extents;
mod input;
mod json;
mod lines;
mod mooncake;
pub mod native;
mod row;
mod rows;
mod sharegpt;
#[cfg(test)]
mod tests;
mod timestamp;
mod write;

pub use csv::Columns;
pub use extents::{Extent, Extents};
pub use input::Input;
pub use lines::Lines;
pub use row::{StageRecord, TraceHeader, TraceRow};
pub use rows::{BadRow, RowParser, Rows};
pub use timestamp::parse_instant_ns;
pub use write::TraceWriter;

use std::path::Path;

use super::SourceError;
use super::error::excerpt;

/// A stream of recorded requests in order of arrival. It ends after the first error.
///
/// It is an [`Iterator`] too, at the price of a new row for each request.
pub trait TraceReader: Send + Sync {
    /// What holds for all rows.
    fn header(&self) -> TraceHeader;

    /// Reads the next request into `row`, whatever that held; `false` when there are no more, and
    /// then `row` is of no meaning.
    ///
    /// # Errors
    /// The file cannot be read on, or a row is malformed.
    fn next_into(&mut self, row: &mut TraceRow) -> Result<bool, SourceError>;

    /// Whether rows may follow others, instead of coming at an arrival of their own.
    fn may_follow(&self) -> bool {
        false
    }

    /// An error about the row last read: it is well-formed, but `what` makes it of no use.
    fn error(&self, what: String) -> SourceError;
}

impl Iterator for dyn TraceReader + '_ {
    type Item = Result<TraceRow, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut row = TraceRow::default();
        match self.next_into(&mut row) {
            Ok(true) => Some(Ok(row)),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

/// A trace format: how to know it and how to read it.
#[derive(Clone, Copy)]
pub struct Format {
    /// The name a scenario uses, lower case.
    pub name: &'static str,
    /// What it is recognised by, for messages.
    pub recognised_by: &'static str,
    /// Does the first line of a file (its first 64 KiB) look like this format?
    pub recognises: fn(first_line: &str) -> bool,
    /// Which of the [`Options`] it takes, by name.
    pub options: &'static [&'static str],
    /// Reads a file.
    pub open: Open,
}

/// What reads a file of one format.
pub type Open = fn(Input, &Options) -> Result<Box<dyn TraceReader>, SourceError>;

/// Every format, in the order in which they are tried on a file.
pub const FORMATS: &[Format] =
    &[native::FORMAT, azure::FORMAT, burstgpt::FORMAT, bailian::FORMAT, mooncake::FORMAT, sharegpt::FORMAT];

/// How to read a trace, where the file does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Options<'a> {
    /// The format's name; `None` for the first that fits the file.
    pub format: Option<&'a str>,
    /// Tokens of one block of the prompts, where that is not what the published traces have.
    pub block_tokens: Option<u32>,
    /// Characters a token, for a trace of texts.
    pub chars_per_token: Option<f64>,
}

impl<'a> Options<'a> {
    /// Reads as the format of that name.
    pub const fn format(name: &'a str) -> Self {
        Self { format: Some(name), block_tokens: None, chars_per_token: None }
    }

    /// The names of the options that are given, beside the format.
    fn given(&self) -> impl Iterator<Item = &'static str> {
        let block_tokens = self.block_tokens.map(|_| "block_tokens");
        block_tokens.into_iter().chain(self.chars_per_token.map(|_| "chars_per_token"))
    }
}

/// Opens the trace at `path`, in the format of that name or else the first that fits the file.
///
/// # Errors
/// The file cannot be read or holds nothing, or its format is not known.
pub fn open(path: &Path, format: Option<&str>) -> Result<Box<dyn TraceReader>, SourceError> {
    read(Input::open(path)?, &Options { format, ..Options::default() })
}

/// As [`open`], from anywhere and with more to say.
///
/// # Errors
/// See [`open`]; or an option is not one of the format's, or is out of range.
pub fn read(mut input: Input, options: &Options) -> Result<Box<dyn TraceReader>, SourceError> {
    let path = input.path().to_owned();
    let Some(first) = input.first_line()? else { return Err(SourceError::Empty { path }) };
    let known = |describe: fn(&Format) -> String| FORMATS.iter().map(describe).collect::<Vec<_>>().join(", ");
    let found = match options.format {
        Some(name) => FORMATS.iter().find(|format| format.name == name).ok_or_else(|| {
            SourceError::UnknownFormat { name: name.to_owned(), known: known(|f| format!("`{}`", f.name)) }
        }),
        None => FORMATS.iter().find(|format| (format.recognises)(&first)).ok_or_else(|| {
            let known = known(|f| format!("`{}` ({})", f.name, f.recognised_by));
            SourceError::UnrecognisedFormat { path: path.clone(), found: excerpt(&first), known }
        }),
    }?;
    if let Some(option) = options.given().find(|option| !found.options.contains(option)) {
        let what = format!("{option}: the format `{}` does not use it", found.name);
        return Err(SourceError::Option { path, what });
    }
    if options.block_tokens == Some(0) {
        return Err(SourceError::Option {
            path,
            what: "block_tokens: must be 1 or more, found 0".to_owned(),
        });
    }
    (found.open)(input, options)
}

#[cfg(test)]
use tests::rows_of;
