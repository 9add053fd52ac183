//! The scanner itself: what comes next in the text.

use std::ops::Range;

use super::{Fault, Field, Kind, Node, fault, slip};

/// Brackets inside brackets beyond which a text is refused.
const MAX_DEPTH: usize = 40;

/// What separates words.
fn is_delimiter(c: char) -> bool {
    is_blank(c) || matches!(c, '(' | ')' | '[' | ']' | '{' | '}' | ',' | ':' | '"' | '\'' | '/' | ';' | '=')
}

/// The quotes of a book, which RON does not know.
fn is_curly_quote(c: char) -> bool {
    matches!(c, '“' | '”' | '„' | '‘' | '’' | '«' | '»')
}

/// RON's white space.
fn is_blank(c: char) -> bool {
    matches!(
        c,
        ' ' | '\t'
            | '\n'
            | '\r'
            | '\x0B'
            | '\x0C'
            | '\u{85}'
            | '\u{200E}'
            | '\u{200F}'
            | '\u{2028}'
            | '\u{2029}'
    )
}

/// A place in a text.
pub(super) struct Scanner<'a> {
    pub text: &'a str,
    pub at: usize,
}

impl<'a> Scanner<'a> {
    pub fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// The character here, or a place at the end of the text.
    fn here(&self) -> Range<usize> {
        self.at..self.at + self.peek().map_or(0, char::len_utf8)
    }

    /// Skips white space and comments; block comments nest.
    pub fn blanks(&mut self) -> Result<(), Fault> {
        loop {
            let rest = self.rest();
            if rest.starts_with("//") {
                self.at += rest.find('\n').map_or(rest.len(), |end| end + 1);
            } else if rest.starts_with("/*") {
                self.block_comment()?;
            } else if let Some(c) = self.peek().filter(|&c| is_blank(c)) {
                self.at += c.len_utf8();
            } else if rest.starts_with('#') && !rest.starts_with("#!") {
                return Err(slip(self.here(), "comments begin with `//`", "//"));
            } else {
                return Ok(());
            }
        }
    }

