//! Schemas in words: the name of a type, the forms of a choice, a default, a table of fields.

use std::fmt::Write as _;

use serde_json::Value;

/// The widest line of text.
const WIDTH: usize = 104;

/// The widest label that the text beside it makes room for.
const WIDEST_LABEL: usize = 36;

/// One form of a closed choice.
pub(in crate::scenario) struct Form<'a> {
    /// Its name.
    pub(in crate::scenario) name: &'a str,
    /// The schema of what it holds; `null` for nothing.
    pub(in crate::scenario) held: &'a Value,
    /// Its doc comment.
    pub(in crate::scenario) doc: Option<&'a str>,
}

/// The forms of a closed choice.
pub(in crate::scenario) struct Forms<'a>(pub(in crate::scenario) Vec<Form<'a>>);

impl<'a> Forms<'a> {
    /// The forms that `schema` lists; none if it is no choice.
    pub(in crate::scenario) fn of(schema: &'a Value) -> Self {
        let mut forms = Vec::new();
        let bare = |name, doc| Form { name, held: &Value::Null, doc };
        let names =
            |schema: &'a Value| schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
        forms.extend(names(schema).map(|name| bare(name, None)));
        for form in schema["oneOf"].as_array().into_iter().flatten() {
            let doc = form["description"].as_str();
            forms.extend(names(form).chain(form["const"].as_str()).map(|name| bare(name, doc)));
            let held = form["properties"].as_object().into_iter().flatten();
            forms.extend(held.map(|(name, held)| Form { name, held, doc }));
        }
        Self(forms)
    }
}

/// What an optional type holds when it holds something.
pub(in crate::scenario) fn some_of(schema: &Value) -> Option<&Value> {
    let either = schema["anyOf"].as_array()?;
    match either.as_slice() {
        [some, none] if none["type"] == "null" => Some(some),
        _ => None,
    }
}

/// A type as a user would say it, `root` holding the definitions; empty for a struct on its own.
pub(in crate::scenario) fn type_name(schema: &Value, root: &Value) -> String {
    // Where the type says less than is meant, such as text that is JSON.
    if let Some(words) = schema["x-words"].as_str() {
        return words.to_owned();
    }
    if let Some(kind) = schema["x-choice"].as_str() {
        return kind.to_owned();
    }
    if let Some(definition) = definition(schema, root) {
        return match type_name(definition, root) {
            name if name.is_empty() => "(…)".to_owned(),
            name => name,
        };
    }
    if let Some(some) = some_of(schema) {
        return format!("{}, or None", type_name(some, root));
    }
    let forms = Forms::of(schema).0;
    if !forms.is_empty() {
        let forms =
            forms.iter().map(|form| form.name.to_owned() + if form.held.is_null() { "" } else { "(…)" });
        return forms.collect::<Vec<_>>().join(" | ");
    }
    if let Some(parts) = schema["prefixItems"].as_array() {
        let parts: Vec<String> = parts.iter().map(|part| type_name(part, root)).collect();
        return format!("({})", parts.join(", "));
    }
    let name = |name: &str| match name {
        "string" => "text".to_owned(),
        "integer" => "whole number".to_owned(),
        "number" => "number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "array" => format!("list of {}", type_name(&schema["items"], root)),
        _ => String::new(),
    };
    match &schema["type"] {
        Value::String(one) => name(one),
        Value::Array(several) => {
            let some = several.iter().filter_map(Value::as_str).find(|&one| one != "null");
            format!("{}, or None", some.map(name).unwrap_or_default())
        }
        _ => String::new(),
    }
}

/// What a reference refers to.
pub(in crate::scenario) fn definition<'a>(schema: &Value, root: &'a Value) -> Option<&'a Value> {
    let name = schema["$ref"].as_str()?;
    Some(&root["$defs"][name.trim_start_matches("#/$defs/")])
}

