//! What an open choice may name: a table from names to builders, owned by the room that offers it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use bevy_ecs::resource::Resource;
use ron::ser::PrettyConfig;
use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::locate::locate;
use super::problem::join;
use super::read::{ReadError, Sort, options, read};
use super::suggest::suggested;
use super::survey::survey;
use super::{Choice, Findings, Problem, did_you_mean};

/// The names an open choice may take, each with its parameters' type and what it builds.
///
/// ```
/// use mist::scenario::{Choice, Registry};
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// /// Waits the same time before each request.
/// #[derive(Serialize, Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Every {
///     /// Seconds between requests; above zero.
///     seconds: f64,
/// }
///
/// let mut arrivals = Registry::new("arrival process");
/// arrivals.register("Every", |every: Every| Ok(every.seconds));
/// let resolved = arrivals.resolve(&Choice::new("Every", "seconds: 0.5")).unwrap();
/// assert_eq!(resolved.built, 0.5);
/// ```
#[derive(Resource)]
pub struct Registry<B: Send + Sync + 'static> {
    what: &'static str,
    entries: BTreeMap<&'static str, Entry<B>>,
}

struct Entry<B: Send + Sync + 'static> {
    build: Box<Build<B>>,
    /// Most are never asked for.
    schema: LazyLock<Schema>,
    json: Json,
}

/// Between parameters in RON and in JSON.
#[derive(Clone, Copy)]
struct Json {
    read: fn(&str, &str) -> Result<Choice, ReadError>,
    write: fn(&str, &str) -> Result<String, ReadError>,
}

impl Json {
    /// For parameters that are a `P`.
    fn of<P: DeserializeOwned + Serialize>() -> Self {
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

/// Builds from a name and its parameters in parentheses; paths and spans of errors count in those.
type Build<B> = dyn Fn(&Registry<B>, &str, &str) -> Result<Resolved<B>, ReadError> + Send + Sync;

/// All there is to say about a choice.
struct Look<B> {
    /// In the order of the text.
    errors: Vec<ChoiceError>,
    /// What the choice comes to, mended if it must be.
    resolved: Option<Resolved<B>>,
    /// The parameters whose values were made up.
    made_up: Vec<String>,
}

/// A choice that was resolved.
#[derive(Clone, Debug)]
pub struct Resolved<B> {
    /// What the choice stands for.
    pub built: B,
    /// The choice again, with every default filled in.
    pub choice: Choice,
}

/// Why a choice could not be resolved.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ChoiceError {
    /// The parameter at fault, such as `rate` or `batching.limit`; empty for the choice itself.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub help: Option<String>,
    /// The bytes at fault, counted in the choice written as `Name(params)`; all of `field` if `None`.
    pub span: Option<Range<usize>>,
}

impl ChoiceError {
    /// An error of the parameter at `field`; empty for the choice itself.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into(), help: None, span: None }
    }

    /// The same error seen from a choice that holds this one as its parameter at `field`.
    #[must_use]
    pub fn within(mut self, field: &str) -> Self {
        self.field = join(field, &self.field);
        // The span counts from the choice inside, whose place only the text outside knows.
        self.span = None;
        self
    }

    /// The problem this is for a scenario that holds the choice at `path`.
    pub fn into_problem(self, path: &str) -> Problem {
        // A span counts from the start of the choice, so the path must stop there too.
        let path = if self.span.is_some() { path.to_owned() } else { join(path, &self.field) };
        Problem { path, message: self.message, help: self.help, span: self.span }
    }
}

