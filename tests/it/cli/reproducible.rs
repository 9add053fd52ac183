//! The same scenario gives the same bytes: again, from its resolved form, and however it is run.

use super::Sandbox;

const SAME: [&str; 3] = ["summary.json", "requests.csv", "scenario.resolved.ron"];

/// Runs into `results`; the bytes that must be the same from run to run, and stdout.
fn run(sandbox: &Sandbox, scenario: &str, results: &str, more: &[&str]) -> (Vec<String>, String) {
    let args: Vec<&str> = ["run", scenario, "--results", results].iter().chain(more).copied().collect();
    let out = sandbox.ok(&args);
    (SAME.iter().map(|file| sandbox.read(&format!("{results}/{file}"))).collect(), out)
}

#[test]
fn again() {
    let sandbox = Sandbox::with_quickstart();
    assert_eq!(run(&sandbox, "quickstart.ron", "a", &[]), run(&sandbox, "quickstart.ron", "b", &[]));
}

#[test]
fn from_the_resolved_scenario() {
    let sandbox = Sandbox::with_edited("AzureConv", "Trace(path: \"trace.csv\")");
    sandbox.write_trace("trace.csv", (0..200).map(|at| format!("{},{}", at * 7 + 1, at + 1)));
    // Relative paths and overrides must be in it, so that it may lie elsewhere.
    let sets = ["--set", "seed=5", "--set", "coordinator.routing=Random"];
    let first = run(&sandbox, "quickstart.ron", "a", &sets);
    std::fs::create_dir(sandbox.path("elsewhere")).unwrap();
    sandbox.write("elsewhere/moved.ron", &first.0[2]);
    assert_eq!(run(&sandbox, "elsewhere/moved.ron", "b", &[]), first);
}

#[test]
fn whatever_runs_it() {
    let sandbox = Sandbox::with_quickstart();
    let plain = run(&sandbox, "quickstart.ron", "a", &[]);
    for more in [&["--no-strides"][..], &["--executor", "stock"], &["--executor", "stock", "--no-strides"]] {
        assert_eq!(run(&sandbox, "quickstart.ron", "b", more), plain, "{more:?}");
    }
}

#[test]
fn but_not_with_another_seed() {
    let sandbox = Sandbox::with_quickstart();
    let other = run(&sandbox, "quickstart.ron", "b", &["--set", "seed=43"]).0;
    assert_ne!(run(&sandbox, "quickstart.ron", "a", &[]).0[1], other[1]);
}
