//! The scenarios under `scenarios/examples/`: each runs, quickly, and says what it is to show.

use std::path::PathBuf;

use super::Sandbox;

/// The verdict of each; any other must be `STABLE`.
const VERDICTS: [(&str, &str); 5] = [
    ("closed_loop", "CLOSED LOOP"),
    ("horizon", "OVERLOADED"),
    ("offline_batch", "OFFLINE"),
    ("table_iii", "TOO SHORT"),
    ("trace_native", "TOO SHORT"),
];

/// All that are there, by name: one that is added is tested.
fn examples() -> Vec<(String, PathBuf)> {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/examples")).unwrap();
    let paths = folder.map(|entry| entry.unwrap().path());
    let scenarios = paths.filter(|path| path.extension().is_some_and(|extension| extension == "ron"));
    let named = |path: PathBuf| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path);
    let mut examples: Vec<_> = scenarios.map(named).collect();
    examples.sort();
    assert!(examples.len() >= 10);
    examples
}

#[test]
fn every_example_runs_and_comes_to_its_verdict() {
    let sandbox = Sandbox::new();
    for (name, path) in examples() {
        let out = sandbox.ok(&["run", path.to_str().unwrap(), "--no-results"]);
        let verdict = VERDICTS.iter().find(|(example, _)| *example == name).map_or("STABLE", |known| known.1);
        assert!(out.starts_with(&format!("{name}\n\nVerdict       {verdict}")), "{out}");
    }
}

#[test]
fn every_example_is_short_and_can_be_checked() {
    let sandbox = Sandbox::new();
    for (name, path) in examples() {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("// ") && text.lines().count() <= 30, "{name}");
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{name}");
        let out = sandbox.ok(&["check", path.to_str().unwrap()]);
        assert!(out.starts_with(&format!("{name} is ready to run\n")), "{out}");
    }
}
