//! What the types allow at a place in a text: a look into their schemas, guided by what is written.

use serde_json::Value;

use super::explain::words::{self, Form, Forms};
use super::locate::{child, unwrap};
use super::path::{Step, To};
use super::problem::join;
use super::scan::{Kind, Node};

/// A place where a value stands or may stand, with the schema of its type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot<'a> {
    schema: &'a Value,
    /// The schema that holds the definitions.
    root: &'a Value,
}

/// Samples inside samples beyond which none is made: a type may hold itself.
const MAX_DEPTH: usize = 16;

impl<'a> Slot<'a> {
    /// The place of the whole value that `schema` is of.
    pub(super) const fn root(schema: &'a Value) -> Self {
        Self { schema, root: schema }
    }

    /// What a name in a text says of the place: behind references and options.
    pub(super) fn core(self) -> &'a Value {
        let mut schema = self.schema;
        // Bounded, should a schema ever refer to itself.
        for _ in 0..MAX_DEPTH {
            match words::definition(schema, self.root).or_else(|| words::some_of(schema)) {
                Some(next) => schema = next,
                None => break,
            }
        }
        schema
    }

    /// Whether `None` may stand here.
    pub(super) fn takes_none(self) -> bool {
        let types = self.schema["type"].as_array();
        words::some_of(self.schema).is_some() || types.is_some_and(|types| types.contains(&"null".into()))
    }

    /// What the place takes, in words: `whole number`, `s(…) | ms(…)`.
    pub(super) fn type_name(self) -> String {
        words::type_name(self.core(), self.root)
    }

    /// The JSON types of the place, such as `integer`.
    pub(super) fn is(self, json_type: &str) -> bool {
        match &self.core()["type"] {
            Value::String(one) => one == json_type,
            Value::Array(several) => several.iter().any(|one| one == json_type),
            _ => false,
        }
    }

    /// The kind of open choice that stands here.
    pub(super) fn choice(self) -> Option<&'a str> {
        self.schema["x-choice"].as_str().or_else(|| self.core()["x-choice"].as_str())
    }

    /// The forms of the closed choice that stands here.
    pub(super) fn forms(self) -> Vec<Form<'a>> {
        Forms::of(self.core()).0
    }

    /// The units of a quantity: the forms of a choice all of which hold one number.
    pub(super) fn units(self) -> Vec<Form<'a>> {
        let forms = self.forms();
        if forms.iter().all(|form| form.held["type"] == "number") { forms } else { Vec::new() }
    }

    /// The schema of the field `name`.
    pub(super) fn field(self, name: &str) -> Option<Slot<'a>> {
        self.core()["properties"].get(name).map(|schema| Self { schema, ..self })
    }

    /// The names of the fields that must be written.
    pub(super) fn required(self) -> impl Iterator<Item = &'a str> {
        self.core()["required"].as_array().into_iter().flatten().filter_map(Value::as_str)
    }

    /// The fields by name: first those that must be written, in the order of the type.
    pub(super) fn fields(self) -> Vec<&'a str> {
        let all = self.core()["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        let optional = all.filter(|name| self.required().all(|required| required != *name));
        self.required().chain(optional).collect()
    }

    /// The parts of a tuple.
    pub(super) fn parts(self) -> Option<Vec<Slot<'a>>> {
        let parts = self.core()["prefixItems"].as_array()?;
        Some(parts.iter().map(|schema| Self { schema, ..self }).collect())
    }

    /// What to say of a field that is none here, but an option of an engine that one mirrors, or, if the
    /// beginning of one will do, is short for such an option.
    pub(super) fn mirror(self, name: &str, beginning: bool) -> Option<String> {
        let option = format!("--{}", name.replace('_', "-"));
        let properties = self.core()["properties"].as_object()?;
        let ends = |next: Option<char>| match next {
            Some('-') => beginning,
            next => !next.is_some_and(char::is_alphanumeric),
        };
        let mirrors = |words: &str| {
            words.match_indices(&option).any(|(at, _)| ends(words[at + option.len()..].chars().next()))
        };
        let field = properties.iter().find(|(_, schema)| schema["description"].as_str().is_some_and(mirrors));
        let field = field.map(|(field, _)| format!("did you mean `{field}`? It mirrors `{option}`"));
        field.or_else(|| self.inside(name).filter(|_| beginning))
    }

    /// What to say of a field that is none here, but, but for a slip, a parameter of what stands in one, as that one's
    /// words show.
    fn inside(self, name: &str) -> Option<String> {
        const SLIPS: usize = 2;
        let properties = self.core()["properties"].as_object()?;
        let shown = |(field, schema): (&String, &Value)| {
            let spans = schema["description"].as_str()?.split('`').skip(1).step_by(2);
            let shows = |span: &&str| {
                let parameter = span.split_once('(').and_then(|(_, inside)| inside.split_once(':'));
                parameter.is_some_and(|(parameter, _)| {
                    parameter.len() > 3 * SLIPS && strsim::osa_distance(parameter, name) <= SLIPS
                })
            };
            let span = spans.into_iter().find(shows)?;
            Some(format!("it belongs into `{field}`: write `{field}: {span}`"))
        };
        properties.iter().find_map(shown)
    }

    /// Whether the place holds fields by name.
    pub(super) fn has_fields(self) -> bool {
        self.core()["properties"].is_object() && self.forms().is_empty()
    }

    /// The type that the fields of `node` are of: inside a closed choice, its form.
    pub(super) fn entered(self, text: &str, node: &Node) -> Option<Slot<'a>> {
        let forms = self.forms();
        if forms.is_empty() {
            return Some(self);
        }
        let Kind::Group { name, .. } = &unwrap(text, node).kind else { return None };
        let form = forms.into_iter().find(|form| form.name == &text[name.clone()])?;
        form.held.is_object().then_some(Self { schema: form.held, ..self })
    }

    /// The type one step further in.
    fn step(self, text: &str, node: &Node, to: &To) -> Option<Slot<'a>> {
        let inside = self.entered(text, node)?;
        match to {
            To::Field(name) => inside.field(name),
            To::Index(index) => {
                let core = inside.core();
                let part = core["prefixItems"].get(index).or_else(|| core.get("items"));
                part.map(|schema| Self { schema, ..self })
            }
        }
    }

    /// Walks as far along `steps` as the text goes: the last value, its type if it is known, and the
    /// steps taken.
    pub(super) fn walk<'n>(
        self,
        text: &str,
        root: &'n Node,
        steps: &[Step],
    ) -> (&'n Node, Option<Slot<'a>>, usize) {
        let (mut node, mut slot) = (root, Some(self));
        for (taken, step) in steps.iter().enumerate() {
            let Some(next) = child(text, node, &step.to) else { return (node, slot, taken) };
            slot = slot.and_then(|slot| slot.step(text, node, &step.to));
            node = next;
        }
        (node, slot, steps.len())
    }

    /// A value that fits here, in RON; none if there is no telling.
    pub(super) fn sample(self) -> Option<String> {
        self.sample_within(0)
    }

    fn sample_within(self, depth: usize) -> Option<String> {
        if depth > MAX_DEPTH {
            return None;
        }
        let core = self.core();
        let inner = |schema| Self { schema, ..self }.sample_within(depth + 1);
        if let Some(example) = core["examples"].get(0) {
            return Some(words::value(example, false));
        }
        if self.takes_none() {
            return Some("None".into());
        }
        if self.choice().is_some() {
            return Some("Unknown".into());
        }
        if let Some(form) = self.forms().first() {
            let held = match form.held {
                Value::Null => return Some(form.name.into()),
                held => inner(held)?,
            };
            // `Form(a: 1)`, but `Form(1)`.
            let has_fields = Self { schema: form.held, ..self }.has_fields();
            return Some(if has_fields {
                form.name.to_owned() + &held
            } else {
                format!("{}({held})", form.name)
            });
        }
        if let Some(parts) = core["prefixItems"].as_array() {
            let parts: Option<Vec<String>> = parts.iter().map(inner).collect();
            return Some(format!("({})", parts?.join(", ")));
        }
        if self.is("object") {
            let field = |name| Some(format!("{name}: {}", self.field(name)?.sample_within(depth + 1)?));
            let fields: Option<Vec<String>> = self.required().map(field).collect();
            return Some(format!("({})", fields?.join(", ")));
        }
        let least = |least: f64| least.max(core["minimum"].as_f64().unwrap_or(least));
        match () {
            () if self.is("integer") => Some(format!("{}", least(1.0))),
            () if self.is("number") => Some(format!("{:?}", least(1.0))),
            () if self.is("string") => Some("\"?\"".into()),
            () if self.is("boolean") => Some("false".into()),
            () if self.is("array") => Some("[]".into()),
            () if self.is("null") => Some("()".into()),
            () => None,
        }
    }
}

