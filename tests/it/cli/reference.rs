//! The reference of the language that ships is the one that the types give.

use super::Sandbox;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/REFERENCE.md");

#[test]
fn the_reference_is_up_to_date() {
    let shipped = std::fs::read_to_string(SHIPPED).unwrap_or_default();
    let printed = Sandbox::new().ok(&["reference"]);
    let differs = printed.lines().zip(shipped.lines()).find(|(printed, shipped)| printed != shipped);
    assert!(
        shipped == printed,
        "scenarios/REFERENCE.md is out of date; update it with\n\n    cargo run -- reference > scenarios/REFERENCE.md\n\n{differs:?}"
    );
}

#[test]
fn every_entry_of_the_index_leads_somewhere() {
    let text = Sandbox::new().ok(&["reference"]);
    let mut links = 0;
    for link in text.split("](#").skip(1) {
        let target = link.split(')').next().unwrap();
        assert!(text.contains(&format!("<a id=\"{target}\"></a>")), "{target}");
        links += 1;
    }
    assert!(links > 30, "{links}");
}

#[test]
fn no_links_of_the_source_are_left() {
    let text = Sandbox::new().ok(&["reference"]);
    for (at, line) in text.lines().enumerate() {
        assert!(!line.contains("](") || !line.contains("::"), "{}: {line}", at + 1);
        assert!(!line.contains("[`") || line.contains("](#"), "{}: {line}", at + 1);
    }
}

#[test]
fn a_kv_cache_has_the_precisions_that_engines_have() {
    let sandbox = Sandbox::new();
    let text = sandbox.ok(&["explain", "clients.runs.Llm.kv_cache"]);
    assert!(text.starts_with("clients.runs.Llm.kv_cache: bf16 | fp16 | fp8 | int8\n"), "{text}");
    let text = sandbox.ok(&["explain", "clients.runs.Llm.weights"]);
    assert!(text.contains("fp4 | int4\n"), "{text}");
}

#[test]
fn a_version_lists_those_that_overheads_were_fitted_on() {
    let text = Sandbox::new().ok(&["explain", "clients.runs.Llm.runtime.Empirical.version"]);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let fitted = "fitted on vLLM 0.11, 0.15, 0.19; TensorRT 1.0; NIM 1.0; SGLang 0.5.";
    assert!(text.contains(fitted), "{text}");
}
