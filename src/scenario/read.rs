//! Strict reading of RON: what went wrong, at which field, at which bytes.

use std::ops::Range;

use ron::Options;
use ron::error::{Error as Code, Position, SpannedError};
use ron::extensions::Extensions;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Deserializer as Tracked, Segment, Track};

use super::did_you_mean;

/// Why a text could not be read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ReadError {
    /// The field that holds what is wrong; empty for the whole text.
    pub(super) path: String,
    /// What is wrong.
    pub(super) message: String,
    /// How to mend it.
    pub(super) help: Option<String>,
    /// The bytes of the text at fault; the whole value at `path` if `None`.
    pub(super) span: Option<Range<usize>>,
    /// What sort of error it is.
    pub(super) sort: Sort,
}

/// A sort of error, by what would mend it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Sort {
    /// A field that the types do not have.
    UnknownField(Box<str>),
    /// A required field that is not there.
    Missing(&'static str),
    /// A field that is there already.
    Twice,
    /// A name that is none of those a closed choice has.
    UnknownVariant,
    /// A value of the wrong type, or one that its type refuses.
    Value,
    /// The text is no RON at all, so that a look at its brackets may say more.
    Malformed,
}

impl ReadError {
    /// An error about the value at `path`.
    pub(super) fn value(path: String, message: String, help: Option<String>) -> Self {
        Self { path, message, help, span: None, sort: Sort::Value }
    }
}

/// How MIST reads and writes RON: `Some(…)` may be left out.
pub(super) fn options() -> Options {
    Options::default().with_default_extension(Extensions::IMPLICIT_SOME)
}

/// `text` as a RON string.
pub(super) fn quoted(text: &str) -> String {
    options().to_string(text).unwrap_or_else(|_| format!("{text:?}"))
}

/// Reads a `T` from the whole of `text`.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, ReadError> {
    let mut reader = ron::Deserializer::from_str_with_options(text, &options())
        .map_err(|error| explain(error, Vec::new(), text))?;
    let mut track = Track::new();
    match T::deserialize(Tracked::new(&mut reader, &mut track)) {
        Ok(value) => match reader.end() {
            Ok(()) => Ok(value),
            Err(code) => Err(explain(reader.span_error(code), Vec::new(), text)),
        },
        Err(code) => {
            let path = track.path().iter().cloned().collect();
            Err(explain(reader.span_error(code), path, text))
        }
    }
}

/// Puts an error of the RON reader into a user's words and finds its place.
fn explain(error: SpannedError, mut path: Vec<Segment>, text: &str) -> ReadError {
    let span = byte(text, &error.span.start)..byte(text, &error.span.end);
    let at_end = span.end..span.end + text[span.end..].chars().next().map_or(0, char::len_utf8);
    let (message, help, span, sort) = match error.code {
        Code::NoSuchStructField { expected, found, .. } => {
            path.pop();
            let help = did_you_mean(&found, expected.iter().copied());
            let message = format!("unknown field `{found}`");
            (message, Some(help), Some(span), Sort::UnknownField(found.into()))
        }
        Code::NoSuchEnumVariant { expected, found, .. } => {
            while matches!(path.last(), Some(Segment::Enum { .. })) {
                path.pop();
            }
            let help = did_you_mean(&found, expected.iter().copied());
            (format!("unknown value `{found}`"), Some(help), Some(span), Sort::UnknownVariant)
        }
        Code::MissingStructField { field, .. } => {
            (format!("missing field `{field}`"), None, None, Sort::Missing(field))
        }
        Code::DuplicateStructField { field, .. } => (
            format!("field `{field}` is given twice"),
            Some("keep one of them".into()),
            Some(span),
            Sort::Twice,
        ),
        Code::Message(message) => (message, None, None, Sort::Value),
        Code::ExpectedDifferentStructName { found, .. } => {
            let help = "write `(…)` without a name".to_owned();
            (format!("unknown name `{found}` before the parenthesis"), Some(help), Some(span), Sort::Value)
        }
        code if is_about_a_value(&code) => (lower_first(&code.to_string()), None, None, Sort::Value),
        Code::ExpectedComma => ("a comma is missing before this".into(), None, Some(at_end), Sort::Malformed),
        code => (lower_first(&code.to_string()), None, Some(at_end), Sort::Malformed),
    };
    ReadError { path: join(&path), message, help, span, sort }
}

