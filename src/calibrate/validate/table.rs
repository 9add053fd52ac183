//! Tables of measurements: CSV files whose columns have names. Lines that begin with `#` are comments.

use std::path::{Path, PathBuf};

use csv::StringRecord;

use super::ValidationError;
use crate::calibrate::import::table::{commented, line_of};

/// Most sequences in a step.
const MOST_SEQUENCES: u32 = 65_536;

/// A file in memory.
pub(super) struct Table {
    path: PathBuf,
    header: StringRecord,
    /// Rows, and the lines that they begin in.
    rows: Vec<(u64, StringRecord)>,
}

/// One row of it.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    table: &'a Table,
    at: usize,
}

impl Table {
    /// The file, which must have these columns, and rows.
    pub fn read(path: &Path, columns: &[&str]) -> Result<Self, ValidationError> {
        let text = std::fs::read(path)
            .map_err(|error| ValidationError::Unreadable { path: path.to_owned(), why: error.to_string() })?;
        let mut reader = commented(&text);
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
        let rows = reader.records().map(|record| record.map(|record| (line_of(&text, &record), record)));
        let rows: Vec<_> = rows.collect::<Result<_, _>>().map_err(|error| broken(&error))?;
        if rows.is_empty() {
            let problem = "there are no rows below the names of the columns".to_owned();
            return Err(ValidationError::Row { path: path.to_owned(), line: 1, problem });
        }
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
        at.and_then(|at| self.table.rows[self.at].1.get(at)).unwrap_or_default()
    }

    /// The cell's number, not negative.
    pub fn number(&self, column: &str) -> Result<f64, ValidationError> {
        let parsed = self.text(column).parse::<f64>().ok();
        parsed.filter(|number| number.is_finite() && *number >= 0.0).ok_or_else(|| {
            let found = self.text(column);
            self.refuse(format!("column `{column}`: expected a number, not negative, found `{found}`"))
        })
    }

    /// The cell's whole number, at least 1.
    pub fn count(&self, column: &str) -> Result<u32, ValidationError> {
        self.at_most(column, u32::MAX)
    }

    /// The cell's whole number, at least 1, of sequences that are in one step.
    pub fn batch(&self, column: &str) -> Result<u32, ValidationError> {
        self.at_most(column, MOST_SEQUENCES)
    }

    fn at_most(&self, column: &str, most: u32) -> Result<u32, ValidationError> {
        let number = self.number(column)?;
        if number.fract() == 0.0 && (1.0..=f64::from(most)).contains(&number) {
            return Ok(number as u32);
        }
        let found = self.text(column);
        Err(self
            .refuse(format!("column `{column}`: expected a whole number from 1 to {most}, found `{found}`")))
    }

    /// The error that something is wrong with this row.
    pub fn refuse(&self, problem: String) -> ValidationError {
        ValidationError::Row { path: self.table.path.clone(), line: self.table.rows[self.at].0, problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_at_their_lines_whatever_comments_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.csv");
        let line = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let table = Table::read(&path, &["a"]).unwrap();
            let faults: Vec<String> =
                table.rows().filter_map(|row| row.number("a").err()).map(|error| error.to_string()).collect();
            let place = |fault: String| {
                fault.split_once("runs.csv:").unwrap().1.split(':').next().unwrap().to_owned()
            };
            faults.into_iter().map(place).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(line("# one\na,b\n1,2\n# two\n\n# three\nx,2\n3,4\n# four\ny,5"), "7 10");
        assert_eq!(line("# one\r\na,b\r\n1,2\r\n# two\r\n\r\nx,2\r\ny,2\r\n"), "6 7");
    }

    #[test]
    fn what_is_counted_is_whole_and_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.csv");
        std::fs::write(&path, "tp,batch\n1,65536\n0,4294967295\n1.5,1\n1e12,1\n").unwrap();
        let table = Table::read(&path, &["tp", "batch"]).unwrap();
        let said: Vec<Result<u32, String>> =
            table.rows().map(|row| row.count("tp").map_err(|error| error.to_string())).collect();
        assert_eq!(said[0], Ok(1));
        for (row, found) in [(1, "0"), (2, "1.5"), (3, "1e12")] {
            let error = said[row].clone().unwrap_err();
            let says = format!("column `tp`: expected a whole number from 1 to 4294967295, found `{found}`");
            assert!(error.contains(&format!("runs.csv:{}", row + 2)) && error.contains(&says), "{error}");
        }
        let batches: Vec<Option<u32>> = table.rows().map(|row| row.batch("batch").ok()).collect();
        assert_eq!(batches, [Some(65_536), None, Some(1), Some(1)]);
    }
}