/// The innermost value at the byte `at` of `text`: its path, itself, and its type if it is known.
pub(super) fn at<'n, 'a>(
    text: &str,
    root: &'n Node,
    slot: Slot<'a>,
    at: usize,
) -> (String, &'n Node, Option<Slot<'a>>) {
    let (mut path, mut node, mut slot) = (String::new(), root, Some(slot));
    let holds = |node: &Node| node.range.start <= at && at <= node.range.end;
    loop {
        let steps: Vec<To> = match &unwrap(text, node).kind {
            Kind::List(items) => (0..items.len()).map(To::Index).collect(),
            Kind::Group { fields, .. } => {
                let names = fields.iter().filter_map(|field| field.key.clone());
                let names = names.map(|key| To::Field(text[key].to_owned()));
                names.chain((0..fields.len()).map(To::Index)).collect()
            }
            _ => Vec::new(),
        };
        let next = steps.into_iter().find_map(|to| {
            let inner = child(text, node, &to).filter(|inner| holds(inner))?;
            Some((to, inner))
        });
        let Some((to, inner)) = next else { return (path, node, slot) };
        slot = slot.and_then(|slot| slot.step(text, node, &to));
        path = match &to {
            To::Field(name) => join(&path, name),
            To::Index(index) => format!("{path}[{index}]"),
        };
        node = inner;
    }
}