/// Whether the error is about the type or size of one value, in a text that is otherwise in order.
fn is_about_a_value(code: &Code) -> bool {
    matches!(
        code,
        Code::InvalidValueForType { .. }
            | Code::ExpectedDifferentLength { .. }
            | Code::ExpectedArray
            | Code::ExpectedBoolean
            | Code::ExpectedChar
            | Code::ExpectedFloat
            | Code::ExpectedIdentifier
            | Code::ExpectedInteger
            | Code::ExpectedMap
            | Code::ExpectedNamedStructLike(_)
            | Code::ExpectedString
            | Code::ExpectedStructLike
            | Code::ExpectedUnit
            | Code::IntegerOutOfBounds
            | Code::InvalidIntegerDigit { .. }
            | Code::SuggestRawIdentifier(_)
    )
}

/// The path as users write it: variants of closed choices leave no trace in it.
fn join(path: &[Segment]) -> String {
    path.iter().fold(String::new(), |joined, segment| match segment {
        Segment::Seq { index } => format!("{joined}[{index}]"),
        Segment::Map { key } => super::problem::join(&joined, key),
        Segment::Enum { .. } | Segment::Unknown => joined,
    })
}

/// Where a position (counted from one, in characters) lies in `text`.
fn byte(text: &str, at: &Position) -> usize {
    let line: usize = text.split_inclusive('\n').take(at.line.saturating_sub(1)).map(str::len).sum();
    let column: usize = text[line..].chars().take(at.col.saturating_sub(1)).map(char::len_utf8).sum();
    line + column
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::units::Span;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Outer {
        list: Vec<Kind>,
        #[serde(default)]
        limit: Option<u32>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    enum Kind {
        Timed { wait: Span },
        Plain(u8),
    }

    /// The path, the message and the text pointed at.
    fn fail(text: &str) -> (String, String, Option<&str>) {
        let error = read::<Outer>(text).unwrap_err();
        (error.path, error.message, error.span.map(|span| &text[span]))
    }

    #[test]
    fn the_place_of_an_error_is_exact() {
        let unknown = fail("(list: [],\n  limmit: 3)");
        assert_eq!(unknown, (String::new(), "unknown field `limmit`".into(), Some("limmit")));
        let variant = fail("(list: [Plain(1), Plane(2)])");
        assert_eq!(variant, ("list[1]".into(), "unknown value `Plane`".into(), Some("Plane")));
        let nested = fail("(list: [Timed(wait: ms(1), rate: 3)])");
        assert_eq!(nested, ("list[0]".into(), "unknown field `rate`".into(), Some("rate")));
        let unit = fail("(list: [Timed(wait: mms(1))])");
        assert_eq!(unit, ("list[0].wait".into(), "unknown value `mms`".into(), Some("mms")));
    }

    #[test]
    fn bad_values_name_their_field() {
        let negative = fail("(list: [Timed(wait: ms(-1))])");
        assert_eq!(negative.0, "list[0].wait");
        assert_eq!(negative.1, "a length of time must be finite and not negative, found -1");
        assert_eq!(fail("(list: [Plain(300)])"), ("list[0]".into(), "integer is out of bounds".into(), None));
        assert_eq!(fail("(limit: 3)"), (String::new(), "missing field `list`".into(), None));
        assert_eq!(fail("(list: [], limit: \"3\")").0, "limit");
    }

    #[test]
    fn some_may_be_left_out() {
        assert_eq!(read::<Outer>("(list: [], limit: 3)").unwrap().limit, Some(3));
        assert_eq!(read::<Outer>("(list: [], limit: None)").unwrap().limit, None);
    }

    #[test]
    fn positions_count_characters() {
        assert_eq!(byte("é\nüx", &Position { line: 2, col: 2 }), 5);
        assert_eq!(byte("", &Position { line: 9, col: 9 }), 0);
    }
}