impl<B: Send + Sync + 'static> Registry<B> {
    /// An empty registry of `what`, one of a kind in words: `"routing policy"`.
    pub const fn new(what: &'static str) -> Self {
        Self { what, entries: BTreeMap::new() }
    }

    /// What the entries are, in words.
    pub const fn what(&self) -> &'static str {
        self.what
    }

    /// Adds `name`, whose parameters are a `P`; a later entry replaces an earlier one.
    ///
    /// `build` may refuse parameters that are well-formed but make no sense; a message that begins
    /// with a parameter's name and `: ` is shown at that parameter.
    pub fn register<P>(
        &mut self,
        name: &'static str,
        build: impl Fn(P) -> Result<B, String> + Send + Sync + 'static,
    ) -> &mut Self
    where
        P: DeserializeOwned + Serialize + JsonSchema + 'static,
    {
        let build = move |_: &Self, name: &str, text: &str| {
            let params: P = parse(name, text)?;
            let choice = filled(name, &params)?;
            let built = build(params).map_err(|message| refused(&choice, message))?;
            Ok(Resolved { built, choice })
        };
        let entry =
            Entry { build: Box::new(build), schema: LazyLock::new(|| schema_for!(P)), json: Json::of::<P>() };
        self.entries.insert(name, entry);
        self
    }

    /// Adds `name`, whose parameters hold choices of the same kind.
    ///
    /// `build` resolves those against the registry it is given and puts them back into the
    /// parameters with their defaults filled in; [`ChoiceError::within`] says where one is at fault.
    pub fn register_nested<P>(
        &mut self,
        name: &'static str,
        build: impl Fn(&mut P, &Self) -> Result<B, ChoiceError> + Send + Sync + 'static,
    ) -> &mut Self
    where
        P: DeserializeOwned + Serialize + JsonSchema + 'static,
    {
        let build = move |registry: &Self, name: &str, text: &str| {
            let mut params: P = parse(name, text)?;
            let built =
                build(&mut params, registry).map_err(|ChoiceError { field, message, help, span }| {
                    let span = span.map(|span| shifted(&span, -name.len().cast_signed()));
                    let unknown =
                        message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
                    let sort = unknown.map_or(Sort::Value, |(name, _)| Sort::UnknownField(name.into()));
                    ReadError { span, sort, ..ReadError::value(field, message, help) }
                })?;
            Ok(Resolved { built, choice: filled(name, &params)? })
        };
        let entry =
            Entry { build: Box::new(build), schema: LazyLock::new(|| schema_for!(P)), json: Json::of::<P>() };
        self.entries.insert(name, entry);
        self
    }

    /// Builds what `choice` names, and the choice with all its defaults filled in.
    ///
    /// # Errors
    /// An unknown name, parameters that do not fit, or parameters that the entry refuses: whichever
    /// comes first.
    pub fn resolve(&self, choice: &Choice) -> Result<Resolved<B>, ChoiceError> {
        let look = self.look(choice);
        match (look.errors.into_iter().next(), look.resolved) {
            (None, Some(resolved)) => Ok(resolved),
            (Some(error), _) => Err(error),
            (None, None) => Err(ChoiceError::new("", format!("`{}` cannot be resolved", choice.name))),
        }
    }

    /// Fills in the defaults of `choice`, which stands at `path`, and builds what it names.
    ///
    /// Everything wrong with it goes to `findings`; then what is built is what was likely meant, good
    /// for finding more that is wrong and for nothing else.
    pub fn settle(&self, choice: &mut Choice, path: &str, findings: &mut Findings) -> Option<B> {
        let Look { errors, resolved, made_up } = self.look(choice);
        let text = format!("({})", choice.params);
        for error in errors {
            // As near to the value as can be, for the sake of its path.
            let near = error.span.as_ref().filter(|_| !error.field.is_empty()).and_then(|span| {
                let span = shifted(span, -choice.name.len().cast_signed());
                locate(&text, &error.field)?.count(&span)
            });
            findings.note(match near {
                Some(span) => Problem { path: join(path, &error.field), ..error.into_problem("") }.span(span),
                None => error.into_problem(path),
            });
        }
        for parameter in made_up {
            findings.make_up(join(path, &parameter));
        }
        let Some(Resolved { built, choice: settled }) = resolved else {
            findings.leave_open(path);
            return None;
        };
        *choice = settled;
        Some(built)
    }

    /// Fills in the defaults of `choice`, which is the parameter `field` of `outer`; everything wrong
    /// with it goes to `findings`, where paths count from `outer`.
    pub fn fill(&self, outer: &mut Choice, field: &str, choice: &Choice, findings: &mut Findings) {
        let mut choice = choice.clone();
        self.settle(&mut choice, field, findings);
        outer.set(field, &choice.to_string());
    }

    fn look(&self, choice: &Choice) -> Look<B> {
        let mut errors = Vec::new();
        let mut name = choice.name.as_str();
        let nothing = |errors| Look { errors, resolved: None, made_up: Vec::new() };
        if !self.entries.contains_key(name) {
            let help = did_you_mean(name, self.names());
            let meant = suggested(&help).and_then(|meant| self.entries.get_key_value(meant));
            let message = format!("unknown {} `{name}`", self.what);
            errors.push(ChoiceError {
                span: Some(0..name.len()),
                help: Some(help),
                ..ChoiceError::new("", message)
            });
            match meant {
                Some((meant, _)) => name = meant,
                None => return nothing(errors),
            }
        }
        let Some(entry) = self.entries.get(name) else { return nothing(errors) };
        let text = format!("({})", choice.params);
        let found = survey(&text, entry.schema.as_value(), &|text| (entry.build)(self, name, text));
        errors.extend(found.errors.into_iter().map(|ReadError { path, message, help, span, .. }| {
            let span = span.map(|span| shifted(&span, choice.name.len().cast_signed()));
            ChoiceError { field: path, message, help, span }
        }));
        Look { errors, resolved: found.value, made_up: found.made_up }
    }

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

    /// The names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().copied()
    }

    /// The schema of the parameters of `name`.
    pub fn schema(&self, name: &str) -> Option<&Schema> {
        self.entries.get(name).map(|entry| &*entry.schema)
    }
}