/// A default as a scenario would write it; a `choice` is written without quotes.
pub(in crate::scenario) fn value(json: &Value, choice: bool) -> String {
    match json {
        Value::Null => "None".to_owned(),
        Value::String(text) if choice => text.clone(),
        Value::String(text) => format!("{text:?}"),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| value(item, false)).collect();
            format!("[{}]", items.join(", "))
        }
        // A form of a choice: `s(0.0)`.
        Value::Object(fields) if fields.len() == 1 => {
            fields.iter().map(|(name, held)| name.clone() + "(" + &value(held, false) + ")").collect()
        }
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(name, held)| format!("{name}: {}", value(held, false))).collect();
            format!("({})", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// A doc comment as plain text: one line a paragraph, without links.
pub(in crate::scenario) fn plain(doc: &str) -> String {
    let paragraphs =
        doc.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    unlinked(&paragraphs.collect::<Vec<_>>().join("\n"))
}

/// The text without rustdoc's links, which lead nowhere outside of it: `[this](super::This)` is this, `` [`Kind::One`] ``
/// is `` `One` ``.
fn unlinked(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('[') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some((name, behind)) = rest.split_once(']').filter(|(name, _)| !name.contains('[')) else {
            plain.push('[');
            continue;
        };
        let target = behind.strip_prefix('(').and_then(|behind| behind.split_once(')'));
        match (target, name.strip_prefix('`').and_then(|name| name.strip_suffix('`'))) {
            (Some((to, _)), _) if to.starts_with("http") => plain.push('['),
            (Some((_, behind)), _) => {
                plain.push_str(name);
                rest = behind;
            }
            (None, Some(item)) => {
                let _ = write!(plain, "`{}`", item.rsplit("::").next().unwrap_or(item));
                rest = behind;
            }
            // Units: [GB/s].
            (None, None) => plain.push('['),
        }
    }
    plain + rest
}

/// The text up to the first full stop that ends a sentence.
pub(in crate::scenario) fn first_sentence(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let end = line.find(". ").map_or(line.len(), |end| end + 1);
    line[..end].to_owned()
}

/// The text in lines of readable length, indented.
pub(in crate::scenario) fn wrapped(text: &str) -> String {
    let mut out = String::new();
    for paragraph in text.lines() {
        out.push_str("    ");
        flow(&mut out, 4, paragraph);
    }
    out
}

/// A table of two columns under a title; nothing without rows.
pub(in crate::scenario) fn table(title: &str, rows: &[(String, String)]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut out = format!("\n{title}\n");
    let labels = rows.iter().map(|(label, _)| label.chars().count());
    let width = labels.filter(|width| *width <= WIDEST_LABEL).max().unwrap_or(WIDEST_LABEL);
    let column = 4 + width + 2;
    for (label, text) in rows {
        // Writing to a string cannot fail.
        let fits = label.chars().count() <= width || text.is_empty();
        let gap = if fits { String::new() } else { format!("\n{:column$}", "") };
        let _ = write!(out, "    {label:0$}{gap}", if fits { width + 2 } else { 0 });
        flow(&mut out, column, text);
    }
    out
}

/// Adds words to a line that has come to `column`, where the lines that follow begin, and ends the last.
fn flow(out: &mut String, column: usize, text: &str) {
    let mut at = column;
    for word in text.split(' ') {
        let width = word.chars().count();
        if at > column && at + 1 + width > WIDTH {
            let _ = write!(out, "\n{:column$}", "");
            at = column;
        } else if at > column {
            out.push(' ');
            at += 1;
        }
        out.push_str(word);
        at += width;
    }
    out.truncate(out.trim_end_matches(' ').len());
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_are_written_as_a_scenario_would() {
        assert_eq!(value(&json!({"s": 0.0}), false), "s(0.0)");
        assert_eq!(value(&json!({"a": 1, "b": [null, "x"]}), false), "(a: 1, b: [None, \"x\"])");
        assert_eq!(value(&json!("RoundRobin"), true), "RoundRobin");
    }

    #[test]
    fn text_is_made_plain() {
        assert_eq!(plain("One [`two`]\nthree.\n\nFour."), "One `two` three.\nFour.");
        let linked = "[this](super::This), [`That`](crate::a::That), [`Kind::One`], [GB/s], [a](https://b.c), [ and [x](y::Z)";
        assert_eq!(plain(linked), "this, `That`, `One`, [GB/s], [a](https://b.c), [ and x");
        assert_eq!(first_sentence("Up to 1.5 GiB. More."), "Up to 1.5 GiB.");
        assert!(wrapped(&"word ".repeat(60)).lines().all(|line| line.len() <= WIDTH));
        assert_eq!(wrapped("one\n\ntwo"), "    one\n\n    two\n");
    }

    #[test]
    fn a_table_wraps_beside_its_labels() {
        let row = |label: &str, text: &str| (label.to_owned(), text.to_owned());
        let long = "l".repeat(WIDEST_LABEL + 1);
        let text = table("Fields:", &[row("ab", &"word ".repeat(30)), row(&long, "below"), row("c", "")]);
        let words = |count| vec!["word"; count].join(" ");
        let lines = [words(19), words(11)];
        assert_eq!(
            text,
            format!(
                "\nFields:\n    ab  {}\n        {}\n    {long}\n        below\n    c\n",
                lines[0], lines[1]
            )
        );
        assert_eq!(table("Fields:", &[]), "");
    }
}
