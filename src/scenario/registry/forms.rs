//! The forms that parameters have: RON as it is written, and JSON.

use ron::ser::PrettyConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{ChoiceError, Registry};
use crate::scenario::read::{ReadError, options, read};
use crate::scenario::{Choice, did_you_mean};

/// Between parameters in RON and in JSON.
#[derive(Clone, Copy)]
pub(super) struct Json {
    pub read: fn(&str, &str) -> Result<Choice, ReadError>,
    pub write: fn(&str, &str) -> Result<String, ReadError>,
}

impl Json {
    /// For parameters that are a `P`.
    pub fn of<P: DeserializeOwned + Serialize>() -> Self {
        let read = |name: &str, json: &str| {
            let params: P = from_json(json)?;
            filled(name, &params)
        };
        let write = |name: &str, text: &str| {
            let params: P = parse(name, text)?;
            let wrong = |error: serde_json::Error| ReadError::value(String::new(), error.to_string(), None);
            serde_json::to_string(&params).map_err(wrong)
        };
        Self { read, write }
    }
}

impl<B: Send + Sync + 'static> Registry<B> {
    /// The choice of `name` with parameters that are a JSON object. Choices inside it are texts in RON.
    ///
    /// # Errors
    /// An unknown name, or parameters that do not fit.
    pub fn read_json(&self, name: &str, json: &str) -> Result<Choice, ChoiceError> {
        let Some(entry) = self.entries.get(name) else {
            let message = format!("unknown {} `{name}`", self.what);
            return Err(ChoiceError {
                help: Some(did_you_mean(name, self.names())),
                ..ChoiceError::new("", message)
            });
        };
        (entry.json.read)(name, json).map_err(|ReadError { path, message, help, .. }| {
            let fields = entry.schema.as_value().get("properties").and_then(serde_json::Value::as_object);
            let unknown = message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
            let near = |(unknown, fields): (&str, &serde_json::Map<String, serde_json::Value>)| {
                did_you_mean(unknown, fields.keys().map(String::as_str))
            };
            ChoiceError {
                help: help.or_else(|| unknown.zip(fields).map(near)),
                ..ChoiceError::new(path, message)
            }
        })
    }

    /// The parameters of `choice` as a JSON object: what [`read_json`](Self::read_json) reads.
    ///
    /// # Errors
    /// An unknown name, or parameters that do not fit.
    pub fn write_json(&self, choice: &Choice) -> Result<String, ChoiceError> {
        let Some(entry) = self.entries.get(choice.name.as_str()) else {
            return Err(ChoiceError::new("", format!("unknown {} `{}`", self.what, choice.name)));
        };
        let written = (entry.json.write)(&choice.name, &format!("({})", choice.params));
        written.map_err(|ReadError { path, message, help, .. }| ChoiceError {
            help,
            ..ChoiceError::new(path, message)
        })
    }
}

/// Parentheses with nothing in them.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Reads the parameters of `name` strictly.
pub(super) fn parse<P: DeserializeOwned>(name: &str, text: &str) -> Result<P, ReadError> {
    // A unit struct takes no blanks or comments.
    let text = if read::<Nothing>(text).is_ok() { "()" } else { text };
    read(text).map_err(|error| {
        let takes_none = error.message == "expected unit" && error.path.is_empty();
        let message = if takes_none { format!("`{name}` takes no parameters") } else { error.message };
        ReadError { message, ..error }
    })
}

/// Reads parameters in JSON strictly.
fn from_json<P: DeserializeOwned>(json: &str) -> Result<P, ReadError> {
    let mut text = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut text).map_err(|error| {
        let path = match error.path().to_string() {
            path if path == "." || path == "?" => String::new(),
            path => path,
        };
        let text = error.into_inner().to_string();
        // A stage is on one line, and not at the start of it.
        let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
        let what =
            what.split(", expected ").next().filter(|what| what.starts_with("unknown field")).unwrap_or(what);
        ReadError::value(path, what.to_owned(), None)
    })
}

/// The choice of `name` with every parameter written out.
pub(super) fn filled<P: Serialize>(name: &str, params: &P) -> Result<Choice, ReadError> {
    let one_line = PrettyConfig::new().compact_structs(true).compact_arrays(true).compact_maps(true);
    let text = options().to_string_pretty(params, one_line).map_err(|error| {
        let message = format!("the parameters of `{name}` cannot be written as RON: {error}");
        ReadError::value(String::new(), message, None)
    })?;
    let inside = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or("");
    Ok(Choice::new(name, inside))
}
