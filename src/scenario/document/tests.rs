//! Documents: the language, and faults where they lie in the text.

use proptest::prelude::*;

use super::*;
use crate::scenario::sample;

/// The message, the path and the text pointed at.
fn fail(text: &str) -> (String, String, String) {
    let unreadable = Document::parse(text, "a.ron").unwrap_err();
    let problem = &unreadable.problems[0];
    let pointed_at = match unreadable.place(problem) {
        Place::File(range) => text[range].to_owned(),
        _ => String::new(),
    };
    (problem.message.clone(), problem.path.clone(), pointed_at)
}

fn swap(from: &str, to: &str) -> (String, String, String) {
    fail(&sample::with(from, to))
}

fn found(message: &str, path: &str, pointed_at: &str) -> (String, String, String) {
    (message.into(), path.into(), pointed_at.into())
}

#[test]
fn the_file_names_the_scenario_and_its_folder() {
    let document = Document::parse(sample::TEXT, "scenarios/quick.ron").unwrap();
    assert_eq!(document.scenario.name.as_deref(), Some("quick"));
    assert!(document.base_dir.is_absolute() && document.base_dir.ends_with("scenarios"));
    assert_eq!(document.resolve_path("/abs"), Path::new("/abs"));
    assert!(document.resolve_path("trace.csv").ends_with("scenarios/trace.csv"));
}

#[test]
fn every_form_of_the_language_is_read() {
    let text = r#"(
        mist: 1, name: "quickstart", seed: 42, catalog: "my-catalog",
        platforms: [
            (name: "hgx", count: 32, nodes: [(name: "gpu", hardware: "H100-SXM5-80GB", count: 8)], price: "p5.48xlarge"),
            (name: "own", nodes: [(name: "gpu", hardware: "L40S")], usd_per_hour: 1),
        ],
        clients: [
            (name: "a", count: 128, cluster: Take(platform: "hgx", nodes: [("gpu", 2)]),
             runs: Llm(model: "m", gpu_memory_utilization: 0.9, max_model_len: None, runtime: Analytical())),
            (name: "b", cluster: Pick(["own[0].gpu[0]"]), runs: Llm()),
        ],
        coordinator: (routing: RoundRobin, latency: us(0)),
        workload: [(name: "chat", model: "m", requests: Some(5), arrivals: Poisson(rate: per_s(240)), lengths: AzureConv,
                    slo: (ttft: s(1), tpot: ms(50), e2e: None))],
        horizon: None,
    )"#;
    let scenario = Document::parse(text, "a.ron").unwrap().scenario;
    assert_eq!(check(&scenario), []);
    assert_eq!(scenario.platforms[1].usd_per_hour.unwrap().get(), 1.0);
    assert_eq!(scenario.clients[0].runs.get("runtime"), Some("Analytical()"));
    assert_eq!(scenario.workload[0].requests, Some(5));
}

#[test]
fn the_version_comes_first() {
    let newer = found("written for scenario language 2, this MIST reads 1; upgrade", "mist", "2");
    assert_eq!(fail("(mist: 2, brand_new: Field(3))"), newer);
    let missing = "the version of the scenario language is missing";
    assert_eq!(swap("mist: 1,", ""), found(missing, "", "("));
    assert_eq!(
        swap("mist: 1", "mist: one"),
        found("this is no version of the scenario language", "mist", "one")
    );
    assert_eq!(swap("mist: 1", "mist: 0").0, "this is no version of the scenario language");
}

#[test]
fn unknown_names_are_pointed_at() {
    assert_eq!(swap("platforms:", "platfroms:"), found("unknown field `platfroms`", "", "platfroms"));
    assert_eq!(swap("hardware:", "hw:"), found("unknown field `hw`", "platforms[0].nodes[0]", "hw"));
    assert_eq!(swap("Take(", "Tale ("), found("unknown value `Tale`", "clients[0].cluster", "Tale"));
    assert_eq!(
        swap("ms(50)", "msec(50)"),
        found("`msec` is no unit of a length of time", "workload[0].slo.tpot", "msec")
    );
    let help =
        Document::parse(sample::with("count: 2", "cuont: 2"), "a").unwrap_err().problems[0].help.clone();
    assert!(help.unwrap().starts_with("did you mean `count`? Allowed: "));
}

