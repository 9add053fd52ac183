//! The replay of a real trace, on a small one of the same format.

use super::Sandbox;

#[test]
fn a_trace_is_replayed_to_the_token() {
    let sandbox = Sandbox::new();
    sandbox.write("azure_conv_trace.ron", include_str!("../../../scenarios/azure_conv_trace.ron"));
    let rows: Vec<(u64, u64)> = (0..500).map(|at| (at * 7919 % 4000 + 1, at * 104_729 % 700 + 1)).collect();
    let text = rows.iter().map(|(prompt, output)| format!("{prompt},{output}"));
    sandbox.write_trace("AzureLLMInferenceTrace_conv.csv", text);
    sandbox.ok(&["run", "azure_conv_trace.ron"]);
    let summary = sandbox.json("results/azure_conv_trace/summary.json");
    assert_eq!(summary["requests"]["completed"], 500);
    assert_eq!(summary["tokens"]["prompt_tokens"], rows.iter().map(|row| row.0).sum::<u64>());
    assert_eq!(summary["tokens"]["output_tokens"], rows.iter().map(|row| row.1).sum::<u64>());
}

#[test]
fn a_trace_elsewhere_is_named_by_set() {
    let sandbox = Sandbox::new();
    sandbox.write("azure_conv_trace.ron", include_str!("../../../scenarios/azure_conv_trace.ron"));
    sandbox.write_trace("mine.csv", ["374,44".into()]);
    let err = sandbox.refused(&["run", "azure_conv_trace.ron"]);
    assert_eq!(err.matches("error: cannot open ").count(), 1, "{err}");
    let set = "workload[0].trace.path=mine.csv";
    let out = sandbox.ok(&["run", "azure_conv_trace.ron", "--set", set, "--no-results"]);
    assert!(out.contains("1 arrived = 1 completed"), "{out}");
}

#[test]
fn a_result_says_which_trace_it_was() {
    let sandbox = Sandbox::new();
    sandbox.write("azure_conv_trace.ron", include_str!("../../../scenarios/azure_conv_trace.ron"));
    let input = || {
        sandbox.ok(&["run", "azure_conv_trace.ron"]);
        sandbox.json("results/azure_conv_trace/provenance.json")["inputs"][0].clone()
    };
    sandbox.write_trace("AzureLLMInferenceTrace_conv.csv", ["374,44".into()]);
    let before = input();
    sandbox.write_trace("AzureLLMInferenceTrace_conv.csv", ["374,45".into()]);
    let after = input();
    assert!(before["path"].as_str().is_some_and(|path| path.ends_with("conv.csv")), "{before}");
    assert_eq!(before["bytes"], after["bytes"]);
    assert_ne!(before["digest"], after["digest"]);
}
