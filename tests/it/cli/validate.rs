//! `mist validate`: runs of one's own, and those of the paper that ship; whole steps of one's own, calibrated and used.

use std::fmt::Write as _;

use super::Sandbox;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/validation");

#[test]
fn the_validation_scenarios_print_predictions() {
    let sandbox = Sandbox::new();
    let table = sandbox.ok(&["validate", SHIPPED, "--every", "11"]);
    let lines: Vec<&str> =
        table.lines().filter(|line| line.contains(" chunk ") || line.contains("5/s")).collect();
    assert_eq!(lines.len(), 6, "{table}");
    assert!(table.contains("runtime   as the scenarios name it"), "{table}");
    for name in ["offline_llama70b_8xh100", "sharegpt_llama70b_8xh100", "sharegpt_qwen32b_2xl40s"] {
        let run = sandbox.ok(&["run", &format!("{SHIPPED}/{name}.ron"), "--format", "json", "--no-results"]);
        let run: serde_json::Value = serde_json::from_str(&run).unwrap();
        assert_eq!(run["requests"]["arrived"], run["requests"]["completed"], "{name}");
        assert!(std::fs::read_to_string(format!("{SHIPPED}/runs.csv")).unwrap().contains(name));
    }
}

#[test]
fn what_was_measured_of_a_run_is_compared() {
    let sandbox = Sandbox::with_quickstart();
    let head = "run,scenario,set,makespan_s,ttft_ms,tpot_ms,e2e_ms,out_tok_s\n";
    let row =
        |measured: &str| format!("{head}few,quickstart.ron,seed=7; workload[0].requests=50,{measured}\n");
    let place = sandbox.path("");
    let folder = place.to_str().unwrap();
    sandbox.write("runs.csv", &row("2.5,,10,,"));
    let json = sandbox.ok(&["validate", folder, "runs", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let figures = json[0]["predictions"][0]["figures"].as_array().unwrap();
    assert_eq!((figures.len(), &figures[0][2], &figures[1][2]), (5, &2.5.into(), &serde_json::Value::Null));
    let points = json[0]["points"].as_array().unwrap();
    assert_eq!(points.len(), 2);
    assert_eq!((&points[0]["load"], &points[0]["predicted"]), (&50.0.into(), &figures[0][1]));

    for (measured, complaint) in [
        ("2.5,fast,,,", "column `ttft_ms`: expected a number"),
        ("0,,,,", "column `makespan_s`: nothing takes 0"),
    ] {
        sandbox.write("runs.csv", &row(measured));
        let said = sandbox.refused(&["validate", folder, "runs"]);
        assert!(said.contains(complaint), "{said}");
    }
    sandbox.write("runs.csv", &row("1,,,,").replace("requests=50", "requets=50"));
    let said = sandbox.refused(&["validate", folder, "runs"]);
    assert!(said.contains("requets"), "{said}");
}

#[test]
fn what_cannot_be_judged_is_said_without_ado() {
    let nothing = Sandbox::new();
    let said = nothing.refused(&["validate", "."]);
    assert!(said.contains("it has no measurements"), "{said}");
    let said = said.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
    assert_eq!((said.matches(", ,").count(), said.matches("closed_loop_llama8b").count()), (0, 1), "{said}");

    let head = "run,scenario,set,makespan_s,ttft_ms,tpot_ms,e2e_ms,out_tok_s\n";
    let sandbox = Sandbox::with_quickstart();
    sandbox.write("runs.csv", head);
    let said = sandbox.refused(&["validate", "."]);
    assert!(said.contains("runs.csv:1: there are no rows"), "{said}");
    sandbox.write("runs.csv", &format!("{head}few,quickstart.ron,workload[0].requests=20,,,,,\n"));
    let said = sandbox.refused(&["validate", ".", "--every", "0"]);
    assert!(said.contains("--every"), "{said}");
    let said = sandbox.refused(&["validate", ".", "--runtime", "Empirical()"]);
    assert!(said.contains("--runtime does nothing here: runs is not priced with it"), "{said}");
    let page = sandbox.ok(&["validate", ".", "runs", "opsums", "--runtime", "Empirical()", "--every", "2"]);
    assert!(page.contains("runtime   as the scenarios name it, not Empirical()"), "{page}");
    assert!(page.contains("again     mist validate . runs --every 2\n"), "{page}");
    assert!(page.contains("again     mist validate . opsums --runtime 'Empirical()'\n"), "{page}");
}

#[test]
fn whole_steps_are_calibrated_and_preferred() {
    let sandbox = Sandbox::new();
    let mut text =
        "model,gpu,engine,version,tp,weights,kv_cache,stage,batch,tokens,context,time_ms\n".to_owned();
    for batch in [1, 4, 16, 64, 128] {
        for context in [256, 1024, 4096] {
            let ms = 9.0 + 0.05 * f64::from(batch) + 60e-6 * f64::from(batch * context);
            writeln!(
                text,
                "Llama-3.1-8B,H100-SXM5-80GB,vLLM,0.15,1,bf16,bf16,decode,{batch},1,{context},{ms}"
            )
            .unwrap();
        }
    }
    std::fs::create_dir(sandbox.path("measured")).unwrap();
    sandbox.write("measured/mist_steps.csv", &text);
    let fit = ["calibrate", "measured", "--gpu", "H100-SXM5-80GB", "--whole-steps", "-o", "steps.ron"];
    let table = sandbox.ok(&fit);
    assert!(table.contains("decode Llama-3.1-8B on 1") && table.contains("steps held out"), "{table}");
    let price = |runtime: &str| {
        let step = ["price", "Llama-3.1-8B", "H100-SXM5-80GB", "--decode", "64x1024"];
        let json = sandbox.ok(&[&step[..], &["--format", "json", "--runtime", runtime]].concat());
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        json["step_s"].as_f64().unwrap() * 1e3
    };
    let law = 9.0 + 0.05 * 64.0 + 60e-6 * 65536.0;
    let whole = price("Empirical(steps: \"steps.ron\")");
    assert!((whole / law - 1.0).abs() < 0.01, "{whole} for {law}");
    assert!(price("Empirical()") < 0.9 * law);
    let step = ["price", "Llama-3.1-8B", "L40S", "--decode", "64x1024"];
    let said = sandbox.refused(&[&step[..], &["--runtime", "Empirical(steps: \"steps.ron\")"]].concat());
    assert!(said.contains("they are of H100-SXM5-80GB, not of L40S"), "{said}");
}