    fn block_comment(&mut self) -> Result<(), Fault> {
        let open = self.at;
        let mut depth = 0_usize;
        loop {
            let rest = self.rest();
            if rest.starts_with("/*") {
                depth += 1;
                self.at += 2;
            } else if rest.starts_with("*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    return Ok(());
                }
            } else if let Some(c) = self.peek() {
                self.at += c.len_utf8();
            } else {
                return Err(fault(open..open + 2, "this comment is never closed"));
            }
        }
    }

    pub fn value(&mut self, depth: usize) -> Result<Node, Fault> {
        let start = self.at;
        if depth > MAX_DEPTH {
            let message = format!("brackets are nested more than {MAX_DEPTH} deep");
            return Err(Fault { too_deep: true, ..fault(self.here(), message) });
        }
        let kind = match self.peek() {
            None => return Err(fault(self.here(), "a value is missing here")),
            Some('[') => Kind::List(self.between(']', |scanner| scanner.value(depth + 1))?),
            Some('{') => Kind::Map(self.between('}', |scanner| {
                let key = scanner.value(depth + 1)?;
                scanner.blanks()?;
                if scanner.peek() != Some(':') {
                    return Err(fault(scanner.here(), "a colon is missing before this"));
                }
                scanner.at += 1;
                scanner.blanks()?;
                Ok((key, scanner.value(depth + 1)?))
            })?),
            Some('(') => self.group(start..start, depth)?,
            Some(c) if is_curly_quote(c) => return Err(self.curly_quotes()),
            Some(_) if self.literal()? => Kind::Scalar,
            Some(_) => {
                let name = self.word()?;
                let after_name = self.at;
                self.blanks()?;
                let word = &self.text[name.clone()];
                if word.starts_with(char::is_alphabetic) && word.contains(['-', '.']) {
                    let meant = format!("\"{word}\"");
                    return Err(slip(name, format!("text needs quotes: write `{meant}`"), meant));
                }
                if self.peek() == Some('(') {
                    self.group(name, depth)?
                } else {
                    self.at = after_name;
                    Kind::Scalar
                }
            }
        };
        Ok(Node { range: start..self.at, kind })
    }

    /// Text in the quotes of a book, up to the end of the line at most.
    fn curly_quotes(&self) -> Fault {
        let line = self.rest().split('\n').next().unwrap_or_default();
        let closing = line.char_indices().skip(1).find(|(_, c)| is_curly_quote(*c) || *c == '"');
        let message = "text takes straight quotes, as in `\"text\"`";
        match closing {
            Some((at, c)) => {
                let end = self.at + at + c.len_utf8();
                let inside = line[..at].trim_start_matches(is_curly_quote);
                slip(self.at..end, message, format!("\"{inside}\""))
            }
            None => fault(self.here(), message),
        }
    }

    fn group(&mut self, name: Range<usize>, depth: usize) -> Result<Kind, Fault> {
        let open = self.at;
        let fields = self.between(')', |scanner| {
            let key = scanner.key()?;
            Ok(Field { key, value: scanner.value(depth + 1)? })
        })?;
        Ok(Kind::Group { name, open, fields })
    }

    /// `name:` if that is what comes next.
    fn key(&mut self) -> Result<Option<Range<usize>>, Fault> {
        let start = self.at;
        let is_word = self.peek().is_some_and(|c| c.is_alphabetic() || c == '_');
        if is_word && !self.literal()? {
            let word = self.word()?;
            self.blanks()?;
            if self.peek() == Some(':') {
                self.at += 1;
                self.blanks()?;
                return Ok(Some(word));
            }
        }
        self.at = start;
        Ok(None)
    }

    /// What stands between the bracket here and `close`, separated by commas.
    fn between<T>(
        &mut self,
        close: char,
        mut item: impl FnMut(&mut Self) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let open = self.at;
        let unclosed = || fault(open..open + 1, format!("this bracket is never closed by `{close}`"));
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.blanks()?;
            match self.peek() {
                Some(c) if c == close => {
                    self.at += 1;
                    return Ok(items);
                }
                None | Some(')' | ']' | '}') => return Err(unclosed()),
                Some(_) => items.push(item(self)?),
            }
            self.blanks()?;
            match self.peek() {
                Some(',') => self.at += 1,
                Some(c) if c == close => {}
                None | Some(')' | ']' | '}') => return Err(unclosed()),
                // A field name: the list was to end before it.
                Some(':') if close == ']' => return Err(unclosed()),
                Some(';') => return Err(slip(self.here(), "expected a comma, found `;`", ",")),
                Some('=') => {
                    return Err(slip(self.here(), "a name is followed by `:` and not by `=`", ":"));
                }
                Some(':') if close == ')' => {
                    let message =
                        "`:` comes after the name of a field, which takes no quotes, and `,` after a value";
                    return Err(fault(self.here(), message));
                }
                Some('/') => {
                    let message = "no sums here: comments begin with `//`, and a rate is written `per_s(2)`";
                    return Err(fault(self.here(), message));
                }
                Some(c) => {
                    let mend = self.begins_anew().then(|| format!(",{c}"));
                    return Err(Fault { mend, ..fault(self.here(), "a comma is missing before this") });
                }
            }
        }
    }

    /// Whether what comes next looks like a field or an element of its own.
    fn begins_anew(&self) -> bool {
        let rest = self.rest();
        let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        rest.starts_with('(') || (word > 0 && rest[word..].trim_start().starts_with(':'))
    }

    /// A run of characters that means one thing: a number, a name, `true`, `0..4`.
    fn word(&mut self) -> Result<Range<usize>, Fault> {
        let start = self.at;
        self.at += self.rest().find(is_delimiter).unwrap_or(self.rest().len());
        if self.at == start { Err(fault(self.here(), "a value is missing here")) } else { Ok(start..self.at) }
    }

    /// A string, a character or a byte string, if that is what comes next.
    fn literal(&mut self) -> Result<bool, Fault> {
        let start = self.at;
        let rest = self.rest();
        let plain = rest.strip_prefix('b').unwrap_or(rest);
        let prefix = rest.len() - plain.len();
        if plain.starts_with(['"', '\'']) {
            self.at += prefix;
            self.quoted(start)?;
            return Ok(true);
        }
        let Some(raw) = plain.strip_prefix('r') else { return Ok(false) };
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if !raw[hashes..].starts_with('"') {
            return Ok(false);
        }
        let close = format!("\"{}", &raw[..hashes]);
        let inside = prefix + 1 + hashes + 1;
        match rest[inside..].find(&close) {
            Some(end) => self.at += inside + end + close.len(),
            None => return Err(fault(start..start + inside, "this string is never closed")),
        }
        Ok(true)
    }

    /// A string or a character with escapes, from its opening quote.
    fn quoted(&mut self, start: usize) -> Result<(), Fault> {
        let mut chars = self.rest().char_indices();
        let quote = chars.next().map(|(_, c)| c);
        while let Some((at, c)) = chars.next() {
            if c == '\\' {
                chars.next();
            } else if Some(c) == quote {
                self.at += at + c.len_utf8();
                return Ok(());
            }
        }
        Err(fault(start..self.at + 1, "this string is never closed"))
    }
}
