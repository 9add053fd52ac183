//! `mist run --replications`: what it prints and leaves behind, and how it ends.

use super::Sandbox;

const RUN: [&str; 4] = ["run", "quickstart.ron", "--replications", "3"];

fn with(more: &[&'static str]) -> Vec<&'static str> {
    RUN.iter().chain(more).copied().collect()
}

#[test]
fn a_table_with_intervals_and_files_with_all_of_it() {
    let sandbox = Sandbox::with_quickstart();
    let said = sandbox.mist(&RUN);
    assert_eq!(said.code, Some(0), "{}", said.err);
    for part in ["quickstart: 3 replications\n", "± 95%", "TTFT     ms p99", "Seed          42, and 2 "] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
    assert!(said.out.lines().all(|line| line.chars().count() <= 80), "{}", said.out);
    assert!(said.err.starts_with("results in results/quickstart: 3 replications in "), "{}", said.err);
    assert_eq!(
        sandbox.entries("results/quickstart"),
        ["provenance.json", "replications.csv", "replications.json", "scenario.resolved.ron"]
    );
    let provenance = sandbox.json("results/quickstart/provenance.json");
    assert_eq!((&provenance["replications"], &provenance["seed"]), (&3.into(), &42.into()));
    assert_eq!(said.out, sandbox.ok(&with(&["--quiet"])));
}

#[test]
fn rows_are_the_plain_runs_of_their_seeds() {
    let sandbox = Sandbox::with_quickstart();
    let json = sandbox.ok(&with(&["--format", "json"]));
    assert_eq!(json, sandbox.read("results/quickstart/replications.json"));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["figures"]["latency"]["ttft"]["p99_ms"]["replications"], 3);
    let rows = sandbox.read("results/quickstart/replications.csv");
    let resolved = sandbox.read("results/quickstart/scenario.resolved.ron");
    let rows: Vec<Vec<&str>> = rows.lines().map(|row| row.split(',').collect()).collect();
    let column = rows[0].iter().position(|name| *name == "latency.ttft.p99_ms").unwrap();
    assert_eq!(rows.len(), 4);
    for row in &rows[1..] {
        let seed = format!("seed={}", row[1]);
        let plain = sandbox.ok(&["run", "quickstart.ron", "--format", "json", "--set", &seed]);
        let plain: serde_json::Value = serde_json::from_str(&plain).unwrap();
        let (one, other) = (plain["latency"]["ttft"]["p99_ms"].as_f64().unwrap(), row[column]);
        // The last bit is lost where `serde_json` reads a figure.
        assert!((one - other.parse::<f64>().unwrap()).abs() <= one * f64::EPSILON, "{one}, {other}");
    }
    sandbox.ok(&["run", "quickstart.ron"]);
    assert_eq!(resolved, sandbox.read("results/quickstart/scenario.resolved.ron"));
}

#[test]
fn threads_are_not_seen() {
    let sandbox = Sandbox::with_quickstart();
    let on = |threads: &str| {
        let args = with(&["--format", "json", "--no-results"]);
        let output = sandbox.command().args(args).env("RAYON_NUM_THREADS", threads).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        output.stdout
    };
    assert_eq!(on("1"), on("4"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let sandbox = Sandbox::with_quickstart();
    let message = sandbox.refused(&with(&["--format", "vllm"]));
    assert!(message.contains("`--format vllm` holds one run only"), "{message}");
    assert!(sandbox.refused(&["run", "quickstart.ron", "--replications", "1"]).contains("2..=10000"));
}

#[test]
fn a_replication_that_fails_leaves_nothing() {
    let sandbox = Sandbox::with_edited("AzureConv", "Trace(path: \"trace.csv\")");
    sandbox.write_trace("trace.csv", ["3,many".into()]);
    let message = sandbox.refused(&RUN);
    assert!(message.contains("trace.csv:2: column `GeneratedTokens`"), "{message}");
}

#[cfg(unix)]
#[test]
fn an_interrupt_stops_all_and_leaves_nothing() {
    use std::process::{Command, Stdio};

    let sandbox = Sandbox::with_edited("requests: 5000,", "requests: 1000000000,");
    let mut child = Command::new(env!("CARGO_BIN_EXE_mist"))
        .args(RUN)
        .current_dir(sandbox.path(""))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !sandbox.path("results").exists() || sandbox.entries("results").is_empty() {
        assert_eq!(child.try_wait().unwrap(), None);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(
        (output.stdout.as_slice(), output.stderr.as_slice()),
        (&b""[..], &b"interrupted: no results\n"[..])
    );
    assert_eq!(sandbox.entries(""), ["quickstart.ron"]);
}
