//! A small scanner of RON: the shape of a text with the bytes of every value, and no types.
//!
//! It finds where a field lies, so that a problem noticed long after reading can still be shown in
//! the text. It accepts whatever RON accepts and a little more; the RON reader has the last word.

mod scanner;

use std::ops::Range;

use self::scanner::Scanner;

/// A value and where it lies.
#[derive(Debug)]
pub(super) struct Node {
    /// Its bytes.
    pub(super) range: Range<usize>,
    /// What it is made of.
    pub(super) kind: Kind,
}

/// What a value is made of.
#[derive(Debug)]
pub(super) enum Kind {
    /// A number, a string, a character or a bare word.
    Scalar,
    /// `Name(…)` or `(…)`: a struct, a tuple or a choice.
    Group {
        /// The name's bytes, empty if it has none.
        name: Range<usize>,
        /// Where the parenthesis opens.
        open: usize,
        /// What is inside.
        fields: Vec<Field>,
    },
    /// `[…]`.
    List(Vec<Node>),
    /// `{…}`, keys and values.
    Map(Vec<(Node, Node)>),
}

/// A value inside parentheses, with its field name if it has one.
#[derive(Debug)]
pub(super) struct Field {
    /// The field name's bytes.
    pub(super) key: Option<Range<usize>>,
    /// The value.
    pub(super) value: Node,
}

/// Why a text has no shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The bytes at fault.
    pub(super) range: Range<usize>,
    /// What is wrong.
    pub(super) message: String,
    /// Whether reading on could exhaust the stack.
    pub(super) too_deep: bool,
    /// What would surely mend it in the place of the range.
    pub(super) mend: Option<String>,
}

/// The shape of the one value that `text` holds.
///
/// # Errors
/// What is not closed, not separated or nested too deeply.
pub(super) fn scan(text: &str) -> Result<Node, Fault> {
    let mut scanner = Scanner { text, at: 0 };
    scanner.blanks()?;
    while scanner.rest().starts_with('#') {
        let open = scanner.at;
        match scanner.rest().find(']') {
            Some(end) => scanner.at += end + 1,
            None => return Err(fault(open..text.len(), "this attribute is never closed")),
        }
        scanner.blanks()?;
    }
    let node = scanner.value(0)?;
    scanner.blanks()?;
    match scanner.peek() {
        None => Ok(node),
        Some(c) => {
            Err(fault(scanner.at..scanner.at + c.len_utf8(), "nothing may follow the last parenthesis"))
        }
    }
}

fn fault(range: Range<usize>, message: impl Into<String>) -> Fault {
    Fault { range, message: message.into(), too_deep: false, mend: None }
}

/// The same, where what was meant is clear.
fn slip(range: Range<usize>, message: impl Into<String>, meant: impl Into<String>) -> Fault {
    Fault { mend: Some(meant.into()), ..fault(range, message) }
}

#[cfg(test)]
mod tests;
