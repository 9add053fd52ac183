//! Lays RON out for readers: one line where it fits, otherwise one field a line.

use super::scan::{Fault, Field, Kind, Node, scan};

/// The widest line that holds several fields.
const WIDTH: usize = 100;

/// Lays out `text`, whose comments are left out; the outermost fields have a line each.
///
/// # Errors
/// What makes `text` no RON.
pub(super) fn lay_out(text: &str) -> Result<String, Fault> {
    let root = scan(text)?;
    let mut out = String::new();
    write(text, &root, 0, true, &mut out);
    out.push('\n');
    Ok(out)
}

/// Writes `node` at the given depth; `used` columns of its line are taken already.
fn write(text: &str, node: &Node, depth: usize, broken: bool, out: &mut String) {
    let used = out.len() - out.rfind('\n').map_or(0, |at| at + 1);
    let line = one_line(text, node);
    if !broken && used + line.chars().count() < WIDTH {
        out.push_str(&line);
        return;
    }
    match &node.kind {
        Kind::Scalar => out.push_str(&line),
        Kind::Group { name, fields, .. } => {
            out.push_str(&text[name.clone()]);
            lines(['(', ')'], fields, depth, out, |field, out| {
                out.push_str(&key(text, field));
                write(text, &field.value, depth + 1, false, out);
            });
        }
        Kind::List(items) => {
            lines(['[', ']'], items, depth, out, |item, out| write(text, item, depth + 1, false, out));
        }
        Kind::Map(entries) => lines(['{', '}'], entries, depth, out, |(key, value), out| {
            out.push_str(&one_line(text, key));
            out.push_str(": ");
            write(text, value, depth + 1, false, out);
        }),
    }
}

/// Writes each item on a line of its own.
fn lines<T>(
    [open, close]: [char; 2],
    items: &[T],
    depth: usize,
    out: &mut String,
    item: impl Fn(&T, &mut String),
) {
    out.push(open);
    for each in items {
        out.push('\n');
        out.extend(std::iter::repeat_n("    ", depth + 1));
        item(each, out);
        out.push(',');
    }
    if !items.is_empty() {
        out.push('\n');
        out.extend(std::iter::repeat_n("    ", depth));
    }
    out.push(close);
}

fn key(text: &str, field: &Field) -> String {
    field.key.as_ref().map_or_else(String::new, |key| format!("{}: ", &text[key.clone()]))
}

fn one_line(text: &str, node: &Node) -> String {
    let joined = |items: Vec<String>| items.join(", ");
    match &node.kind {
        Kind::Scalar => text[node.range.clone()].to_owned(),
        Kind::Group { name, fields, .. } => {
            let fields = fields.iter().map(|field| key(text, field) + &one_line(text, &field.value));
            format!("{}({})", &text[name.clone()], joined(fields.collect()))
        }
        Kind::List(items) => format!("[{}]", joined(items.iter().map(|item| one_line(text, item)).collect())),
        Kind::Map(entries) => {
            let entries =
                entries.iter().map(|(key, value)| one_line(text, key) + ": " + &one_line(text, value));
            format!("{{{}}}", joined(entries.collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_values_stay_on_a_line() {
        let text = "(a:1,b:[(x:1,y:Foo(2)),(x:3)],c:(),d:{\"k\":1})";
        let laid_out =
            "(\n    a: 1,\n    b: [(x: 1, y: Foo(2)), (x: 3)],\n    c: (),\n    d: {\"k\": 1},\n)\n";
        assert_eq!(lay_out(text).unwrap(), laid_out);
    }

    #[test]
    fn long_values_are_broken_and_layout_is_stable() {
        let long = "x".repeat(60);
        let text = format!("(a: [(b: \"{long}\", c: \"{long}\"), 3])");
        let once = lay_out(&text).unwrap();
        assert!(once.contains("\n        (\n            b: "), "{once}");
        assert_eq!(lay_out(&once).unwrap(), once);
    }
}
