//! What the JSON formats share: values that formats write in more than one way, and errors that name
//! the field.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use super::BadRow;
use super::timestamp::instant_ns;
use crate::units::SimSpan;

/// Reads a value that fills the text.
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, BadRow> {
    serde_json::from_str(text).map_err(|_| explain::<T>(text))
}

/// Reads again, slower, to say which field is at fault.
fn explain<'a, T: Deserialize<'a>>(text: &'a str) -> BadRow {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let (path, error) = match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Err(error) => (error.path().to_string(), error.into_inner()),
        Ok(_) => match deserializer.end() {
            Err(error) => (".".to_owned(), error),
            Ok(()) => return BadRow::new("not readable as JSON"),
        },
    };
    let (column, text) = (error.column(), error.to_string());
    // A line is a document to serde_json, so its own line number is always 1.
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    let unknown = what.starts_with("unknown field") || what.starts_with("missing field");
    BadRow::new(match path.as_str() {
        "." | "?" => format!("{what} (byte {column})"),
        _ if unknown => format!("{what} (byte {column})"),
        path => format!("field `{path}`: {what} (byte {column})"),
    })
}

/// A name, which some traces write as text and some as a number.
#[derive(Clone, Debug)]
pub(super) enum Label<'a> {
    Text(Cow<'a, str>),
    Number(i128),
}

impl Label<'_> {
    /// Appends it to `text`.
    pub fn write_to(&self, text: &mut String) {
        match self {
            Self::Text(label) => text.push_str(label),
            // Writing to a string cannot fail.
            Self::Number(label) => drop(write!(text, "{label}")),
        }
    }

    /// It as a text of its own.
    pub fn into_text(self) -> String {
        match self {
            Self::Text(label) => label.into_owned(),
            Self::Number(label) => label.to_string(),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Label<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Labels;
        impl<'de> Visitor<'de> for Labels {
            type Value = Label<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, as text or as a whole number")
            }

            fn visit_borrowed_str<E>(self, label: &'de str) -> Result<Label<'de>, E> {
                Ok(Label::Text(Cow::Borrowed(label)))
            }

            fn visit_str<E>(self, label: &str) -> Result<Label<'de>, E> {
                Ok(Label::Text(Cow::Owned(label.to_owned())))
            }

            fn visit_u64<E>(self, label: u64) -> Result<Label<'de>, E> {
                Ok(Label::Number(i128::from(label)))
            }

            fn visit_i64<E>(self, label: i64) -> Result<Label<'de>, E> {
                Ok(Label::Number(i128::from(label)))
            }
        }
        deserializer.deserialize_any(Labels)
    }
}

/// Copies a label that may be absent.
pub(super) fn copy(label: Option<&Label>, text: &mut String) {
    if let Some(label) = label {
        label.write_to(text);
    }
}

/// A time written as a number, whole or not, of units of so many ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Units<const NS: u64>(pub i128);

/// A time in ms.
pub(super) type Millis = Units<1_000_000>;
/// A time in s.
pub(super) type Seconds = Units<1_000_000_000>;

impl<const NS: u64> Units<NS> {
    /// As a span; an error names `field`.
    pub fn span(self, field: &str) -> Result<SimSpan, BadRow> {
        u64::try_from(self.0).map(SimSpan::from_ns).map_err(|_| {
            BadRow::new(format!(
                "field `{field}`: expected 0 or more and at most 584 years, found {} ns",
                self.0
            ))
        })
    }
}

impl<'de, const NS: u64> Deserialize<'de> for Units<NS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number<const NS: u64>;
        impl<const NS: u64> Visitor<'_> for Number<NS> {
            type Value = Units<NS>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time as a number")
            }

            fn visit_u64<E>(self, units: u64) -> Result<Units<NS>, E> {
                Ok(Units(i128::from(units) * i128::from(NS)))
            }

            fn visit_i64<E>(self, units: i64) -> Result<Units<NS>, E> {
                Ok(Units(i128::from(units) * i128::from(NS)))
            }

            fn visit_f64<E: Error>(self, units: f64) -> Result<Units<NS>, E> {
                let ns = instant_ns(units, NS);
                ns.map(Units).ok_or_else(|| E::custom(format_args!("{units:e} is no time")))
            }
        }
        deserializer.deserialize_any(Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_round_to_the_nearest_ns() {
        let read = |text| serde_json::from_str::<Seconds>(text).map(|seconds| seconds.0);
        assert_eq!(read("61.114").unwrap(), 61_114_000_000);
        assert_eq!(read("-2").unwrap(), -2_000_000_000);
        assert_eq!(read("18446744073709551615").unwrap(), 18_446_744_073_709_551_615_000_000_000);
        assert!(read("1e300").is_err() && read("\"1\"").is_err());
        assert_eq!(serde_json::from_str::<Millis>("0.0000005").unwrap().0, 1);
        assert!(Units::<1>(-1).span("delay").is_err());
    }

    #[test]
    fn an_error_names_field_and_byte() {
        #[derive(Debug, Deserialize)]
        #[allow(dead_code)]
        struct Row {
            tokens: u32,
            ids: Vec<u64>,
        }
        let refusal = |text| parse::<Row>(text).unwrap_err().0;
        assert_eq!(
            refusal("{\"tokens\": 5000000000, \"ids\": []}").split(" (").next().unwrap(),
            "field `tokens`: invalid value: integer `5000000000`, expected u32"
        );
        assert!(refusal("{\"tokens\": 1, \"ids\": [1, \"x\"]}").starts_with("field `ids[1]`: invalid type"));
        assert_eq!(refusal("{\"tokens\": 1}"), "missing field `ids` (byte 13)");
        assert!(refusal("{\"tokens\": 1, \"ids\": []} x").starts_with("trailing characters"));
        assert!(refusal("{\"tokens\"").starts_with("EOF"), "{}", refusal("{\"tokens\""));
    }
}
