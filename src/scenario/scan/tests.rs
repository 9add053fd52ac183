//! Shapes of texts, and faults where they lie.

use proptest::prelude::*;

use super::*;

const SAMPLE: &str = r##"#![enable(implicit_some)]
    // a ( comment
    ( mist: 1, /* b /* ) */ */ name: "a \" ( b", raw: r#"x " )"#, c: '(', q: '\'', bytes: b"]",
      list: [1, -2.5, 0..3, (1, "x"),], map: { "k": Foo, 3: Bar(1) }, unit: (), word: r#type,
      choice: Name /* gap */ ( rate: per_s(8), inner: Some([]), ), )
    "##;

fn message(text: &str) -> (String, &str) {
    let fault = scan(text).unwrap_err();
    (fault.message, &text[fault.range])
}

#[test]
fn every_form_of_ron_has_a_shape() {
    let Kind::Group { fields, .. } = scan(SAMPLE).unwrap().kind else { panic!("a group") };
    let keys: Vec<&str> = fields.iter().map(|field| &SAMPLE[field.key.clone().unwrap()]).collect();
    assert_eq!(keys, ["mist", "name", "raw", "c", "q", "bytes", "list", "map", "unit", "word", "choice"]);
    let values: Vec<&str> = fields.iter().map(|field| &SAMPLE[field.value.range.clone()]).collect();
    assert_eq!(values[1..4], ["\"a \\\" ( b\"", "r#\"x \" )\"#", "'('"]);
    assert_eq!(values[10], "Name /* gap */ ( rate: per_s(8), inner: Some([]), )");
}

#[test]
fn what_is_not_closed_is_pointed_at() {
    assert_eq!(message("(a: [1, 2)"), ("this bracket is never closed by `]`".into(), "["));
    assert_eq!(message("(a: 1"), ("this bracket is never closed by `)`".into(), "("));
    assert_eq!(message("(a: \"x)"), ("this string is never closed".into(), "\""));
    assert_eq!(message("(a: 1 b: 2)"), ("a comma is missing before this".into(), "b"));
    assert_eq!(message("/* (a: 1)"), ("this comment is never closed".into(), "/*"));
    assert_eq!(message("(a: 1) x"), ("nothing may follow the last parenthesis".into(), "x"));
    assert_eq!(message("(a: )"), ("a value is missing here".into(), ")"));
    assert_eq!(message(""), ("a value is missing here".into(), ""));
}

#[test]
fn deep_nesting_is_refused_before_the_stack_is() {
    for open in ["(", "[", "{", "a(", "(a: "] {
        let fault = scan(&open.repeat(100_000)).unwrap_err();
        assert!(fault.too_deep, "{open}");
    }
    assert!(scan(&format!("{}1{}", "[".repeat(30), "]".repeat(30))).is_ok());
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".*") {
        let _ = scan(&text);
    }

    #[test]
    fn no_mutation_makes_it_panic(
        edits in prop::collection::vec((0..SAMPLE.len(), "[\\[\\](){},:\"'/*#rb\\\\ é1]{0,3}", 0_usize..4), 0..8)
    ) {
        let mut text = SAMPLE.to_owned();
        for (at, insert, delete) in edits {
            let at = (0..=at.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap();
            let end = (at + delete).min(text.len());
            let end = (end..=text.len()).find(|&i| text.is_char_boundary(i)).unwrap();
            text.replace_range(at..end, &insert);
        }
        if let Err(fault) = scan(&text) {
            prop_assert!(text.get(fault.range).is_some());
        }
    }
}
