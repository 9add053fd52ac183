//! What an open choice may name: a table from names to builders, owned by the room that offers it.

use std::collections::BTreeMap;
use std::ops::Range;

use bevy_ecs::resource::Resource;
use ron::ser::PrettyConfig;
use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::problem::join;
use super::read::{options, read};
use super::{Choice, Problem, did_you_mean};

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
    schema: Schema,
}

type Build<B> = dyn Fn(&Registry<B>, &Choice) -> Result<Resolved<B>, ChoiceError> + Send + Sync;

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
        let build = move |_: &Self, choice: &Choice| {
            let params: P = parse(choice)?;
            let choice = filled(&choice.name, &params)?;
            let built = build(params).map_err(|message| refused(&choice, message))?;
            Ok(Resolved { built, choice })
        };
        self.entries.insert(name, Entry { build: Box::new(build), schema: schema_for!(P) });
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
        let build = move |registry: &Self, choice: &Choice| {
            let mut params: P = parse(choice)?;
            let built = build(&mut params, registry)?;
            Ok(Resolved { built, choice: filled(&choice.name, &params)? })
        };
        self.entries.insert(name, Entry { build: Box::new(build), schema: schema_for!(P) });
        self
    }

    /// Builds what `choice` names, and the choice with all its defaults filled in.
    ///
    /// # Errors
    /// An unknown name, parameters that do not fit, or parameters that the entry refuses.
    pub fn resolve(&self, choice: &Choice) -> Result<Resolved<B>, ChoiceError> {
        match self.entries.get(choice.name.as_str()) {
            Some(entry) => (entry.build)(self, choice),
            None => Err(ChoiceError {
                field: String::new(),
                message: format!("unknown {} `{}`", self.what, choice.name),
                help: Some(did_you_mean(&choice.name, self.names())),
                span: Some(0..choice.name.len()),
            }),
        }
    }

    /// Fills in the defaults of `choice`, which is the parameter `field` of `outer`.
    ///
    /// # Errors
    /// The choice cannot be resolved; the path counts from `outer`.
    pub fn fill(&self, outer: &mut Choice, field: &str, choice: &Choice) -> Result<(), Problem> {
        let resolved = self.resolve(choice).map_err(|error| error.into_problem(field))?;
        outer.set(field, &resolved.choice.to_string());
        Ok(())
    }

    /// The names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().copied()
    }

    /// The schema of the parameters of `name`.
    pub fn schema(&self, name: &str) -> Option<&Schema> {
        self.entries.get(name).map(|entry| &entry.schema)
    }
}

/// What a builder refused; it names the parameter at fault by beginning with `parameter: `.
fn refused(choice: &Choice, message: String) -> ChoiceError {
    let named = message.split_once(": ").filter(|(field, _)| choice.get(field).is_some());
    let (field, message) =
        named.map_or((String::new(), message.clone()), |(f, m)| (f.to_owned(), m.to_owned()));
    ChoiceError { field, message, help: None, span: None }
}

/// Parentheses with nothing in them.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Reads the parameters of `choice` strictly.
fn parse<P: DeserializeOwned>(choice: &Choice) -> Result<P, ChoiceError> {
    // The name is left out: `P` is often called something else.
    let mut text = format!("({})", choice.params);
    if read::<Nothing>(&text).is_ok() {
        text = "()".into(); // a unit struct takes no blanks or comments
    }
    read(&text).map_err(|error| {
        let from_name = |span: Range<usize>| span.start + choice.name.len()..span.end + choice.name.len();
        let takes_none = error.message == "expected unit" && error.path.is_empty();
        let message =
            if takes_none { format!("`{}` takes no parameters", choice.name) } else { error.message };
        ChoiceError { field: error.path, message, help: error.help, span: error.span.map(from_name) }
    })
}

/// The choice of `name` with every parameter written out.
fn filled<P: Serialize>(name: &str, params: &P) -> Result<Choice, ChoiceError> {
    let one_line = PrettyConfig::new().compact_structs(true).compact_arrays(true).compact_maps(true);
    let text = options().to_string_pretty(params, one_line).map_err(|error| ChoiceError {
        field: String::new(),
        message: format!("the parameters of `{name}` cannot be written as RON: {error}"),
        help: None,
        span: None,
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
