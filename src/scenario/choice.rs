//! An open choice as the file holds it: a name with parameters, not yet resolved.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use ron::value::RawValue;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use super::locate::locate;
use super::read::quoted;

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

    /// The RON of the parameter at `field`, such as `rate` or `batching.limit`, if it is written.
    pub fn get(&self, field: &str) -> Option<&str> {
        let inside = self.place(field)?;
        self.params.get(inside)
    }

    /// Replaces the parameter at `field`, which must be written already, by `ron`.
    ///
    /// This puts a nested choice with its defaults filled in back into the choice that holds it:
    /// `outer.set("batching", &inner.to_string())`. Says whether the field was there.
    pub fn set(&mut self, field: &str, ron: &str) -> bool {
        let place = self.place(field);
        if let Some(inside) = place.clone() {
            self.params.replace_range(inside, ron);
        }
        place.is_some()
    }

    /// Makes the path in the text parameter at `field` start from `folder`, if it is there and relative.
    pub fn rebase(&mut self, field: &str, folder: &Path) {
        self.rebase_with(field, |path| Some(folder.join(path).to_string_lossy().into_owned()));
    }

    /// Replaces the text parameter at `field`, if it is there, by what `moved` makes of it, if anything.
    pub fn rebase_with(&mut self, field: &str, moved: impl FnOnce(&str) -> Option<String>) {
        let text = self.get(field).and_then(|text| ron::from_str::<String>(text).ok());
        if let Some(moved) = text.and_then(|text| moved(&text)) {
            self.set(field, &quoted(&moved));
        }
    }

    /// The bytes of a parameter in `params`.
    fn place(&self, field: &str) -> Option<Range<usize>> {
        let value = locate(&format!("({})", self.params), field)?.value;
        (!field.is_empty()).then(|| value.start - 1..value.end - 1)
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

/// Writes a choice that may be missing as a scenario writes it, without `Some(…)`, which RON would put
/// around raw text.
#[allow(clippy::ref_option)] // serde hands over the field as it is
pub(super) fn bare<S: Serializer>(choice: &Option<Choice>, serializer: S) -> Result<S::Ok, S::Error> {
    match choice {
        Some(choice) => choice.serialize(serializer),
        None => serializer.serialize_none(),
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

/// A stage of a pipeline, such as `Rag(documents: 10)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StageChoice(pub Choice);

impl JsonSchema for StageChoice {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "StageChoice".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-choice": "pipeline stage" })
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
    fn parameters_are_replaced_in_place() {
        let mut outer = read("Llm( size: 16, batching: Chunked(n: 1), from: \"a \\\"b.csv\" )");
        assert_eq!(outer.get("batching.n"), Some("1"));
        assert!(outer.set("batching", "Chunked(n: 1, m: 2)"));
        assert!(!outer.set("absent", "1"));
        outer.rebase("from", Path::new("/data"));
        outer.rebase("size", Path::new("/data"));
        assert_eq!(outer.params, " size: 16, batching: Chunked(n: 1, m: 2), from: \"/data/a \\\"b.csv\" ");
        outer.rebase("from", Path::new("/elsewhere"));
        assert_eq!(outer.get("from"), Some("\"/data/a \\\"b.csv\""));
        assert_eq!((outer.get(""), Choice::named("X").get("a")), (None, None));
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
