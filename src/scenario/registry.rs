//! What an open choice may name: a table from names to builders, owned by the room that offers it.

mod forms;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use bevy_ecs::resource::Resource;
use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::forms::{Json, filled, parse};
use super::locate::locate;
use super::problem::join;
use super::read::{ReadError, Sort};
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

#[cfg(test)]
mod tests;