/// What a builder refused; it names the parameter at fault by beginning with `parameter: `.
fn refused(choice: &Choice, message: String) -> ReadError {
    let named = message.split_once(": ").filter(|(field, _)| choice.get(field).is_some());
    let (field, message) =
        named.map_or((String::new(), message.clone()), |(f, m)| (f.to_owned(), m.to_owned()));
    ReadError::value(field, message, None)
}

fn shifted(span: &Range<usize>, by: isize) -> Range<usize> {
    span.start.saturating_add_signed(by)..span.end.saturating_add_signed(by)
}

/// Parentheses with nothing in them.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Reads the parameters of `name` strictly.
fn parse<P: DeserializeOwned>(name: &str, text: &str) -> Result<P, ReadError> {
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
fn filled<P: Serialize>(name: &str, params: &P) -> Result<Choice, ReadError> {
    let one_line = PrettyConfig::new().compact_structs(true).compact_arrays(true).compact_maps(true);
    let text = options().to_string_pretty(params, one_line).map_err(|error| {
        let message = format!("the parameters of `{name}` cannot be written as RON: {error}");
        ReadError::value(String::new(), message, None)
    })?;
    let inside = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or("");
    Ok(Choice::new(name, inside))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::units::{PerSecond, Span};

    #[derive(Debug, Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Poisson {
        /// Requests per second.
        rate: PerSecond,
        #[serde(default)]
        offset: Option<Span>,
    }

    #[derive(Debug, Serialize, Deserialize, JsonSchema)]
    struct RoundRobin;

    #[derive(Debug, Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, default)]
    struct Llm {
        batching: Choice,
        block_size: u32,
    }

    impl Default for Llm {
        fn default() -> Self {
            Self { batching: Choice::new("Poisson", "rate: per_s(1)"), block_size: 16 }
        }
    }

    #[derive(Debug, Serialize, Deserialize, JsonSchema)]
    struct Fixed(u32);

    fn registry() -> Registry<String> {
        let mut registry = Registry::new("test policy");
        registry
            .register("Poisson", |p: Poisson| Ok(format!("{p:?}")))
            .register("RoundRobin", |p: RoundRobin| Ok(format!("{p:?}")))
            .register("Llm", |p: Llm| Ok(p.batching.to_string()))
            .register("Fixed", |p: Fixed| if p.0 > 9 { Err("too much".into()) } else { Ok(p.0.to_string()) });
        registry
    }

    fn resolve(text: &str) -> Result<Resolved<String>, ChoiceError> {
        registry().resolve(&ron::from_str(text).unwrap())
    }

    /// The field, the message and the part of `text` pointed at.
    fn fail(text: &str) -> (String, String, Option<&str>) {
        let error = resolve(text).unwrap_err();
        (error.field, error.message, error.span.map(|span| &text[span]))
    }

    #[test]
    fn defaults_are_filled_in() {
        let filled = |text: &str| resolve(text).unwrap().choice.to_string();
        assert_eq!(filled("Poisson(rate: per_min(90))"), "Poisson(rate: per_s(1.5), offset: None)");
        assert_eq!(
            filled("Poisson(rate: per_s(1), offset: ms(5))"),
            "Poisson(rate: per_s(1.0), offset: s(0.005))"
        );
        assert_eq!(filled("Llm"), "Llm(batching: Poisson(rate: per_s(1)), block_size: 16)");
        assert_eq!(filled("Fixed(7)"), "Fixed(7)");
        for text in ["RoundRobin", "RoundRobin()", "RoundRobin( /* none */ )"] {
            assert_eq!(filled(text), "RoundRobin", "{text}");
        }
    }

    #[test]
    fn what_is_filled_in_resolves_to_itself() {
        for text in
            ["Poisson(rate: per_min(90), offset: ms(5))", "Llm(block_size: 32)", "Fixed(3)", "RoundRobin()"]
        {
            let once = resolve(text).unwrap().choice;
            assert_eq!(registry().resolve(&once).unwrap().choice, once);
        }
    }

    #[test]
    fn parameters_come_and_go_as_json() {
        let registry = registry();
        let json = "{\"rate\":{\"per_s\":1.5},\"offset\":{\"s\":0.005}}";
        let choice = registry.read_json("Poisson", json).unwrap();
        assert_eq!(choice.to_string(), "Poisson(rate: per_s(1.5), offset: s(0.005))");
        assert_eq!(registry.write_json(&choice).unwrap(), json);
        let nested = registry.read_json("Llm", "{\"batching\":\"Poisson(rate: per_s(2))\"}").unwrap();
        assert_eq!(nested.to_string(), "Llm(batching: Poisson(rate: per_s(2)), block_size: 16)");
        let written = registry.write_json(&nested).unwrap();
        assert_eq!(registry.read_json("Llm", &written).unwrap(), nested);
        let wrong = |name: &str, json: &str| registry.read_json(name, json).unwrap_err();
        assert!(wrong("Poison", "{}").help.unwrap().starts_with("did you mean `Poisson`?"));
        let field = wrong("Llm", "{\"block_sise\":3}");
        assert_eq!(
            (field.message.as_str(), field.help.unwrap().contains("`block_size`")),
            ("unknown field `block_sise`", true)
        );
        assert_eq!(wrong("Poisson", "{\"rate\":{\"per_s\":-1}}").field, "rate");
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = resolve("Poison(rate: per_s(1))").unwrap_err();
        assert_eq!(error.message, "unknown test policy `Poison`");
        assert_eq!(
            error.help.unwrap(),
            "did you mean `Poisson`? Allowed: `Fixed`, `Llm`, `Poisson`, `RoundRobin`"
        );
        assert_eq!(error.span, Some(0..6));
    }

    #[test]
    fn bad_parameters_are_pointed_at() {
        let unknown = fail("Poisson(rate: per_s(1), ofset: ms(1))");
        assert_eq!(unknown, (String::new(), "unknown field `ofset`".into(), Some("ofset")));
        let negative = fail("Poisson(rate: per_s(-2))");
        assert_eq!(negative, ("rate".into(), "a rate must be finite and above zero, found -2".into(), None));
        assert_eq!(fail("Poisson").1, "missing field `rate`");
        assert_eq!(fail("RoundRobin(1)").1, "`RoundRobin` takes no parameters");
        assert_eq!(fail("Fixed(10)").1, "too much");
        assert_eq!(fail("Poisson(rate: NaN)").0, "rate");
        assert_eq!(fail("Poisson(rate: per_s(NaN))").1, "a rate must be finite and above zero, found NaN");
    }

    #[test]
    fn errors_become_problems_of_the_field_that_holds_the_choice() {
        let negative = resolve("Poisson(rate: per_s(-2))").unwrap_err().into_problem("workload[0].arrivals");
        assert_eq!(negative.path, "workload[0].arrivals.rate");
        let unknown = resolve("Llm(batch: 3)").unwrap_err().into_problem("clients[0].runs");
        assert_eq!((unknown.path.as_str(), unknown.span), ("clients[0].runs", Some(4..9)));
    }

    #[test]
    fn schemas_carry_the_documentation() {
        let registry = registry();
        let schema = serde_json::to_string(registry.schema("Poisson").unwrap()).unwrap();
        assert!(schema.contains("Requests per second."), "{schema}");
        assert!(registry.schema("Nope").is_none());
    }
}
