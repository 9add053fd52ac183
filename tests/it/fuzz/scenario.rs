//! Scenarios: mutated ones that ship, ones made by a grammar, and a few that mean harm.

use std::fs;
use std::time::Duration;

use mist::scenario::{Document, Place};
use mist::simulation::{InvalidScenario, RunError, Simulation};
use proptest::prelude::Rng;
use proptest::test_runner::TestRng;

use super::{fuzz, within};
use crate::cli::mistypes::shipped;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/scenario");

/// The longest that one scenario may take, in an unoptimised build on a busy machine.
const LONGEST: Duration = Duration::from_secs(20);

/// Reads, settles and checks a scenario, and lays out whatever is wrong with it.
fn read(text: &str) {
    match Simulation::new().read(text, "/nowhere/fuzzed.ron") {
        Ok(_) => assert!(Document::parse(text, "a").is_ok()),
        Err(RunError::Scenario(invalid)) => {
            assert!(!invalid.problems().is_empty());
            let place = |problem| match &invalid {
                InvalidScenario::Unreadable(unreadable) => unreadable.place(problem),
                InvalidScenario::Wrong { document, .. } => document.place(problem),
            };
            for problem in invalid.problems() {
                if let Place::File(range) = place(problem) {
                    assert!(text.get(range).is_some(), "{problem:?}");
                }
            }
            for problem in invalid.problems() {
                assert!(!problem.message.is_empty(), "{problem:?}");
                assert!(problem.message.len() < 10_000, "{problem:?}");
            }
        }
        // A trace that is not there.
        Err(RunError::Source(_)) => {}
        Err(error) => panic!("{error}"),
    }
}

fn below(rng: &mut TestRng, most: usize) -> usize {
    (rng.next_u64() % most.max(1) as u64) as usize
}

fn pick<'a>(rng: &mut TestRng, from: &[&'a str]) -> &'a str {
    from[below(rng, from.len())]
}

/// Words that a scenario may hold, right or wrong.
const WORDS: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "'",
    "/*",
    "*/",
    "//",
    "#",
    "r#\"",
    "\\",
    "\n",
    "0",
    "-1",
    "1e999",
    "NaN",
    "inf",
    "18446744073709551615",
    "18446744073709551616",
    "4294967295",
    "4294967296",
    "1e-320",
    "0x",
    "0b1",
    "1_0",
    "None",
    "Some(",
    "()",
    "Poisson(rate: per_s(1e12))",
    "AllAtOnce",
    "ClosedLoop",
    "Trace(path: \"/dev/null\")",
    "AzureConv",
    "Normal",
    "Mixture(parts: [])",
    "Take",
    "Pick([\"hgx[0].gpu[0..4294967295]\"])",
    "Llm",
    "Chunked",
    "us(0)",
    "h(876000)",
    "h(1e300)",
    "ms(",
    "per_s(0)",
    "per_min(1e-320)",
    "count",
    "nodes",
    "name",
    "é",
    "\u{2028}",
    "\0",
    "true",
    "b\"x\"",
    "'a'",
    "1..2",
    "r#type",
    "Unknown(a: 1)",
];

/// A scenario that ships, after a few changes.
fn mutated(rng: &mut TestRng, texts: &[String]) -> String {
    let mut text = texts[below(rng, texts.len())].clone();
    for _ in 0..=below(rng, 6) {
        let at = text.floor_char_boundary(below(rng, text.len() + 1));
        match below(rng, 7) {
            0 => text.insert_str(at, pick(rng, WORDS)),
            1 => {
                let end = text.ceil_char_boundary((at + below(rng, 30)).min(text.len()));
                text.replace_range(at..end, "");
            }
            2 => {
                // A number becomes another.
                let Some(start) = text[at..].find(|c: char| c.is_ascii_digit()).map(|found| at + found)
                else {
                    continue;
                };
                let rest = &text[start..];
                let end =
                    start + rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
                let number = pick(
                    rng,
                    &[
                        "0",
                        "-1",
                        "1",
                        "4294967295",
                        "18446744073709551615",
                        "1e308",
                        "1e-308",
                        "NaN",
                        "0.5",
                        "7",
                    ],
                );
                text.replace_range(start..end, number);
            }
            3 => {
                // A piece comes twice.
                let end = text.ceil_char_boundary((at + below(rng, 200)).min(text.len()));
                let piece = text[at..end].to_owned();
                text.insert_str(at, &piece);
            }
            4 => text.truncate(at),
            5 => {
                // A value becomes another.
                let Some(start) = text[at..].find(": ").map(|found| at + found + 2) else { continue };
                let rest = &text[start..];
                let end = start + rest.find([',', ')', '\n']).unwrap_or(rest.len());
                text.replace_range(start..end, pick(rng, WORDS));
            }
            _ => {
                // A letter of a word goes.
                let Some(start) = text[at..].find(char::is_alphabetic).map(|found| at + found) else {
                    continue;
                };
                text.remove(start);
            }
        }
    }
    text
}

