//! The whole language on one page of Markdown, made from the types.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use schemars::schema_for;

use super::Kinds;
use super::place::Place;
use super::words;
use crate::scenario::{Scenario, VERSION};

/// The reference of the language with the open choices in `kinds`, as Markdown.
pub fn reference(kinds: &Kinds) -> String {
    let language = schema_for!(Scenario);
    let mut page = Page { kinds, index: String::new(), body: String::new(), quantities: BTreeSet::new() };
    page.index.push_str("- **Fields**\n");
    page.body.push_str("## Fields\n");
    page.section(&Place::root(language.as_value()), "The scenario", 1);
    page.index.push_str("- **Choices**\n");
    page.body.push_str(
        "\n## Choices\n\nWhere a field takes one of these kinds, the file holds a name with parameters, \
         `Name(parameter: value)`, or the name alone where every parameter has a default.\n",
    );
    for kind in kinds.names() {
        page.kind(kind);
    }
    page.quantities();
    page.files();
    let Page { index, body, .. } = page;
    format!(
        "# The scenario language, version {VERSION}\n\n\
         Every field a scenario may hold, every choice it may make, as `mist explain` tells them one by one. \
         This page is made from the types of the program by `mist reference`; do not edit it.\n\n\
         A scenario is one [RON](https://github.com/ron-rs/ron) file. Fields with a default may be left out. \
         `Some(…)` is never needed: `horizon: s(30)` or `horizon: None`.\n\n{index}\n{body}"
    )
}

struct Page<'a> {
    kinds: &'a Kinds,
    index: String,
    body: String,
    /// The quantities met: their names and their units with what these are.
    quantities: BTreeSet<(String, Vec<(String, String)>)>,
}

/// The address of a section on the page.
fn anchor(text: &str) -> String {
    text.to_lowercase().replace([' ', '.'], "-")
}

/// Text that can stand in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', "<br>").replace('<', "&lt;").replace("&lt;br>", "<br>")
}

impl Page<'_> {
    /// A heading that the index leads to.
    fn heading(&mut self, title: &str, address: &str, depth: usize) {
        let _ = writeln!(self.index, "{}- [{title}](#{address})", "  ".repeat(depth));
        let _ = write!(self.body, "\n<a id=\"{address}\"></a>\n\n{} {title}\n", "#".repeat(depth.min(3) + 2));
    }

    /// A place with fields or forms, and those inside it.
    fn section(&mut self, place: &Place, title: &str, depth: usize) {
        let address = anchor(if place.path().is_empty() { "scenario" } else { place.path() });
        self.heading(title, &address, depth);
        let description = place.description();
        if !description.is_empty() {
            let _ = write!(self.body, "\n{}\n", description.replace('\n', "\n\n"));
        }
        let children = place.children(self.kinds);
        if children.iter().any(|(_, child)| child.is_entry()) {
            self.body.push_str("\nOne of:\n\n| Form | Meaning |\n| --- | --- |\n");
            for (name, child) in &children {
                let form = if child.is_bare() { (*name).to_owned() } else { format!("{name}(…)") };
                let _ = writeln!(self.body, "| `{form}` | {} |", cell(&child.description()));
            }
        } else {
            self.fields(place);
        }
        for (_, child) in children {
            if child.has_structure() && child.kind().is_none() {
                // Inside a choice, without its kind: `ClosedLoop.think_law`.
                let path = child.path();
                let inside = self.kinds.names().find_map(|kind| path.strip_prefix(kind)?.strip_prefix('.'));
                let title = format!("`{}`", inside.unwrap_or(path));
                self.section(&child, &title, depth + 1);
            }
        }
    }

    /// The fields of a place, in a table.
    fn fields(&mut self, place: &Place) {
        let children = place.children(self.kinds);
        if children.is_empty() {
            return;
        }
        self.body.push_str("\n| Field | Takes | Default | Meaning |\n| --- | --- | --- | --- |\n");
        for (name, child) in children {
            let takes = self.takes(&child);
            let default = if place.requires(name) { "required".to_owned() } else { child.default() };
            let meaning = cell(&child.description());
            let _ = writeln!(self.body, "| `{name}` | {takes} | {} | {meaning} |", cell(&default));
        }
    }

    /// What a place takes, with a way to where that is told.
    fn takes(&mut self, place: &Place) -> String {
        if let Some(kind) = place.kind() {
            return format!("[{kind}](#{})", anchor(kind));
        }
        if let Some((name, units)) = place.quantity() {
            let list = if place.is_list() { "list of " } else { "" };
            let link = format!("{list}[{name}](#{})", anchor(&name));
            self.quantities.insert((name, units));
            return if place.takes_none() { link + ", or `None`" } else { link };
        }
        let name = place.type_name();
        if place.has_structure() {
            return format!("[{}](#{})", cell(&name), anchor(place.path()));
        }
        cell(&name)
    }

    /// A kind of open choice with all its entries.
    fn kind(&mut self, kind: &str) {
        let mut title = kind.to_owned();
        title[..1].make_ascii_uppercase();
        self.heading(&title, &anchor(kind), 1);
        let schema = serde_json::json!({ "x-choice": kind });
        let choice = Place::choice(kind, &schema);
        let entries = choice.children(self.kinds);
        self.body.push_str("\n| Name | Meaning |\n| --- | --- |\n");
        for (name, entry) in &entries {
            let meaning = words::first_sentence(&entry.description());
            let _ = writeln!(self.body, "| [`{name}`](#{}) | {} |", anchor(entry.path()), cell(&meaning));
        }
        for (name, entry) in entries {
            self.section(&entry, &format!("`{name}`"), 2);
        }
    }

    /// The files beside a scenario.
    fn files(&mut self) {
        self.index.push_str("- **Files**\n");
        self.body.push_str(
            "\n## Files\n\nA `catalog` folder holds `hardware.ron`, `models.ron` and `prices.ron`, or some of \
             them, each a list `[(…), (…)]` of the entries below; an entry of a known name replaces the built-in \
             one. A trace in MIST's own format is JSON, one object a line.\n",
        );
        for (what, entry) in self.kinds.files() {
            self.section(&Place::choice(what, entry), &format!("`{what}`"), 1);
        }
    }

    /// The quantities that fields were found to take.
    fn quantities(&mut self) {
        self.index.push_str("- **Quantities**\n");
        self.body.push_str("\n## Quantities\n\nThe unit is part of the value.\n");
        for (name, units) in std::mem::take(&mut self.quantities) {
            let mut title = name.clone();
            title[..1].make_ascii_uppercase();
            self.heading(&title, &anchor(&name), 1);
            self.body.push_str("\n| Written | Unit |\n| --- | --- |\n");
            for (unit, meaning) in units {
                let _ = writeln!(self.body, "| `{unit}(…)` | {} |", cell(&meaning));
            }
        }
    }
}
