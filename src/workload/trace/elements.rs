//! The elements of one large JSON array, one at a time, with a bound on memory.
//!
//! Only brackets and strings are looked at here, which is enough to find where an element ends; what
//! an element holds is for a JSON parser to judge.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use crate::workload::SourceError;

/// The objects of an array.
pub(super) struct Elements {
    path: PathBuf,
    reader: BufReader<Box<dyn Read + Send + Sync>>,
    buffer: Vec<u8>,
    /// Line being read, from 1.
    line: u64,
    /// Line on which the element in `buffer` starts.
    starts: u64,
    begun: bool,
}

impl Elements {
    /// The longest element that is read, in bytes.
    pub const LONGEST: usize = 16 << 20;

    pub fn new(path: PathBuf, reader: impl Read + Send + Sync + 'static) -> Self {
        let reader = BufReader::with_capacity(1 << 16, Box::new(reader) as _);
        Self { path, reader, buffer: Vec::new(), line: 1, starts: 1, begun: false }
    }

    /// The next element; `None` after the last.
    pub fn next(&mut self) -> Result<Option<&str>, SourceError> {
        if self.begun {
            match self.token()? {
                Some(b',') => {}
                Some(b']') => return self.end(),
                found => return Err(self.expected("`,` or `]`", found)),
            }
        }
        let mut token = self.token()?;
        if !self.begun {
            if token != Some(b'[') {
                return Err(self.expected("`[`, the start of an array", token));
            }
            self.begun = true;
            token = self.token()?;
            if token == Some(b']') {
                return self.end();
            }
        }
        if token != Some(b'{') {
            return Err(self.expected("`{`, the start of an object", token));
        }
        self.element()?;
        match str::from_utf8(&self.buffer) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(self.error("not UTF-8 text")),
        }
    }

    /// An error about the element last returned, or the line being read.
    pub fn error(&self, what: impl Into<String>) -> SourceError {
        SourceError::Row { path: self.path.clone(), line: self.starts, what: what.into() }
    }

    /// Nothing may follow the array.
    fn end(&mut self) -> Result<Option<&str>, SourceError> {
        match self.token()? {
            None => Ok(None),
            found => Err(self.expected("nothing after the array", found)),
        }
    }

    fn expected(&self, expected: &str, found: Option<u8>) -> SourceError {
        let found =
            found.map_or("the end of the file".to_owned(), |byte| format!("`{}`", byte.escape_ascii()));
        self.error(format!("expected {expected}, found {found}"))
    }

    fn unreadable(&self, why: std::io::Error) -> SourceError {
        SourceError::Read { path: self.path.clone(), line: self.line, why }
    }

    /// The next byte that is no white space.
    fn token(&mut self) -> Result<Option<u8>, SourceError> {
        loop {
            let chunk = match self.reader.fill_buf() {
                Ok(chunk) => chunk,
                Err(why) => return Err(self.unreadable(why)),
            };
            if chunk.is_empty() {
                self.starts = self.line;
                return Ok(None);
            }
            let byte = chunk[0];
            self.reader.consume(1);
            match byte {
                b'\n' => self.line += 1,
                b' ' | b'\t' | b'\r' => {}
                // A byte order mark.
                0xef | 0xbb | 0xbf if !self.begun => {}
                _ => {
                    self.starts = self.line;
                    return Ok(Some(byte));
                }
            }
        }
    }

    /// Reads on to the end of the object whose `{` was read.
    fn element(&mut self) -> Result<(), SourceError> {
        self.buffer.clear();
        self.buffer.push(b'{');
        let (mut depth, mut in_string, mut escaped) = (1_u64, false, false);
        while depth > 0 {
            if self.buffer.len() > Self::LONGEST {
                return Err(self.error(format!("an element longer than {} bytes", Self::LONGEST)));
            }
            let chunk = match self.reader.fill_buf() {
                Ok(chunk) => chunk,
                Err(why) => return Err(self.unreadable(why)),
            };
            if chunk.is_empty() {
                return Err(self.error("the file ends within this element"));
            }
            let mut used = 0;
            for &byte in chunk {
                used += 1;
                match byte {
                    b'\n' => self.line += 1,
                    _ if escaped => escaped = false,
                    b'\\' if in_string => escaped = true,
                    b'"' => in_string = !in_string,
                    _ if in_string => {}
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
            self.buffer.extend_from_slice(&chunk[..used]);
            self.reader.consume(used);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(text: &str) -> Result<Vec<String>, String> {
        let mut elements = Elements::new("t".into(), std::io::Cursor::new(text.to_owned()));
        let mut all = Vec::new();
        while let Some(element) = elements.next().map_err(|error| error.to_string())? {
            all.push(element.to_owned());
        }
        Ok(all)
    }

    #[test]
    fn brackets_in_strings_are_no_brackets() {
        let text = " [ {\"a\": \"}]\\\"{\"},\n{\"b\": [{}, []]} ]\n";
        assert_eq!(elements(text).unwrap(), ["{\"a\": \"}]\\\"{\"}", "{\"b\": [{}, []]}"]);
        assert!(elements("[]").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_array_of_objects_says_so() {
        assert_eq!(elements("{}").unwrap_err(), "t:1: expected `[`, the start of an array, found `{`");
        assert_eq!(elements("[{}\n{}]").unwrap_err(), "t:2: expected `,` or `]`, found `{`");
        assert_eq!(
            elements("[{},\n\n1]").unwrap_err(),
            "t:3: expected `{`, the start of an object, found `1`"
        );
        assert_eq!(elements("[{}] x").unwrap_err(), "t:1: expected nothing after the array, found `x`");
        assert_eq!(elements("[\n{\"a\":\n").unwrap_err(), "t:2: the file ends within this element");
        assert_eq!(
            elements("").unwrap_err(),
            "t:1: expected `[`, the start of an array, found the end of the file"
        );
    }

    #[test]
    fn an_endless_element_is_an_error_that_holds_little_memory() {
        let endless = std::io::Cursor::new(b"[{\"a\":\"").chain(std::io::repeat(b'['));
        let mut elements = Elements::new("t".into(), endless);
        assert!(elements.next().unwrap_err().to_string().contains("longer than 16777216 bytes"));
        assert!(elements.buffer.capacity() <= 4 * Elements::LONGEST);
    }
}