#[cfg(test)]
mod tests {
    use schemars::schema_for;

    use super::super::path::steps;
    use super::super::read::read;
    use super::super::scan::scan;
    use super::super::{ClusterSpec, Scenario, sample};
    use super::*;

    #[test]
    fn types_are_found_by_the_path_of_what_is_written() {
        let schema = schema_for!(Scenario);
        let root = scan(sample::TEXT).unwrap();
        for (path, name) in [
            ("seed", "whole number"),
            ("platforms[0].nodes[0].hardware", "text"),
            ("clients[0].cluster.nodes[0][1]", "whole number"),
            ("workload[0].slo.ttft", "ns(…) | us(…) | ms(…) | s(…) | min(…) | h(…)"),
            ("workload[0].arrivals", "arrival process"),
        ] {
            let (node, slot, _) =
                Slot::root(schema.as_value()).walk(sample::TEXT, &root, &steps(path).unwrap());
            assert_eq!(slot.unwrap().type_name(), name, "{path}");
            let found = at(sample::TEXT, &root, Slot::root(schema.as_value()), node.range.start + 1);
            assert!(found.0.starts_with(path), "{path}: {}", found.0);
        }
    }

    #[test]
    fn samples_fit() {
        let sample = Slot::root(schema_for!(Scenario).as_value()).sample().unwrap();
        read::<Scenario>(&sample).unwrap_or_else(|error| panic!("{sample}: {error:?}"));
        let sample = Slot::root(schema_for!(ClusterSpec).as_value()).sample().unwrap();
        assert_eq!(sample, "Take(platform: \"?\", nodes: [])");
        let sample = Slot::root(schema_for!(Option<crate::scenario::NodeSet>).as_value()).sample().unwrap();
        read::<Option<crate::scenario::NodeSet>>(&sample).unwrap();
    }
}
