//! Numbered lines of a text file, with a bound on the memory that a hostile file can claim.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::workload::SourceError;

/// The lines of a file that are not blank, one at a time, without their ending (LF or CRLF) and
/// without a byte order mark.
pub struct Lines {
    path: PathBuf,
    reader: BufReader<Box<dyn Read + Send + Sync>>,
    buffer: Vec<u8>,
    /// Number of the line in `buffer`, from 1.
    number: u64,
    /// Whether `buffer` was peeked at and is yet to be handed out.
    peeked: bool,
}

impl Lines {
    /// The longest line that is read, in bytes.
    pub const LONGEST: usize = 1 << 20;

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

    /// The lines of any reader; `path` is its name in messages.
    pub fn from_reader(path: impl Into<PathBuf>, reader: impl Read + Send + Sync + 'static) -> Self {
        let reader = BufReader::with_capacity(1 << 16, Box::new(reader) as _);
        Self { path: path.into(), reader, buffer: Vec::new(), number: 0, peeked: false }
    }

    /// The file's name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of the line last returned, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next line that is not blank; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read on, a line is too long or not UTF-8.
    pub fn next_line(&mut self) -> Result<Option<&str>, SourceError> {
        if !self.peeked && !self.advance()? {
            return Ok(None);
        }
        self.peeked = false;
        self.text().map(Some)
    }

    /// The line that [`next_line`](Self::next_line) returns next.
    ///
    /// # Errors
    /// See [`next_line`](Self::next_line).
    pub fn peek(&mut self) -> Result<Option<&str>, SourceError> {
        if !self.peeked && !self.advance()? {
            return Ok(None);
        }
        self.peeked = true;
        self.text().map(Some)
    }

    /// An error about the current line.
    pub fn error(&self, what: impl Into<String>) -> SourceError {
        SourceError::Row { path: self.path.clone(), line: self.number, what: what.into() }
    }

    /// Reads the next line that is not blank into the buffer.
    fn advance(&mut self) -> Result<bool, SourceError> {
        loop {
            self.buffer.clear();
            self.number += 1;
            match read_line(&mut self.reader, &mut self.buffer) {
                Ok(0) => {
                    self.number -= 1;
                    return Ok(false);
                }
                Ok(_) => {}
                Err(why) => {
                    return Err(SourceError::Read { path: self.path.clone(), line: self.number, why });
                }
            }
            while let Some(b'\n' | b'\r') = self.buffer.last() {
                self.buffer.pop();
            }
            if self.buffer.len() > Self::LONGEST {
                return Err(self.error(format!("longer than {} bytes: not a trace", Self::LONGEST)));
            }
            if self.number == 1 && self.buffer.starts_with(b"\xef\xbb\xbf") {
                self.buffer.drain(..3);
            }
            if !self.buffer.iter().all(u8::is_ascii_whitespace) {
                return Ok(true);
            }
        }
    }

    fn text(&self) -> Result<&str, SourceError> {
        str::from_utf8(&self.buffer).map_err(|_| self.error("not UTF-8 text"))
    }
}

/// Appends a line with its ending, cut a little beyond the longest allowed; the bytes read.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    reader.take(Lines::LONGEST as u64 + 3).read_until(b'\n', line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Lines {
        Lines::from_reader("t", io::Cursor::new(bytes.to_vec()))
    }

    #[test]
    fn numbers_count_blank_lines_and_any_ending_is_dropped() {
        let mut lines = lines(b"\xef\xbb\xbfone\r\n\n  \r\ntwo\nthree");
        let mut seen = Vec::new();
        assert_eq!(lines.peek().unwrap(), Some("one"));
        while let Some(text) = lines.next_line().unwrap().map(str::to_owned) {
            seen.push((lines.number(), text));
        }
        assert_eq!(seen, [(1, "one".to_owned()), (4, "two".to_owned()), (5, "three".to_owned())]);
        assert_eq!(lines.next_line().unwrap(), None);
    }

    #[test]
    fn an_endless_line_is_an_error_that_holds_little_memory() {
        let mut endless = Lines::from_reader("t", io::repeat(b'x'));
        let error = endless.next_line().err().unwrap().to_string();
        assert_eq!(error, "t:1: longer than 1048576 bytes: not a trace");
        assert!(endless.buffer.capacity() <= 4 * Lines::LONGEST);
        let longest = vec![b'x'; Lines::LONGEST];
        assert!(lines(&[&longest[..], b"\r\n"].concat()).next_line().is_ok());
        assert!(lines(&[&longest[..], b"x"].concat()).next_line().is_err());
    }

    #[test]
    fn bytes_that_are_not_text_are_an_error_with_their_line() {
        let mut lines = lines(b"a\n\xff\n");
        assert_eq!(lines.next_line().unwrap(), Some("a"));
        assert_eq!(lines.next_line().err().unwrap().to_string(), "t:2: not UTF-8 text");
    }
}
