//! A place in the language: a field, a form of a closed choice or an entry of an open one.

use std::fmt::Write as _;

use serde_json::Value;

use super::Kinds;
use super::words::{self, Forms};
use crate::scenario::problem::join;

/// A place in the language, with the schema that says what may stand there.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    path: String,
    schema: &'a Value,
    /// The schema that holds the definitions.
    root: &'a Value,
    /// The doc comment, where it does not stand in the schema.
    doc: Option<&'a str>,
    /// Whether this is one form of a choice: paths may skip its name.
    entry: bool,
}

impl<'a> Place<'a> {
    /// The top level of `schema`.
    pub(super) const fn root(schema: &'a Value) -> Self {
        Self { path: String::new(), schema, root: schema, doc: None, entry: false }
    }

    /// The open choice that `schema` says stands at `path`.
    pub(super) fn choice(path: &str, schema: &'a Value) -> Self {
        Self { path: path.to_owned(), ..Self::root(schema) }
    }

    /// Whether this is one form of a choice.
    pub(super) const fn is_entry(&self) -> bool {
        self.entry
    }

    /// What may follow: fields, forms of a closed choice, names of an open one.
    pub(super) fn children<'b>(&self, kinds: &'b Kinds) -> Vec<(&'b str, Place<'b>)>
    where
        'a: 'b,
    {
        if let Some(kind) = self.kind() {
            let entries = kinds.of(kind);
            let place =
                |name, schema| Place { path: join(&self.path, name), entry: true, ..Place::root(schema) };
            return entries.map(|(name, schema)| (name, place(name, schema))).collect();
        }
        let core = self.core();
        let place = |name: &str, schema, doc, entry| Place {
            path: join(&self.path, name),
            schema,
            root: self.root,
            doc,
            entry,
        };
        let fields = core["properties"].as_object().into_iter().flatten();
        let fields = fields.map(|(name, schema)| (name.as_str(), place(name, schema, None, false)));
        let forms = Forms::of(core).0.into_iter();
        let forms = forms.map(|form| (form.name, place(form.name, form.held, form.doc, true)));
        fields.chain(forms).collect()
    }

    /// All that is said of the place.
    pub(super) fn text(&self, kinds: &Kinds) -> String {
        let mut text = match (self.path.as_str(), self.type_name()) {
            ("", _) => "a scenario\n".to_owned(),
            (path, name) if name.is_empty() => format!("{path}\n"),
            (path, name) => format!("{path}: {name}\n"),
        };
        let description = self.description();
        if !description.is_empty() {
            text.push('\n');
            text.push_str(&words::wrapped(&description));
        }
        let default = &self.schema["default"];
        let has_fields = self.core()["properties"].is_object();
        // A struct's default is that of its fields.
        if !default.is_null() && !has_fields && !description.contains("Default:") {
            let _ = writeln!(text, "    Default: {}.", words::value(default, self.kind().is_some()));
        }
        let rows: Vec<(String, String)> = self
            .children(kinds)
            .into_iter()
            .map(|(name, child)| (child.label(name), words::first_sentence(&child.description())))
            .collect();
        let title = match self.kind() {
            Some(kind) => format!("Each {kind}:"),
            None if has_fields => "Fields:".to_owned(),
            None => "One of:".to_owned(),
        };
        text.push_str(&words::table(&title, &rows));
        text
    }

    /// The doc comment, or the one of the type.
    pub(super) fn description(&self) -> String {
        let own = self.doc.or_else(|| self.schema["description"].as_str());
        words::plain(own.or_else(|| self.core()["description"].as_str()).unwrap_or_default())
    }

    /// How the place is written in a list: `name: type`, or a form of a choice.
    fn label(&self, name: &str) -> String {
        match self.type_name() {
            held if held.is_empty() => name.to_owned(),
            held if self.entry => format!("{name}({held})"),
            held => format!("{name}: {held}"),
        }
    }

    /// The path of the place.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Whether the field `name` must be written.
    pub(super) fn requires(&self, name: &str) -> bool {
        self.core()["required"].as_array().into_iter().flatten().any(|required| required == name)
    }

    /// Whether this form of a choice holds nothing.
    pub(super) fn is_bare(&self) -> bool {
        self.schema.is_null()
    }

    /// Whether there are fields inside, or forms that hold some.
    pub(super) fn has_structure(&self) -> bool {
        let core = self.core();
        let forms = Forms::of(core).0;
        core["properties"].is_object()
            || (self.quantity().is_none() && forms.iter().any(|form| !form.held.is_null()))
    }

    /// Whether `None` may stand here.
    pub(super) fn takes_none(&self) -> bool {
        words::some_of(self.schema).is_some()
    }

    /// Whether this is a list.
    pub(super) fn is_list(&self) -> bool {
        self.schema["type"] == "array"
    }

    /// What stands here if nothing is written; empty for nothing worth saying.
    pub(super) fn default(&self) -> String {
        let default = &self.schema["default"];
        if self.core()["properties"].is_object() && default.is_object() {
            return "that of its fields".to_owned();
        }
        match default {
            Value::Null => "`None`".to_owned(),
            default => format!("`{}`", words::value(default, self.kind().is_some())),
        }
    }

    /// The quantity that stands here: its name, and its units with what they are.
    pub(super) fn quantity(&self) -> Option<(String, Vec<(String, String)>)> {
        let core = self.core();
        let name = core["x-what"].as_str()?;
        let name = name.strip_prefix("a ").unwrap_or(name).to_owned();
        let unit = |form: &words::Form| {
            let meaning = form.doc.unwrap_or_default().trim_end_matches('.').to_owned();
            (form.name.to_owned(), meaning)
        };
        Some((name, Forms::of(core).0.iter().map(unit).collect()))
    }

    pub(super) fn type_name(&self) -> String {
        words::type_name(self.schema, self.root)
    }

    /// The kind of open choice that stands here.
    pub(super) fn kind(&self) -> Option<&'a str> {
        let kind = |schema: &'a Value| schema["x-choice"].as_str();
        kind(self.schema).or_else(|| kind(self.core()))
    }

    /// The schema itself, behind references, options and lists.
    fn core(&self) -> &'a Value {
        let mut schema = self.schema;
        // Bounded, should a schema ever refer to itself.
        for _ in 0..16 {
            let next = words::definition(schema, self.root).or_else(|| words::some_of(schema));
            let next = next.unwrap_or(&schema["items"]);
            if !next.is_object() {
                break;
            }
            schema = next;
        }
        schema
    }
}