/// A value as RON may have it, which may be any field's.
fn value(rng: &mut TestRng, depth: usize) -> String {
    let inner = |rng: &mut TestRng| value(rng, depth + 1);
    let several = |rng: &mut TestRng| -> Vec<String> { (0..below(rng, 4)).map(|_| inner(rng)).collect() };
    match below(rng, if depth > 5 { 2 } else { 8 }) {
        0 | 1 => pick(rng, WORDS).to_owned(),
        2 => format!("[{}]", several(rng).join(", ")),
        3 => format!("({})", several(rng).join(", ")),
        4 => format!("{}({})", pick(rng, WORDS), inner(rng)),
        5 => format!("\"{}\"", pick(rng, WORDS).replace(['"', '\\'], "")),
        _ => fields(rng, depth + 1),
    }
}

fn fields(rng: &mut TestRng, depth: usize) -> String {
    const NAMES: &[&str] = &[
        "mist",
        "name",
        "seed",
        "catalog",
        "platforms",
        "clients",
        "coordinator",
        "workload",
        "horizon",
        "count",
        "nodes",
        "hardware",
        "price",
        "usd_per_hour",
        "cluster",
        "runs",
        "routing",
        "latency",
        "model",
        "requests",
        "arrivals",
        "lengths",
        "slo",
        "ttft",
        "tpot",
        "e2e",
        "tensor_parallel",
        "batching",
        "runtime",
        "rate",
        "nonsense",
    ];
    let count = below(rng, 6);
    let fields = (0..count).map(|_| format!("{}: {}", pick(rng, NAMES), value(rng, depth)));
    format!("({})", fields.collect::<Vec<_>>().join(", "))
}

/// A scenario by the grammar: the right fields at the top, anything in them.
fn made(rng: &mut TestRng) -> String {
    let mut list = |name: &str| {
        let items: Vec<String> = (0..below(rng, 3)).map(|_| fields(rng, 2)).collect();
        format!("{name}: [{}], ", items.join(", "))
    };
    let lists = ["platforms", "clients", "workload"].map(&mut list).concat();
    format!("(mist: 1, {lists} coordinator: {}, horizon: {})", fields(rng, 2), value(rng, 2))
}

