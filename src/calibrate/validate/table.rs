//! Tables of measurements: CSV files whose columns have names.

use std::fs::File;
use std::path::{Path, PathBuf};

use csv::StringRecord;

use super::ValidationError;

/// A file in memory.
pub(super) struct Table {
    path: PathBuf,
    header: StringRecord,
    rows: Vec<StringRecord>,
}

/// One row of it.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    table: &'a Table,
    at: usize,
}

impl Table {
    /// The file, which must have these columns.
    pub fn read(path: &Path, columns: &[&str]) -> Result<Self, ValidationError> {
        let file = File::open(path)
            .map_err(|error| ValidationError::Unreadable { path: path.to_owned(), why: error.to_string() })?;
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
        let broken = |error: &csv::Error| ValidationError::Row {
            path: path.to_owned(),
            line: error.position().map_or(1, csv::Position::line),
            problem: error.to_string(),
        };
        let header = reader.headers().map_err(|error| broken(&error))?.clone();
        if let Some(missing) = columns.iter().find(|column| !header.iter().any(|head| head == **column)) {
            let there: Vec<&str> = header.iter().collect();
            return Err(ValidationError::Row {
                path: path.to_owned(),
                line: 1,
                problem: format!("column `{missing}` is missing; there are {}", there.join(", ")),
            });
        }
        let rows = reader.records().collect::<Result<_, _>>().map_err(|error| broken(&error))?;
        Ok(Self { path: path.to_owned(), header, rows })
    }

    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.rows.len()).map(|at| Row { table: self, at })
    }
}

impl Row<'_> {
    /// The cell's text; empty if there is no such column.
    pub fn text(&self, column: &str) -> &str {
        let at = self.table.header.iter().position(|head| head == column);
        at.and_then(|at| self.table.rows[self.at].get(at)).unwrap_or_default()
    }

    /// The cell's number, above zero.
    pub fn number(&self, column: &str) -> Result<f64, ValidationError> {
        let parsed = self.text(column).parse::<f64>().ok();
        parsed.filter(|number| number.is_finite() && *number >= 0.0).ok_or_else(|| {
            let found = self.text(column);
            self.refuse(format!("column `{column}`: expected a number, not negative, found `{found}`"))
        })
    }

    /// The cell's whole number.
    pub fn count(&self, column: &str) -> Result<u32, ValidationError> {
        Ok(self.number(column)?.round() as u32)
    }

    /// The error that something is wrong with this row.
    pub fn refuse(&self, problem: String) -> ValidationError {
        let line = self.table.rows[self.at].position().map_or(0, csv::Position::line);
        ValidationError::Row { path: self.table.path.clone(), line, problem }
    }
}
