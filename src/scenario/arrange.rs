//! What to say of values in a wrong arrangement: fields without their names, and tuples with names or in
//! another order. It is the same for every struct and every tuple of the language.

use super::locate::unwrap;
use super::scan::{Field, Kind, Node};
use super::slot::Slot;
use super::teach::{Lesson, found, lesson};

/// Longer values are not quoted in full (characters).
const LONG: usize = 24;

/// What is wrong with the arrangement of what `node` holds; `None` if that is in order.
pub(super) fn misplaced(text: &str, node: &Node, slot: Slot) -> Option<Lesson> {
    if slot.choice().is_some() {
        return None; // its parameters are looked at where its name is known
    }
    let node = unwrap(text, node);
    let inside = slot.entered(text, node)?;
    match inside.parts() {
        Some(parts) => disordered(text, node, inside, &parts),
        None if inside.has_fields() => unnamed(text, node, inside),
        None => None,
    }
}

/// A struct with values that have no names.
fn unnamed(text: &str, node: &Node, slot: Slot) -> Option<Lesson> {
    let Kind::Group { name, fields, .. } = &node.kind else { return None };
    let at = fields.iter().position(|field| field.key.is_none())?;
    if let [only] = fields.as_slice()
        && let Kind::Group { name, fields, .. } = &only.value.kind
        && name.is_empty()
        && fields.iter().all(|field| field.key.is_some())
    {
        return None; // `Form((field: value))`
    }
    if let Some(lesson) = grouped_digits(text, node, fields, at) {
        return Some(lesson);
    }
    if fields.iter().any(|field| field.key.is_some()) {
        let lesson = Lesson::new("this value stands without the name of its field".into());
        let lesson = Lesson { span: Some(fields[at].value.range.clone()), ..lesson };
        return Some(lesson.help(format!("write `name: value`; {}", listed(&slot.fields()))));
    }
    let lesson = Lesson::new("fields need their names".into());
    let (all, required) = (slot.fields(), slot.required().count());
    // Beyond those that must be written, nothing says which are meant, unless it is all of them.
    if fields.len() != required && fields.len() != all.len() {
        return Some(lesson.help(format!("write `(name: value, …)`; {}", listed(&all))));
    }
    let form = &text[name.clone()];
    let with = |value: fn(&str, &Node) -> String| {
        let named =
            all.iter().zip(fields).map(|(name, field)| format!("{name}: {}", value(text, &field.value)));
        format!("{form}({})", named.collect::<Vec<_>>().join(", "))
    };
    Some(Lesson { meant: Some(with(whole)), ..lesson.help(format!("write `{}`", with(short))) })
}

/// `requests: 1,000`.
fn grouped_digits(text: &str, node: &Node, fields: &[Field], at: usize) -> Option<Lesson> {
    let digits = |field: &Field| {
        let written = &text[field.value.range.clone()];
        written.bytes().all(|byte| byte.is_ascii_digit()).then_some(written)
    };
    let head = fields[..at].last()?;
    let groups: Vec<&Field> = fields[at..].iter().take_while(|field| field.key.is_none()).collect();
    let mut number = digits(head)?.to_owned();
    for group in &groups {
        number.push_str(digits(group).filter(|digits| digits.len() == 3)?);
    }
    let range = head.value.range.start..groups.last()?.value.range.end;
    let (before, after) = (&text[node.range.start..range.start], &text[range.end..node.range.end]);
    let meant = Some(format!("{before}{number}{after}"));
    let lesson = Lesson::new("a comma ends a number".into()).help(format!("write `{number}`"));
    Some(Lesson { meant, span: Some(range), ..lesson })
}

