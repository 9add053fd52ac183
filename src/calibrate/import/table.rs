//! A table of measurements: columns of numbers and words, from Parquet or CSV, and faults that say where.

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use crate::calibrate::CalibrateError;

/// A table, as it is in its file.
pub(in crate::calibrate) struct Table {
    file: PathBuf,
    names: Vec<String>,
    columns: Vec<Column>,
    rows: usize,
    /// Of text, the line that each row begins in.
    lines: Option<Vec<usize>>,
}

enum Column {
    Numbers(Vec<f64>),
    Words(Vec<String>),
}

impl Table {
    /// Reads a file by the end of its name: `.parquet`, or text with commas.
    pub(in crate::calibrate) fn read(path: &Path) -> Result<Self, CalibrateError> {
        if path.extension().is_some_and(|end| end == "parquet") {
            Self::parquet(path)
        } else {
            Self::csv(path)
        }
    }

    fn parquet(path: &Path) -> Result<Self, CalibrateError> {
        let broken = |error: &dyn std::fmt::Display| CalibrateError::unreadable(path, error);
        let file = File::open(path).map_err(|error| broken(&error))?;
        let reader = SerializedFileReader::new(file).map_err(|error| broken(&error))?;
        let schema = reader.metadata().file_metadata().schema();
        let names: Vec<String> = schema.get_fields().iter().map(|field| field.name().to_owned()).collect();
        let mut words: Vec<Vec<String>> = vec![Vec::new(); names.len()];
        let mut numbers: Vec<Vec<f64>> = vec![Vec::new(); names.len()];
        let mut rows = 0;
        for row in reader.get_row_iter(None).map_err(|error| broken(&error))? {
            let row = row.map_err(|error| broken(&error))?;
            for (at, (_, field)) in row.get_column_iter().enumerate() {
                match number(field) {
                    Some(value) => numbers[at].push(value),
                    None => words[at].push(match field {
                        Field::Str(text) => text.clone(),
                        Field::Null => String::new(),
                        other => other.to_string(),
                    }),
                }
            }
            rows += 1;
        }
        let column = |(numbers, words): (Vec<f64>, Vec<String>)| {
            // Some rows hold a number and others none: a hole, which shows as words and is refused by its row.
            if numbers.len() == rows { Column::Numbers(numbers) } else { Column::Words(words) }
        };
        let columns = numbers.into_iter().zip(words).map(column).collect();
        Ok(Self { file: path.to_owned(), names, columns, rows, lines: None })
    }

    fn csv(path: &Path) -> Result<Self, CalibrateError> {
        let broken = |error: csv::Error| CalibrateError::unreadable(path, &error);
        let text = std::fs::read(path).map_err(|error| CalibrateError::unreadable(path, &error))?;
        let mut reader = commented(&text);
        let names: Vec<String> = reader.headers().map_err(broken)?.iter().map(str::to_owned).collect();
        let mut columns: Vec<Vec<String>> = vec![Vec::new(); names.len()];
        let mut lines = Vec::new();
        for record in reader.records() {
            let record = record.map_err(broken)?;
            lines.push(line_of(&text, &record) as usize);
            for (column, cell) in columns.iter_mut().zip(&record) {
                column.push(cell.to_owned());
            }
        }
        let columns = columns.into_iter().map(Column::Words).collect();
        Ok(Self { file: path.to_owned(), names, columns, rows: lines.len(), lines: Some(lines) })
    }

    /// How many rows it has.
    pub(in crate::calibrate) fn rows(&self) -> usize {
        self.rows
    }

    /// The file it was read from.
    pub(in crate::calibrate) fn file(&self) -> &Path {
        &self.file
    }

    /// Whether there is a column of this name.
    pub(in crate::calibrate) fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// The names of its columns.
    pub(in crate::calibrate) fn names(&self) -> &[String] {
        &self.names
    }

    fn column(&self, name: &str) -> Result<&Column, CalibrateError> {
        let at = self.names.iter().position(|known| known == name);
        at.map(|at| &self.columns[at]).ok_or_else(|| {
            let expected = format!("has no column `{name}`; it has {}", self.names.join(", "));
            CalibrateError::Table { file: self.file.clone(), problem: expected }
        })
    }

    /// The numbers of a column, each of which must be finite and at least `least`; `unit` says of what. What is
    /// counted, all but times and mean tokens, must be whole.
    pub(in crate::calibrate) fn numbers(
        &self,
        name: &str,
        unit: &str,
        least: f64,
    ) -> Result<Vec<f64>, CalibrateError> {
        let whole = ["count", "devices", "GPUs", "numbers", "bytes"].contains(&unit);
        let check = |row: usize, value: Option<f64>, found: &str| match value {
            Some(value) if value.is_finite() && value >= least && (!whole || value.fract() == 0.0) => {
                Ok(value)
            }
            _ => {
                let kind = if whole { "a whole number" } else { "a number" };
                let bound = if least > 0.0 && least < 1.0 {
                    "above 0".to_owned()
                } else {
                    format!("of at least {least}")
                };
                Err(self.fault(name, row, &format!("expected {kind} {bound} [{unit}], found `{found}`")))
            }
        };
        match self.column(name)? {
            Column::Numbers(numbers) => numbers
                .iter()
                .enumerate()
                .map(|(row, value)| check(row, Some(*value), &value.to_string()))
                .collect(),
            Column::Words(words) => {
                words.iter().enumerate().map(|(row, word)| check(row, word.parse().ok(), word)).collect()
            }
        }
    }

    /// The words of a column.
    pub(in crate::calibrate) fn words(&self, name: &str) -> Result<Vec<String>, CalibrateError> {
        Ok(match self.column(name)? {
            Column::Words(words) => words.clone(),
            Column::Numbers(numbers) => numbers.iter().map(ToString::to_string).collect(),
        })
    }

    /// A fault in a cell.
    pub(in crate::calibrate) fn fault(&self, column: &str, row: usize, problem: &str) -> CalibrateError {
        CalibrateError::Cell {
            file: self.file.clone(),
            column: column.to_owned(),
            row: self.lines.as_ref().map_or(row + 1, |lines| lines[row]),
            problem: problem.to_owned(),
        }
    }
}

/// A reader of text with commas, in which lines that begin with `#` are comments.
pub(in crate::calibrate) fn commented(text: &[u8]) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(text)
}

/// The line of `text`, from 1, that a record of it begins in: the reader says where it began to look for one.
pub(in crate::calibrate) fn line_of(text: &[u8], record: &csv::StringRecord) -> u64 {
    let Some(position) = record.position() else { return 0 };
    let rest = text.get(position.byte() as usize..).unwrap_or_default();
    let passed_over = |line: &&[u8]| line.starts_with(b"#") || matches!(line, [b'\n'] | [b'\r', b'\n']);
    let lines = rest.split_inclusive(|byte| *byte == b'\n');
    position.line() + lines.take_while(passed_over).count() as u64
}

fn number(field: &Field) -> Option<f64> {
    Some(match field {
        Field::Bool(value) => f64::from(u8::from(*value)),
        Field::Byte(value) => f64::from(*value),
        Field::Short(value) => f64::from(*value),
        Field::Int(value) => f64::from(*value),
        Field::Long(value) => *value as f64,
        Field::UByte(value) => f64::from(*value),
        Field::UShort(value) => f64::from(*value),
        Field::UInt(value) => f64::from(*value),
        Field::ULong(value) => *value as f64,
        Field::Float(value) => f64::from(*value),
        Field::Double(value) => *value,
        _ => return None,
    })
}
