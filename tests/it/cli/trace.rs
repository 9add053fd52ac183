//! The replay of a real trace, on a small one of the same format.

use super::Sandbox;

/// A format, its first line, and its row of that number.
#[cfg(unix)]
type Long = (&'static str, &'static str, fn(u64) -> String);

#[cfg(unix)]
const LONG: [Long; 5] = [
    ("native", "{\"mist_trace\":1}\n", |at| {
        format!("{{\"arrival_ns\":{at},\"prompt_tokens\":{at},\"output_tokens\":9,\"session\":\"s{at}\"}}\n")
    }),
    ("azure", "TIMESTAMP,ContextTokens,GeneratedTokens\n", |at| {
        format!("2023-11-{:02} {:02}:00:00.5,{at},7\n", at / 43_000 + 1, at % 43_000 / 1_800)
    }),
    ("burstgpt", "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n", |at| {
        format!("{at}.5,GPT-4,{at},18,490,API\n")
    }),
    ("bailian", "", |at| {
        format!(
            "{{\"chat_id\":{at},\"parent_chat_id\":-1,\"timestamp\":{at},\"input_length\":30,\
             \"output_length\":7,\"type\":\"text\",\"turn\":1,\"hash_ids\":[{at},{}]}}\n",
            at * 7
        )
    }),
    ("mooncake", "", |at| {
        format!(
            "{{\"timestamp\":{at},\"input_length\":1024,\"output_length\":52,\"hash_ids\":[{at},{}]}}\n",
            at * 7
        )
    }),
];

#[cfg(unix)]
#[test]
fn a_trace_of_a_million_lines_is_streamed() {
    use std::io::{BufRead, BufReader, BufWriter, Write};
    use std::process::{Command, Stdio};

    for (format, head, row) in LONG {
        // Less address space than the program and the lines would take.
        let limited = "ulimit -v 60000; exec \"$0\" trace convert - --from \"$1\"";
        let mut child = Command::new("sh")
            .args(["-c", limited, env!("CARGO_BIN_EXE_mist"), format])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = BufWriter::new(child.stdin.take().unwrap());
        let writer = std::thread::spawn(move || {
            stdin.write_all(head.as_bytes()).unwrap();
            (0..1_000_000).for_each(|at| stdin.write_all(row(at).as_bytes()).unwrap());
        });
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().count();
        writer.join().unwrap();
        assert!(child.wait().unwrap().success(), "{format}");
        assert_eq!(lines, 1_000_001, "{format}");
    }
}

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
fn what_prompts_of_a_trace_share_is_found() {
    let sandbox = Sandbox::new();
    sandbox.write("mooncake_prefixes.ron", include_str!("../../../scenarios/mooncake_prefixes.ron"));
    let row = |ms: u32| {
        format!(
            "{{\"timestamp\": {ms}, \"input_length\": 1500, \"output_length\": 5, \"hash_ids\": [0, 1, 2]}}\n"
        )
    };
    sandbox.write("conversation_trace.jsonl", &(row(0) + &row(60_000)));
    // All full blocks of 16 tokens of the second prompt, but for the one with its last token.
    let out = sandbox.ok(&["run", "mooncake_prefixes.ron", "--set", "clients[0].count=1"]);
    assert!(out.contains("49.6% of prompt tokens found, by 50.0% of requests"), "{out}");
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
