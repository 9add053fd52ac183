//! What is found wrong in one look, and what follows from it.

use proptest::prelude::*;
use schemars::schema_for;

use super::super::read::read;
use super::super::{Scenario, sample};
use super::*;

fn look(text: &str) -> Survey<Scenario> {
    survey(text, schema_for!(Scenario).as_value(), &|text| read::<Scenario>(text))
}

/// Each message with the text it points at, after edits of the sample.
fn after(edits: &[(&str, &str)]) -> Vec<String> {
    let text = edits.iter().fold(sample::TEXT.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    });
    let survey = look(&text);
    assert!(survey.value.is_some(), "{survey:?}");
    let place = |error: &ReadError| match &error.span {
        Some(span) => text[span.clone()].to_owned(),
        None => error.path.clone(),
    };
    survey.errors.iter().map(|error| format!("{}: {}", place(error), error.message)).collect()
}

#[test]
fn all_faults_are_found_in_the_order_of_the_text() {
    let found = after(&[
        ("seed: 42", "sed: 42"),
        ("hardware: \"H100-SXM5-80GB\", count: 8", "hardware: H100, count: -8, colour: Blue"),
        ("count: 4,", "count: 4, count: 5,"),
        ("Take(", "Tale("),
        ("            name: \"chat\",\n", ""),
        ("s(1)", "0.5"),
        ("ms(50)", "per_s(-1)"),
    ]);
    assert_eq!(
        found,
        [
            "sed: unknown field `sed`",
            "platforms[0].nodes[0].hardware: expected text in quotes, found `H100`",
            "platforms[0].nodes[0].count: expected a whole number, 0 to 4294967295, found `-8`",
            "colour: unknown field `colour`",
            "count: field `count` is given twice",
            "Tale: unknown value `Tale`",
            "workload[0]: missing field `name`",
            "workload[0].slo.ttft: expected a length of time with its unit, found the number 0.5",
            "per_s: `per_s` is no unit of a length of time",
        ]
    );
}

#[test]
fn a_fault_has_no_consequences() {
    assert_eq!(after(&[("name: \"hgx\"", "nam: \"hgx\"")]), ["nam: unknown field `nam`"]);
    assert_eq!(after(&[("platforms:", "machines: 3, platfroms:")]).len(), 2);
    assert_eq!(after(&[("cluster: Take(platform: \"hgx\", nodes: [(\"gpu\", 2)])", "cluster: 3")]).len(), 1);
    assert_eq!(after(&[("(name: \"hgx\"", "Platform(name: \"hgx\"")]).len(), 1);
    assert_eq!(after(&[("s(1)", "s(-1)"), ("ms(50)", "ms(NaN)")]).len(), 2);
    assert_eq!(after(&[("slo: (ttft: s(1), tpot: ms(50)),", "slo: (tftt: s(-1),),")]).len(), 2);
    assert_eq!(after(&[("slo: (ttft: s(1), tpot: ms(50)),", "slo: (zzz: s(-1),),")]).len(), 1);
}

#[test]
fn a_fault_does_not_hide_what_follows() {
    for slo in
        ["s(1)", "3", "[ttft]", "\"x\"", "{1: 2}", "Slo", "(1)", "(1, 2)", "()()", "Some(3)", "s(1, a: 2)"]
    {
        let text = sample::with("slo: (ttft: s(1), tpot: ms(50)),", &format!("slo: {slo},"));
        let text = text.replace("seed: 42,", "").replace("    ],\n)", "    ], seed: -1,\n)");
        let Ok(_) = scan(&text) else { continue };
        let last = look(&text).errors.pop().unwrap().message;
        assert!(last.ends_with("found `-1`"), "{slo}: {last}");
    }
}

#[test]
fn what_cannot_be_mended_is_placed_in_the_text_as_given() {
    let text = sample::with("70B\",\n            requests", "70B\" requests").trim_end().to_owned() + "{";
    let [comma, rest] = look(&text).errors.try_into().unwrap();
    assert_eq!(&text[comma.span.unwrap()], "r");
    assert_eq!(&text[rest.span.unwrap()], "{");
}

#[test]
fn a_text_in_order_is_left_alone() {
    let survey = look(sample::TEXT);
    assert_eq!((survey.errors, survey.text.as_str()), (Vec::new(), sample::TEXT));
}

proptest! {
    #[test]
    fn no_mutation_makes_it_panic(
        edits in prop::collection::vec((0..sample::TEXT.len(), "[\\[\\](){},:\"'/*#rb\\\\ é1-]{0,3}", 0_usize..9), 1..6)
    ) {
        let mut text = sample::TEXT.to_owned();
        for (at, insert, delete) in edits {
            let at = text.floor_char_boundary(at);
            let end = text.ceil_char_boundary((at + delete).min(text.len()));
            text.replace_range(at..end, &insert);
        }
        let accepted = read::<Scenario>(&text).is_ok();
        let survey = look(&text);
        prop_assert_eq!(survey.errors.is_empty(), accepted);
        for error in survey.errors {
            prop_assert!(error.span.is_none_or(|span| text.get(span).is_some()));
        }
    }
}
