//! A file of yet unknown format: its beginning can be looked at before anything reads it.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use super::Lines;
use super::elements::Elements;
use crate::workload::SourceError;

/// Bytes to read from, whole or line by line, with a look at the first of them.
pub struct Input {
    path: PathBuf,
    head: Vec<u8>,
    rest: Box<dyn Read + Send + Sync>,
}

impl Input {
    /// How much of the first line is looked at, in bytes.
    const HEAD: u64 = 1 << 16;

    /// Opens a file.
    ///
    /// # Errors
    /// The file is missing or may not be read.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        match File::open(path) {
            Ok(file) => Ok(Self::from_reader(path, file)),
            Err(why) => Err(SourceError::Open { path: path.to_owned(), why }),
        }
    }

    /// The bytes of any reader; `path` is its name in messages.
    pub fn from_reader(path: impl Into<PathBuf>, reader: impl Read + Send + Sync + 'static) -> Self {
        Self { path: path.into(), head: Vec::new(), rest: Box::new(reader) }
    }

    /// The file's name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The first line that is not blank, cut where it is longer than 64 KiB, whatever its bytes;
    /// `None` for a file of blanks.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn first_line(&mut self) -> Result<Option<String>, SourceError> {
        let missing = Self::HEAD - self.head.len() as u64;
        let read = self.rest.by_ref().take(missing).read_to_end(&mut self.head);
        read.map_err(|why| SourceError::Read { path: self.path.clone(), line: 1, why })?;
        let text = String::from_utf8_lossy(self.head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.head));
        let line = text.lines().find(|line| !line.trim_ascii().is_empty());
        Ok(line.map(str::to_owned))
    }

    /// Its lines.
    pub(super) fn into_lines(self) -> Lines {
        Lines::from_reader(self.path, Cursor::new(self.head).chain(self.rest))
    }

    /// The elements of the JSON array that it is.
    pub(super) fn into_elements(self) -> Elements {
        Elements::new(self.path, Cursor::new(self.head).chain(self.rest))
    }
}