/// Texts that mean harm: deep, long, huge.
fn hostile() -> Vec<String> {
    let quickstart = crate::cli::QUICKSTART;
    let with = |from: &str, to: &str| {
        assert!(quickstart.contains(from), "{from}");
        quickstart.replacen(from, to, 1)
    };
    let mut texts = Vec::new();
    for open in ["(", "[", "{", "a(", "(a: ", "Some(", "/*", "[(", "{1: ", "\"", "r#"] {
        texts.push(open.repeat(1 << 20));
        texts.push(with("requests: 5000", &format!("requests: {}", open.repeat(1 << 20))));
    }
    let long = "x".repeat(1 << 20);
    for (from, to) in [
        ("name: \"quickstart\"", format!("name: \"{long}\"")),
        ("hardware: \"H100-SXM5-80GB\"", format!("hardware: \"{long}\"")),
        ("model: \"Llama-3.1-8B\"", format!("model: \"{long}\"")),
        ("routing: LeastOutstanding", format!("routing: {long}")),
        ("requests: 5000", format!("{long}: 5000")),
        ("requests: 5000", format!("requests: {}", "9".repeat(1 << 20))),
        ("Take(platform", format!("{long}(platform")),
        ("nodes: [(\"gpu\", 1)]", format!("nodes: [{}]", "(\"gpu\", 1), ".repeat(30_000))),
        ("nodes: [(\"gpu\", 1)]", format!("nodes: [{}]", "gpu, ".repeat(30_000))),
        ("seed: 42,", "sed: 42, ".repeat(30_000)),
        ("seed: 42,", "seed: 42, ".repeat(30_000)),
        ("seed: 42,", format!("seed: 42, {}", "// x\n".repeat(300_000))),
        ("seed: 42,", " ".repeat(2 << 20)),
        ("count: 1, ", "count: 4294967295, ".into()),
        ("count: 4)]", "count: 4294967295)]".into()),
        ("count: 4, //", "count: 4294967295, //".into()),
        ("[(\"gpu\", 1)]", "[(\"gpu\", 4294967295)]".into()),
        ("requests: 5000", "requests: 18446744073709551615".into()),
        ("seed: 42", "seed: 18446744073709551615".into()),
        ("max_num_seqs: 256", "max_num_seqs: 4294967295".into()),
        ("max_num_seqs: 256", "max_num_seqs: 0".into()),
        ("max_num_seqs: 256", "max_num_seqs: 256, block_size: 0".into()),
        ("max_num_seqs: 256", "max_num_seqs: 256, block_size: 4294967295".into()),
        ("max_num_seqs: 256", "max_num_seqs: 256, max_model_len: 4294967295".into()),
        ("tensor_parallel: 1", "tensor_parallel: 0".into()),
        ("gpu_memory_utilization: 0.9", "gpu_memory_utilization: 1e308".into()),
        ("gpu_memory_utilization: 0.9", "gpu_memory_utilization: NaN".into()),
        ("max_num_batched_tokens: 8192", "max_num_batched_tokens: 0".into()),
        ("max_num_batched_tokens: 8192", "max_num_batched_tokens: 4294967295".into()),
        ("usd_per_hour: 27.52", "usd_per_hour: 1e308".into()),
        ("latency: us(200)", "latency: h(876000)".into()),
        ("per_s(70)", "per_s(1e-320)".into()),
        ("per_s(70)", "per_s(1e308)".into()),
        ("per_s(70)", "per_min(1e-320)".into()),
        (
            "lengths: AzureConv",
            format!("lengths: {}AzureConv", "Mixture(parts: [(weight: 1, lengths: ".repeat(30)),
        ),
        ("lengths: AzureConv", nested_mixture(12)),
        ("seed: 42,", "seed: 42, catalog: \"/dev\",".into()),
        ("seed: 42,", "seed: 42, catalog: \"\",".into()),
        ("lengths: AzureConv", "lengths: Trace(path: \"/dev/null\")".into()),
        ("lengths: AzureConv", "lengths: Trace(path: \"/\")".into()),
    ] {
        texts.push(with(from, &to));
    }
    texts
}

/// Mixtures of mixtures, with a slip in the innermost.
fn nested_mixture(depth: usize) -> String {
    (0..depth)
        .fold("AzureCon".to_owned(), |inner, _| format!("Mixture(parts: [(weight: 1, lengths: {inner})])"))
}

fn shipped_texts() -> Vec<String> {
    shipped().iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn what_was_found_once_is_refused_or_read() {
    let mut files: Vec<_> = fs::read_dir(CORPUS).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        println!("{}", file.display());
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        within(LONGEST, &text, &mut read);
    }
}

#[test]
fn what_means_harm_does_none() {
    for (at, text) in hostile().iter().enumerate() {
        let start = std::time::Instant::now();
        within(LONGEST, text, &mut read);
        println!("{at}: {} bytes, {:?}", text.len(), start.elapsed());
    }
}

#[test]
fn fuzz_mutated_scenarios() {
    let texts = shipped_texts();
    fuzz(|rng| mutated(rng, &texts), LONGEST, read);
}

#[test]
fn fuzz_made_scenarios() {
    fuzz(made, LONGEST, read);
}
