//! An open choice as the file holds it: a name with parameters, not yet resolved.

use std::borrow::Cow;
use std::fmt;

use ron::value::RawValue;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

/// A name with its parameters, as written: `Poisson(rate: per_s(8))`, `RoundRobin`.
///
/// Which names exist, and what they take, is known to the [`Registry`](super::Registry) that
/// resolves it. A field of this type says which one with
/// `#[schemars(extend("x-choice" = "routing policy"))]`, so that it can be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The name before the parenthesis.
    pub name: String,
    /// The RON between the parentheses, as written; empty if there is none.
    pub params: String,
}

impl Choice {
    /// A choice of `name` with its parameters in RON, such as `rate: per_s(8)`.
    pub fn new(name: impl Into<String>, params: impl Into<String>) -> Self {
        Self { name: name.into(), params: params.into() }
    }

    /// A choice without parameters: every one at its default.
    pub fn named(name: impl Into<String>) -> Self {
        Self::new(name, "")
    }

    /// Reads `Name` or `Name(params)`, which must be well-formed RON.
    fn from_ron(text: &str) -> Result<Self, String> {
        let text = trim(text);
        let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let rest = trim(rest);
        let starts_well = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
        let params = match rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
            Some(params) => Some(params),
            None if rest.is_empty() => Some(""),
            None => None,
        };
        match params {
            Some(params) if starts_well => Ok(Self::new(name, params)),
            _ => Err(format!("expected a name, with parameters or without, found `{text}`")),
        }
    }
}

/// Strips blanks and comments on both sides; `text` is well-formed.
fn trim(text: &str) -> &str {
    // `RawValue` knows RON's blanks and comments; what is only those is no value at all.
    RawValue::from_ron(text).map_or_else(|_| text.trim(), |raw| raw.trim().get_ron())
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.params.as_str() {
            "" => f.write_str(&self.name),
            params => write!(f, "{}({params})", self.name),
        }
    }
}

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::from_ron(raw.get_ron()).map_err(de::Error::custom)
    }
}

impl Serialize for Choice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.to_string();
        RawValue::from_ron(&text).map_err(ser::Error::custom)?.serialize(serializer)
    }
}

impl JsonSchema for Choice {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Choice".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-choice": "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Choice {
        ron::from_str(text).unwrap()
    }

    #[test]
    fn the_name_and_the_parameters_are_kept_as_written() {
        assert_eq!(read("RoundRobin"), Choice::named("RoundRobin"));
        assert_eq!(read("RoundRobin()"), Choice::named("RoundRobin"));
        assert_eq!(read("Poisson(rate: per_s(8))"), Choice::new("Poisson", "rate: per_s(8)"));
        assert_eq!(
            read("/* a */ Poisson /* b ( */ ( rate: 1, ) // c\n"),
            Choice::new("Poisson", " rate: 1, ")
        );
        assert_eq!(read("Llm(batching: Chunked(n: 1))").params, "batching: Chunked(n: 1)");
    }

    #[test]
    fn what_is_no_choice_is_refused() {
        for bad in ["\"Poisson\"", "3", "[Poisson]", "(rate: 1)", "Poisson(", ""] {
            assert!(ron::from_str::<Choice>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_choice_writes_itself_back() {
        for text in ["RoundRobin", "Poisson(rate: per_s(8))", "Llm(a: \")\", b: [X(1)])"] {
            assert_eq!(ron::to_string(&read(text)).unwrap(), text);
        }
        let none: Option<Choice> = ron::from_str("None").unwrap();
        assert_eq!(none, None);
    }
}
