//! The results folder: what is in it, when it is replaced, that it is whole or not there.

use super::Sandbox;

#[test]
fn results_lie_under_the_name_of_the_scenario() {
    let sandbox = Sandbox::with_quickstart();
    sandbox.ok(&["run", "quickstart.ron", "--set", "name=other"]);
    assert_eq!(sandbox.entries("results"), ["other"]);
    let files = ["provenance.json", "requests.csv", "scenario.resolved.ron", "summary.json"];
    assert_eq!(sandbox.entries("results/other"), files);
    let rows = sandbox.read("results/other/requests.csv");
    assert_eq!(rows.lines().count(), 301);
    assert!(rows.starts_with("id,source,client,arrived_ns,"), "{}", rows.lines().next().unwrap());
    assert!(rows.lines().nth(1).unwrap().contains(",chat,llama["));
}

#[test]
fn provenance_says_how_the_result_came_about() {
    let sandbox = Sandbox::with_quickstart();
    sandbox.ok(&["run", "quickstart.ron", "--results", "out", "--executor", "stock", "--no-strides"]);
    let provenance = sandbox.json("out/provenance.json");
    assert_eq!(provenance["mist_version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&provenance["executor"], &provenance["strides"]), (&"stock".into(), &false.into()));
    assert_eq!(provenance["seed"], 42);
    let resolved = sandbox.read("out/scenario.resolved.ron");
    assert_eq!(provenance["scenario_digest"], mist::output::digest(&resolved));
    assert_eq!(provenance["latency_sources"][0], "llama: Analytical for Llama-3.1-8B on H100-SXM5-80GB");
    for positive in ["wall_s", "ticks", "events"] {
        assert!(provenance[positive].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn a_result_is_replaced_by_the_next_and_kept_when_that_fails() {
    let sandbox = Sandbox::with_quickstart();
    sandbox.ok(&["run", "quickstart.ron"]);
    let first = sandbox.read("results/quickstart/summary.json");
    sandbox.refused(&["run", "quickstart.ron", "--set", "workload[0].requests=0"]);
    assert_eq!(sandbox.read("results/quickstart/summary.json"), first);
    sandbox.ok(&["run", "quickstart.ron", "--set", "seed=43"]);
    assert_ne!(sandbox.read("results/quickstart/summary.json"), first);
    assert_eq!(sandbox.entries("results"), ["quickstart"]);
}

#[test]
fn what_lies_beside_a_result_outlives_the_next_run() {
    let sandbox = Sandbox::with_quickstart();
    sandbox.ok(&["run", "quickstart.ron", "--results", "r"]);
    sandbox.write("r/notes.md", "mine");
    std::fs::create_dir(sandbox.path("r/plots")).unwrap();
    sandbox.ok(&["run", "quickstart.ron", "--results", "r", "--replications", "2"]);
    let ours = ["provenance.json", "replications.csv", "replications.json", "scenario.resolved.ron"];
    assert_eq!(sandbox.entries("r"), [&["notes.md", "plots"], &ours[..]].concat());
    assert_eq!(sandbox.read("r/notes.md"), "mine");
}

#[test]
fn rows_say_what_became_of_every_request() {
    let sandbox = Sandbox::with_edited("AzureConv", "Trace(path: \"trace.csv\")");
    sandbox.write_trace("trace.csv", ["9,0", "9,9", "0,9", "999999,9", "9,4000"].map(String::from));
    let out = sandbox.ok(&["run", "quickstart.ron", "--results", "r", "--set", "horizon=s(3)"]);
    assert!(out.contains("1 context_length: prompt and answer exceed max_model_len"), "{out}");
    let rows = sandbox.read("r/requests.csv");
    let status =
        |row: &str| (row.split(',').next().unwrap().to_owned(), row.rsplit(',').next().unwrap().to_owned());
    let mut said: Vec<_> = rows.lines().skip(1).map(status).collect();
    said.sort();
    let expected = ["empty_output", "completed", "empty_prompt", "context_length", "in_flight"];
    assert_eq!(said, (0..5).map(|id| (id.to_string(), expected[id].to_owned())).collect::<Vec<_>>());
}

#[test]
fn a_run_that_fails_leaves_the_results_of_others_alone() {
    let sandbox = Sandbox::with_edited("AzureConv", "Trace(path: \"trace.csv\")");
    sandbox.write_trace("trace.csv", ["3,many".into()]);
    std::fs::create_dir_all(sandbox.path("results/other")).unwrap();
    let said = sandbox.mist(&["run", "quickstart.ron"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("trace.csv:2: column `GeneratedTokens`"), "{}", said.err);
    assert_eq!(sandbox.entries("results"), ["other"]);
}

#[cfg(target_os = "linux")]
#[test]
fn results_are_kept_when_stdout_is_full() {
    let sandbox = Sandbox::with_quickstart();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_mist"))
        .args(["run", "quickstart.ron"])
        .current_dir(sandbox.path(""))
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: cannot write to stdout: "));
    assert!(sandbox.path("results/quickstart/provenance.json").exists());
}
