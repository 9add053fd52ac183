//! Traces whose rows name models and pipelines.

use std::path::Path;

use mist::metrics::RequestRecord;
use mist::simulation::Simulation;
use mist::workload::trace_tools::export;

use crate::scenarios::Rows;

const HEADER: &str = "{\"mist_trace\":1}\n";

/// A scenario of two models, whose one class of traffic is this.
fn scenario(class: &str) -> String {
    format!(
        "(mist: 1, seed: 3, \
         platforms: [(name: \"p\", nodes: [(name: \"gpu\", hardware: \"H100-SXM5-80GB\", count: 2), \
           (name: \"cpu\", hardware: \"EPYC 7763 (Milan 64c)\")], usd_per_hour: 9)], \
         clients: [(name: \"a\", cluster: Take(platform: \"p\", nodes: [(\"gpu\", 1)]), \
           runs: Llm(model: \"Qwen2.5-0.5B\")), \
           (name: \"b\", cluster: Take(platform: \"p\", nodes: [(\"gpu\", 1)]), \
           runs: Llm(model: \"Llama-3.2-1B\")), \
           (name: \"t\", cluster: Take(platform: \"p\", nodes: [(\"cpu\", 1)]), runs: Tools(workers: 2))], \
         workload: [(name: \"w\", model: \"Qwen2.5-0.5B\", {class})])"
    )
}

fn write(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    std::fs::write(folder.join(name), text).unwrap();
    folder.join(name)
}

fn run(scenario: &Path, simulation: &Simulation) -> Vec<RequestRecord> {
    let mut run = simulation.load(scenario).unwrap_or_else(|error| panic!("{error}"));
    let rows = Rows::of(&mut run);
    run.run().unwrap_or_else(|error| panic!("{error}"));
    let mut rows = rows.take();
    rows.sort_by_key(|row| row.id);
    rows
}

/// Rows a second apart, each with this beside its lengths.
fn trace(rows: &[&str]) -> String {
    let row = |(at, more): (usize, &&str)| {
        let at_ns = at as u64 * 1_000_000_000;
        format!("{{\"arrival_ns\":{at_ns},\"prompt_tokens\":100,\"output_tokens\":10{more}}}\n")
    };
    HEADER.to_owned() + &rows.iter().enumerate().map(row).collect::<String>()
}

#[test]
fn rows_go_where_their_models_and_pipelines_say() {
    let folder = tempfile::tempdir().unwrap();
    let tool =
        "{\"stage\":\"RunTool\",\"params\":{\"takes\":{\"Exactly\":{\"ms\":300}},\"adds\":{\"Exactly\":50}}}";
    let rows = [
        "",
        ",\"model\":\"Llama-3.2-1B\"",
        &format!(",\"pipeline\":[{tool},{{\"stage\":\"Prefill\"}},{{\"stage\":\"Decode\"}}]"),
        ",\"model\":\"Llama-3.2-1B\",\"pipeline\":[{\"stage\":\"Repeat\",\"params\":{\"times\":{\"Exactly\":2},\
          \"run\":[\"Prefill(model: None)\",\"Decode\"]}}]",
        ",\"model\":\"Qwen2.5-0.5B\"",
    ];
    write(folder.path(), "t.jsonl", &trace(&rows));
    let path = write(folder.path(), "s.ron", &scenario("trace: (path: \"t.jsonl\")"));
    let rows = run(&path, &Simulation::new());
    assert_eq!(rows.iter().map(|row| row.client).collect::<Vec<_>>(), [0, 1, 0, 1, 0]);
    let e2e: Vec<f64> = rows.iter().map(|row| row.done.since(row.arrived).as_secs_f64()).collect();
    assert!(e2e[0] == e2e[4] && e2e[2] > 0.3 + e2e[0] && e2e[2] < 0.4 + e2e[0], "{e2e:?}");
    assert_eq!(rows.iter().map(|row| row.generated_tokens).collect::<Vec<_>>(), [10, 10, 10, 20, 10]);
    assert_eq!(run(&path, &Simulation::new().strides(false)), rows);
    // One pipeline of several names: times are accounted under those of all.
    let outcome = Simulation::new().load(&path).unwrap().run().unwrap();
    let stages: Vec<_> = outcome.summary.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(stages, ["Prefill", "Decode", "RunTool"]);
    let total: f64 = outcome.summary.stages.iter().map(|stage| stage.mean_ms).sum();
    let mean = e2e.iter().sum::<f64>() / 5.0 * 1e3;
    assert!((total - mean).abs() < 1e-6, "{total} against {mean}");
}