#[test]
fn bad_values_are_pointed_at() {
    let negative = "a length of time must be finite and not negative, found -50";
    assert_eq!(swap("ms(50)", "ms(-50)"), found(negative, "workload[0].slo.tpot", "ms(-50)"));
    assert_eq!(swap("s(1)", "s(NaN)").2, "s(NaN)");
    assert_eq!(
        swap("requests: 1000", "requests: \"1000\""),
        found(
            "expected a whole number, 0 to 18446744073709551615, found the text `\"1000\"`",
            "workload[0].requests",
            "\"1000\""
        )
    );
    assert_eq!(swap("count: 4", "count: -4").1, "clients[0].count");
    assert_eq!(swap("seed: 42", "seed: 99999999999999999999").2, "99999999999999999999");
    let address =
        swap("Take(platform: \"hgx\", nodes: [(\"gpu\", 2)])", "Pick([\"hgx[0].gpu[0]\", \"hgx\"])");
    assert_eq!((address.1.as_str(), address.2.as_str()), ("clients[0].cluster[1]", "\"hgx\""));
    let usd = swap("count: 2,", "count: 2, usd_per_hour: -1.5,");
    assert_eq!(
        usd,
        found("a price must be finite and not negative, found -1.5", "platforms[0].usd_per_hour", "-1.5")
    );
}

#[test]
fn problems_of_nested_choices_are_found_in_the_text() {
    let text = sample::with("Chunked(max", "Chunked /* a ( */ ( /* b */ max");
    let document = Document::parse(text.clone(), "a.ron").unwrap();
    let place = |problem: Problem| match document.place(&problem) {
        Place::File(range) => text[range].to_owned(),
        _ => String::new(),
    };
    let path = "clients[0].runs.batching";
    assert_eq!(place(Problem::new(format!("{path}.max_num_batched_tokens"), "too few")), "8192");
    assert_eq!(place(Problem::new(path, "unknown").span(0..7)), "Chunked");
    let written = "Chunked( /* b */ max_num_batched_tokens: 8192)";
    let at = written.find("max").unwrap();
    assert_eq!(place(Problem::new(path, "unknown").span(at..at + 3)), "max");
    assert_eq!(place(Problem::new("clients[0].runs.model.x", "no such thing")), "\"Llama-3.1-70B\"");
}

#[test]
fn missing_and_doubled_fields_are_named() {
    assert_eq!(swap("hardware: \"H100-SXM5-80GB\", ", "").0, "missing field `hardware`");
    assert_eq!(swap("count: 2,", "count: 2, count: 3,").0, "field `count` is given twice");
}

#[test]
fn brackets_and_commas_are_pointed_at() {
    assert_eq!(swap("mist: 1,", "mist: 1"), found("a comma is missing before this", "", "s"));
    assert_eq!(
        swap("nodes: [(\"gpu\", 2)])", "nodes: [(\"gpu\", 2)"),
        found("this bracket is never closed by `]`", "", "[")
    );
    assert_eq!(fail("(mist: 1, name: \"x)"), found("this string is never closed", "", "\""));
    assert_eq!(swap("rate: per_s(240)", "rate: per_s(240").0, "this bracket is never closed by `)`");
    assert_eq!(fail("").0, "a value is missing here");
    assert_eq!(fail("(mist: 1) (").0, "nothing may follow the last parenthesis");
    assert_eq!(fail(&"[".repeat(1_000_000)).0, "brackets are nested more than 40 deep");
    assert_eq!(
        fail(&format!("(mist: 1, seed: {}", "a(".repeat(1_000_000))).0,
        "brackets are nested more than 40 deep"
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let unreadable = Document::load(Path::new("/no/such/file.ron")).unwrap_err();
    assert!(unreadable.problems[0].message.starts_with("cannot read the scenario `/no/such/file.ron`: "));
}

proptest! {
    #[test]
    fn no_mutation_makes_it_panic(
        edits in prop::collection::vec((0..sample::TEXT.len(), "[\\[\\](){},:\"'/*#rb\\\\ é1-]{0,3}", 0_usize..9), 1..6)
    ) {
        let mut text = sample::TEXT.to_owned();
        for (at, insert, delete) in edits {
            let at = (0..=at.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap();
            let end = ((at + delete).min(text.len())..=text.len()).find(|&i| text.is_char_boundary(i)).unwrap();
            text.replace_range(at..end, &insert);
        }
        if let Err(unreadable) = Document::parse(text.clone(), "a.ron") {
            let problem = &unreadable.problems[0];
            prop_assert!(!problem.message.is_empty());
            if let Place::File(range) = unreadable.place(problem) {
                prop_assert!(text.get(range).is_some());
            }
        }
    }
}
