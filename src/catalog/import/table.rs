//! A CSV file whose columns are known beforehand.

use std::io::Read;
use std::str::FromStr;

use csv::StringRecord;
use thiserror::Error;

use super::super::text::{self, Entry};

/// Why a table cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {problem}")]
pub struct ImportError {
    /// Line of the file, from 1.
    pub line: u64,
    /// What is wrong there.
    pub problem: String,
}

/// One line of the table.
pub(super) struct Row<'a> {
    line: u64,
    header: &'a StringRecord,
    record: &'a StringRecord,
}

/// Reads a table with exactly these columns, in any order; those `ignored` may be there or not. Turns
/// each row into an entry and all of them into the text of the asset.
pub(super) fn import<T: Entry>(
    reader: impl Read,
    columns: &[&str],
    ignored: &[&str],
    comment: &str,
    entry: impl Fn(&Row<'_>) -> Result<T, ImportError>,
) -> Result<String, ImportError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(reader);
    let header = reader.headers().map_err(broken)?.clone();
    check_header(&header, columns, ignored).map_err(|problem| ImportError { line: 1, problem })?;
    let mut entries = Vec::new();
    for record in reader.records() {
        let record = record.map_err(broken)?;
        let line = record.position().map_or(0, csv::Position::line);
        let made = entry(&Row { line, header: &header, record: &record })?;
        text::accept(&entries, &made).map_err(|problem| ImportError { line, problem })?;
        entries.push(made);
    }
    Ok(text::write(comment, &entries))
}

fn broken(error: csv::Error) -> ImportError {
    ImportError { line: error.position().map_or(1, csv::Position::line), problem: error.to_string() }
}

fn check_header(header: &StringRecord, columns: &[&str], ignored: &[&str]) -> Result<(), String> {
    let mut seen = Vec::new();
    for name in header {
        if !columns.contains(&name) && !ignored.contains(&name) {
            return Err(format!("unknown column `{name}`; expected {}", columns.join(", ")));
        }
        if seen.contains(&name) {
            return Err(format!("column `{name}` is there twice"));
        }
        seen.push(name);
    }
    match columns.iter().find(|column| !seen.contains(column)) {
        Some(missing) => Err(format!("column `{missing}` is missing")),
        None => Ok(()),
    }
}

impl Row<'_> {
    /// The cell's text, which may be empty.
    pub(super) fn text(&self, column: &str) -> &str {
        let index = self.header.iter().position(|name| name == column);
        index
            .and_then(|index| self.record.get(index))
            .expect("the header was checked to have every column we ask for")
    }

    /// The cell's text; an error when it is empty.
    pub(super) fn filled(&self, column: &str) -> Result<&str, ImportError> {
        match self.text(column) {
            "" => Err(self.refuse(column, "a value")),
            text => Ok(text),
        }
    }

    /// The cell's number; an error when it is empty.
    pub(super) fn number<N: FromStr>(&self, column: &str) -> Result<N, ImportError> {
        self.text(column).parse().map_err(|_| self.refuse(column, "a number of this size"))
    }

    /// The cell's number, if it is not empty.
    pub(super) fn number_if_any<N: FromStr>(&self, column: &str) -> Result<Option<N>, ImportError> {
        if self.text(column).is_empty() { Ok(None) } else { self.number(column).map(Some) }
    }

    /// The cell's number, zero when it is empty.
    pub(super) fn number_or_zero<N: FromStr + Default>(&self, column: &str) -> Result<N, ImportError> {
        Ok(self.number_if_any(column)?.unwrap_or_default())
    }

    /// Whether the cell is `1` rather than `0`.
    pub(super) fn flag(&self, column: &str) -> Result<bool, ImportError> {
        self.one_of(column, &[("0", false), ("1", true)])
    }

    /// What the cell's text stands for.
    pub(super) fn one_of<V: Clone>(&self, column: &str, meanings: &[(&str, V)]) -> Result<V, ImportError> {
        let cell = self.text(column);
        meanings.iter().find(|(text, _)| *text == cell).map(|(_, value)| value.clone()).ok_or_else(|| {
            let texts: Vec<&str> = meanings.iter().map(|(text, _)| *text).collect();
            self.refuse(column, &format!("one of {}", texts.join(", ")))
        })
    }

    /// The error that the cell is not what was expected.
    pub(super) fn refuse(&self, column: &str, expected: &str) -> ImportError {
        let found = self.text(column);
        ImportError {
            line: self.line,
            problem: format!("column `{column}`: expected {expected}, found `{found}`"),
        }
    }
}