#[test]
fn what_a_row_asks_for_in_vain_is_an_error_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "s.ron", &scenario("trace: (path: \"t.jsonl\")"));
    let wrong = |row: &str| {
        write(folder.path(), "t.jsonl", &trace(&["", row]));
        match Simulation::new().load(&path) {
            Err(mist::simulation::RunError::Scenario(invalid)) => format!("{:?}", invalid.problems()),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("{row} is in order"),
        }
    };
    let unserved = wrong(",\"model\":\"Llama-3.2-3B\"");
    assert!(unserved.contains("t.jsonl:3: field `model`: no client serves `Llama-3.2-3B`"), "{unserved}");
    assert!(unserved.contains("Llama-3.2-1B") && unserved.contains("workload[0].trace"), "{unserved}");
    let stage = wrong(",\"pipeline\":[{\"stage\":\"RunTol\"}]");
    assert!(stage.contains("t.jsonl:3") && stage.contains("did you mean `RunTool`"), "{stage}");
    let field = wrong(",\"pipeline\":[{\"stage\":\"RunTool\",\"params\":{\"take\":3}}]");
    assert!(field.contains("unknown field `take`") && field.contains("did you mean `takes`"), "{field}");
    let value = wrong(",\"pipeline\":[{\"stage\":\"Reason\",\"params\":{\"tokens\":{\"Exactly\":-1}}}]");
    assert!(value.contains("pipeline[0].params.tokens"), "{value}");
    let client = wrong(",\"pipeline\":[{\"stage\":\"Rag\"},{\"stage\":\"Prefill\"},{\"stage\":\"Decode\"}]");
    assert!(client.contains("no client can run `Rag`"), "{client}");
    let empty =
        wrong(",\"pipeline\":[{\"stage\":\"ToolCall\",\"params\":{\"takes\":{\"Exactly\":{\"s\":1}}}}]");
    assert!(empty.contains("without an output"), "{empty}");
}

/// Words of a recorded service stand for nothing here: the class's model serves.
#[test]
fn foreign_models_are_left_to_the_class() {
    let folder = tempfile::tempdir().unwrap();
    let csv = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n\
        5,ChatGPT,472,18,490,API log\n6,GPT-4,87,20,107,API log\n";
    write(folder.path(), "t.csv", csv);
    let path = write(folder.path(), "s.ron", &scenario("trace: (path: \"t.csv\")"));
    let recorded = run(&path, &Simulation::new());
    assert!(recorded.len() == 2 && recorded.iter().all(|row| row.client == 0));
    // Exported, they are models that this deployment serves.
    let mut out = Vec::new();
    export(&mut Simulation::new().traffic(&path).unwrap().sources()[0], None, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("\"model\":\"Qwen2.5-0.5B\"") && !text.contains("GPT"), "{text}");
}

#[test]
fn what_is_exported_is_replayed_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let drawn = "requests: 60, arrivals: Poisson(rate: per_s(5)), lengths: AzureConv, pipeline: [\
        ChooseModel(cases: [(when: ContextTokens(below: 500), model: \"Llama-3.2-1B\")]), \
        Prefill, Reason(tokens: LogNormal(median: 40, p95: 90)), Decode, \
        Repeat(times: Geometric(mean: 2), run: [RunTool(takes: Exponential(mean: ms(40))), Prefill, Decode])]";
    let path = write(folder.path(), "s.ron", &scenario(drawn));
    let mut out = Vec::new();
    export(&mut Simulation::new().traffic(&path).unwrap().sources()[0], None, &mut out).unwrap();
    std::fs::write(folder.path().join("t.jsonl"), &out).unwrap();
    let again = write(folder.path(), "r.ron", &scenario("trace: (path: \"t.jsonl\")"));
    let rows = run(&path, &Simulation::new());
    assert_eq!(rows.len(), 60);
    assert_eq!(run(&again, &Simulation::new()), rows);
    let mut twice = Vec::new();
    export(&mut Simulation::new().traffic(&again).unwrap().sources()[0], None, &mut twice).unwrap();
    assert!(twice == out, "{}", String::from_utf8_lossy(&twice));
}
