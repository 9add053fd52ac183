//! Where in the text the value at a path lies.

use std::ops::Range;

use super::path::{Step, To, steps};
use super::scan::{Kind, Node, scan};

/// The value at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Located {
    /// The bytes of the value.
    pub(super) value: Range<usize>,
    /// For `Name (…)`: the length of the name, and the blanks between it and the parenthesis.
    gap: Option<(usize, usize)>,
}

impl Located {
    /// The bytes of the text that `span`, counted as a [`Problem`](super::Problem) does, means.
    pub(super) fn part(&self, span: &Range<usize>) -> Range<usize> {
        let shift = |at: usize| match self.gap {
            Some((name, gap)) if at > name => at + gap,
            _ => at,
        };
        let within = |at: usize| (self.value.start + shift(at)).min(self.value.end);
        within(span.start)..within(span.end).max(within(span.start))
    }

    /// The other way about: bytes of the text, counted as a problem does; `None` if outside.
    pub(super) fn count(&self, bytes: &Range<usize>) -> Option<Range<usize>> {
        let within = bytes.start >= self.value.start && bytes.end <= self.value.end;
        let count = |at: usize| {
            let at = at - self.value.start;
            match self.gap {
                Some((name, gap)) if at > name => at.saturating_sub(gap).max(name),
                _ => at,
            }
        };
        within.then(|| count(bytes.start)..count(bytes.end))
    }
}

/// Finds the value at `path`, or why it is not there: how many steps of the path could be taken.
pub(super) fn locate(text: &str, path: &str) -> Option<Located> {
    let steps = steps(path).ok()?;
    let root = scan(text).ok()?;
    let (node, taken) = walk(text, &root, &steps);
    (taken == steps.len()).then(|| located(node))
}

/// The innermost value on the way to `path` that is written in the text.
pub(super) fn nearest(text: &str, path: &str) -> Option<Located> {
    let root = scan(text).ok()?;
    let steps = steps(path).unwrap_or_default();
    let (node, taken) = walk(text, &root, &steps);
    if taken == 0 { None } else { Some(located(node)) }
}

/// Walks as far along `steps` as the text goes: the last value, and the steps taken.
pub(super) fn walk<'a>(text: &str, root: &'a Node, steps: &[Step]) -> (&'a Node, usize) {
    let mut node = root;
    for (taken, step) in steps.iter().enumerate() {
        match child(text, node, &step.to) {
            Some(next) => node = next,
            None => return (node, taken),
        }
    }
    (node, steps.len())
}

/// The names of the fields, or the number of elements, that `node` offers to a step.
pub(super) fn children(text: &str, node: &Node) -> (Vec<String>, usize) {
    match &unwrap(text, node).kind {
        Kind::Scalar => (Vec::new(), 0),
        Kind::List(items) => (Vec::new(), items.len()),
        Kind::Map(entries) => (entries.iter().map(|(key, _)| unquoted(text, key)).collect(), 0),
        Kind::Group { fields, .. } => match fields.as_slice() {
            [only] if only.key.is_none() => children(text, &only.value),
            fields => {
                let names: Vec<String> = fields
                    .iter()
                    .filter_map(|field| field.key.clone())
                    .map(|key| text[key].to_owned())
                    .collect();
                let places = fields.len() - names.len();
                (names, places)
            }
        },
    }
}

fn located(node: &Node) -> Located {
    let gap = match &node.kind {
        Kind::Group { name, open, .. } => Some((name.len(), open - name.end)),
        _ => None,
    };
    Located { value: node.range.clone(), gap }
}

/// The value one step further in.
pub(super) fn child<'a>(text: &str, node: &'a Node, to: &To) -> Option<&'a Node> {
    let node = unwrap(text, node);
    match (&node.kind, to) {
        (Kind::List(items), To::Index(index)) => items.get(*index),
        (Kind::Map(entries), To::Field(name)) => {
            entries.iter().find(|(key, _)| unquoted(text, key) == *name).map(|(_, value)| value)
        }
        (Kind::Group { fields, .. }, To::Field(name)) => {
            let named = fields.iter().find(|field| field.key.clone().is_some_and(|key| text[key] == **name));
            match (named, fields.as_slice()) {
                (Some(field), _) => Some(&field.value),
                // `Variant((a: 1))`: the path does not see the outer parentheses.
                (None, [only]) if only.key.is_none() => child(text, &only.value, to),
                _ => None,
            }
        }
        (Kind::Group { fields, .. }, To::Index(index)) => match fields.as_slice() {
            // `Pick(["a", "b"])`: nor does it here.
            [only] if only.key.is_none() && matches!(unwrap(text, &only.value).kind, Kind::List(_)) => {
                child(text, &only.value, to)
            }
            fields => fields.iter().filter(|field| field.key.is_none()).nth(*index).map(|field| &field.value),
        },
        _ => None,
    }
}

/// What `Some(…)` holds; anything else is itself.
pub(super) fn unwrap<'a>(text: &str, node: &'a Node) -> &'a Node {
    match &node.kind {
        Kind::Group { name, fields, .. } if text[name.clone()] == *"Some" => match fields.as_slice() {
            [only] if only.key.is_none() => unwrap(text, &only.value),
            _ => node,
        },
        _ => node,
    }
}

fn unquoted(text: &str, node: &Node) -> String {
    text[node.range.clone()].trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = r#"(
        // clients: [ (wrong) ]
        clients: [
            ( name: "llama", cluster: Pick(["a[0].b", "a[1].b"]), slo: Some((ttft: ms(5))),
              runs: Llm ( model: "x", nodes: [("gpu", 2)], batching: Chunked(limit: 8) ) ),
        ],
        boxed: Kind((inner: 7)), map: { "key": 3 },
    )"#;

    fn at(path: &str) -> Option<&'static str> {
        locate(TEXT, path).map(|located| &TEXT[located.value])
    }

    #[test]
    fn values_are_found_by_their_path() {
        for (path, value) in [
            ("clients[0].name", "\"llama\""),
            ("clients[0].cluster[1]", "\"a[1].b\""),
            ("clients[0].slo.ttft", "ms(5)"),
            ("clients[0].runs.nodes[0][1]", "2"),
            ("clients[0].runs.batching.limit", "8"),
            ("boxed.inner", "7"),
            ("map.key", "3"),
        ] {
            assert_eq!(at(path), Some(value), "{path}");
        }
        for path in ["clients[1]", "client", "clients[0].runs.batching.limit.x", "clients.name", "a..b"] {
            assert_eq!(at(path), None, "{path}");
        }
    }

    #[test]
    fn a_field_left_at_its_default_is_shown_at_its_owner() {
        let owner = nearest(TEXT, "clients[0].runs.batching.other").unwrap();
        assert_eq!(&TEXT[owner.value], "Chunked(limit: 8)");
        assert_eq!(nearest(TEXT, "absent"), None);
    }

    #[test]
    fn parts_of_a_choice_are_counted_without_its_blanks() {
        let runs = locate(TEXT, "clients[0].runs").unwrap();
        let written = "Llm( model";
        let part = runs.part(&(written.find("model").unwrap()..written.len()));
        assert_eq!(&TEXT[part], "model");
        assert_eq!(&TEXT[runs.part(&(0..3))], "Llm");
        assert_eq!(runs.part(&(5..9999)).end, runs.value.end);
    }

    proptest! {
        #[test]
        fn no_path_and_no_text_make_it_panic(text in "[\\[\\](){},:\"ab. ]{0,40}", path in "[ab.\\[\\]0-9]{0,12}") {
            let _ = locate(&text, &path);
            let _ = nearest(TEXT, &path);
        }
    }
}
