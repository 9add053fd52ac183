//! `mist run --timeline`: who had whom when, and when there is too much of it.

use std::fs;

use super::Sandbox;

const NEWS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/use_cases/news_search_timeline.ron");

fn readme() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap()
}

#[test]
fn the_schedule_of_figure_1b_is_as_the_readme_prints_it() {
    let sandbox = Sandbox::new();
    let out = sandbox.ok(&["run", NEWS, "--timeline"]);
    let at = out.find("Request  stage ").unwrap();
    assert!(readme().contains(&out[at..]), "README.md should hold\n{}", &out[at..]);
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");

    let rows = sandbox.read("results/news_search_timeline/stages.csv");
    let rows: Vec<Vec<&str>> = rows.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0].join(","), "request,source,stage,client,routed_ns,started_ns,done_ns,branch");
    assert_eq!(rows.len(), 10);
    // Retrievals one after the other, on three GPUs a request each.
    for (at, row) in rows[1..].iter().enumerate() {
        let client = if at % 3 == 0 { "cpu[0]".to_owned() } else { format!("gpu[{}]", at / 3) };
        assert_eq!(
            (row[0], row[2], row[3]),
            (&*(at / 3).to_string(), ["Rag", "Prefill", "Decode"][at % 3], &*client)
        );
    }
    for pair in [[1, 4], [4, 7]] {
        assert_eq!(rows[pair[0]][6], rows[pair[1]][5], "the processor goes from one to the next");
    }
}

#[test]
fn the_quickstart_comes_to_what_the_readme_prints() {
    let quickstart = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/quickstart.ron");
    let out = Sandbox::new().ok(&["run", quickstart, "--no-results"]);
    assert!(readme().contains(&out), "README.md should hold\n{out}");
}

#[test]
fn the_breakdown_of_a_news_search_is_as_the_readme_prints_it() {
    let news = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/use_cases/news_search.ron");
    let out = Sandbox::new().ok(&["run", news, "--no-results"]);
    let (_, rest) = out.split_once("Stages (ms)").unwrap();
    let stages = format!("Stages (ms){}", rest.split("\n\n").next().unwrap());
    assert!(readme().contains(&stages), "README.md should hold\n{stages}");
}

#[test]
fn a_timeline_is_the_same_every_time() {
    let sandbox = Sandbox::new();
    let run = |more: &[&str]| sandbox.ok(&[&["run", NEWS, "--timeline", "--no-results"], more].concat());
    let out = run(&[]);
    assert_eq!(out, run(&["--executor", "stock"]));
    assert_eq!(out, run(&["--no-strides"]));
}

#[test]
fn too_many_requests_are_refused_and_the_first_of_them_shown() {
    let sandbox = Sandbox::with_quickstart();
    let err = sandbox.refused(&["run", "quickstart.ron", "--timeline"]);
    assert!(err.contains("300 requests") && err.contains("--timeline=20"), "{err}");
    let err = sandbox.refused(&["run", "quickstart.ron", "--timeline", "--format", "json"]);
    assert!(err.contains("stages.csv"), "{err}");
    let out = sandbox.ok(&["run", "quickstart.ron", "--timeline=2"]);
    assert!(
        out.contains("\n      0  Prefill               llama[0] ") && out.contains("\n      1  Prefill "),
        "{out}"
    );
    assert!(out.contains("\nP Prefill, D Decode, · waiting\n") && !out.contains("\n      2  "), "{out}");
    assert_eq!(sandbox.read("results/quickstart/stages.csv").lines().count(), 1 + 2 * 2);
    // Without being asked there is none.
    sandbox.ok(&["run", "quickstart.ron"]);
    assert!(!sandbox.path("results/quickstart/stages.csv").exists());
}

#[test]
fn branches_are_numbered() {
    let sandbox = Sandbox::with_edited(
        "requests: 5000,",
        "requests: 1, pipeline: [Prefill, Parallel(branches: [[Decode], \
         [Parallel(branches: [[ToolCall(takes: Exactly(ms(1)))], [Decode]])]])],",
    );
    let out = sandbox.ok(&["run", "quickstart.ron", "--timeline"]);
    for stage in ["  Prefill   ", "  Decode [0]   ", "  ToolCall [1.0]   ", "  Decode [1.1]   "] {
        assert!(out.contains(stage), "{stage}: {out}");
    }
    let rows = sandbox.read("results/quickstart/stages.csv");
    let mut branches: Vec<(&str, &str)> = rows
        .lines()
        .skip(1)
        .filter_map(|row| Some((row.split(',').nth(2)?, row.rsplit(',').next()?)))
        .collect();
    branches.sort_unstable();
    assert_eq!(branches, [("Decode", "0"), ("Decode", "1.1"), ("Prefill", ""), ("ToolCall", "1.0")]);
}

#[test]
fn too_many_stages_are_left_out() {
    let sandbox = Sandbox::with_quickstart();
    let out = sandbox.ok(&["run", "quickstart.ron", "--timeline", "--set", "workload[0].requests=150"]);
    assert!(
        out.ends_with("Timeline      left out: 300 stages; --timeline=20 shows the first 20 requests\n"),
        "{out}"
    );
}