/// A tuple with names, or with its parts in another order or number.
fn disordered(text: &str, node: &Node, slot: Slot, parts: &[Slot]) -> Option<Lesson> {
    let (plain, values): (bool, Vec<&Node>) = match &node.kind {
        Kind::Group { name, fields, .. } => {
            let plain = name.is_empty() && fields.iter().all(|field| field.key.is_none());
            (plain, fields.iter().map(|field| &field.value).collect())
        }
        Kind::List(items) => (false, items.iter().collect()),
        Kind::Map(entries) => (false, entries.iter().map(|(_, value)| value).collect()),
        Kind::Scalar => return None,
    };
    let fits = |part: &Slot, value: &Node| lesson(text, value, *part).is_none();
    let in_place = plain && values.len() == parts.len();
    if in_place && parts.iter().zip(&values).all(|(part, value)| fits(part, value)) {
        return None;
    }
    let mut left = values.clone();
    let found_for = |part: &Slot| Some(left.remove(left.iter().position(|value| fits(part, value))?));
    let meant: Option<Vec<&Node>> = parts.iter().map(found_for).collect();
    let meant = meant.filter(|_| values.len() == parts.len());
    if in_place && meant.is_none() {
        return None; // a part is wrong, and not the arrangement
    }
    let found = match values.len() {
        1 if plain => "one value".to_owned(),
        count if plain && !in_place => format!("{count} values"),
        _ => found(text, node),
    };
    let lesson = Lesson::new(format!("expected `{}`, found {found}", slot.type_name()));
    let written =
        |values: Vec<&Node>| values.iter().map(|value| whole(text, value)).collect::<Vec<_>>().join(", ");
    Some(match (meant, slot.sample()) {
        (Some(values), _) => lesson.write(format!("({})", written(values))),
        (None, Some(sample)) => lesson.help(format!("such as `{sample}`")),
        (None, None) => lesson,
    })
}

fn listed(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("the fields are {}", names.join(", "))
}

fn whole(text: &str, node: &Node) -> String {
    text[node.range.clone()].to_owned()
}

fn short(text: &str, node: &Node) -> String {
    match &node.kind {
        _ if node.range.len() <= LONG => whole(text, node),
        Kind::List(_) => "[…]".into(),
        Kind::Map(_) => "{…}".into(),
        Kind::Group { name, .. } => format!("{}(…)", &text[name.clone()]),
        Kind::Scalar => "…".into(),
    }
}

#[cfg(test)]
mod tests {
    use schemars::{JsonSchema, schema_for};

    use super::super::scan::scan;
    use super::*;

    #[derive(JsonSchema)]
    #[allow(dead_code)]
    struct Outer {
        size: (String, u32),
        count: u32,
        #[serde(default)]
        last: Option<u32>,
    }

    /// The message and the help for `text` as an `Outer`, or else as its `size`.
    fn said(text: &str) -> Option<(String, String)> {
        let schema = schema_for!(Outer);
        let (root, slot) = (scan(text).unwrap(), Slot::root(schema.as_value()));
        let slot = if text.contains("gpu") { slot.field("size").unwrap() } else { slot };
        misplaced(text, &root, slot).map(|lesson| (lesson.message, lesson.help.unwrap_or_default()))
    }

    #[test]
    fn names_are_put_where_they_are_missing() {
        let help = |text: &str| said(text).unwrap().1;
        assert_eq!(said("(size: 3, count: 7)"), None);
        assert_eq!(help("(3, 7)"), "write `(size: 3, count: 7)`");
        assert_eq!(help("(3, 7, 9)"), "write `(size: 3, count: 7, last: 9)`");
        assert_eq!(help("(3)"), "write `(name: value, …)`; the fields are `size`, `count`, `last`");
        assert_eq!(said("(count: 1,000)"), Some(("a comma ends a number".into(), "write `1000`".into())));
        assert!(help("(count: 1, x)").starts_with("write `name: value`"));
    }

    #[test]
    fn tuples_lose_their_names_and_find_their_order() {
        assert_eq!(said("(\"gpu\", 2)"), None);
        for text in ["(name: \"gpu\", count: 2)", "(2, \"gpu\")", "[\"gpu\", 2]", "{1: \"gpu\", 2: 2}"] {
            assert_eq!(said(text).unwrap().1, "write `(\"gpu\", 2)`", "{text}");
        }
        assert_eq!(said("(\"gpu\")").unwrap().1, "such as `(\"?\", 1)`");
        assert_eq!(said("(\"gpu\", true)"), None);
    }
}
