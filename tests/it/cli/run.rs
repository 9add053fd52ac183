//! `mist run`: what it prints, what it leaves out, how it ends.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::Sandbox;

#[test]
fn the_summary_goes_to_stdout_and_where_results_are_to_stderr() {
    let sandbox = Sandbox::with_quickstart();
    let said = sandbox.mist(&["run", "quickstart.ron"]);
    assert_eq!(said.code, Some(0));
    for part in ["quickstart\n", "300 arrived = 300 completed + 0 rejected + 0 in flight", "TTFT", "Cost"] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
    assert!(said.out.lines().all(|line| line.chars().count() <= 80), "{}", said.out);
    assert!(said.err.starts_with("results in results/quickstart: 300 requests, "), "{}", said.err);
    assert_eq!(said.err.lines().count(), 1);
}

#[test]
fn quiet_says_nothing_on_stderr() {
    let sandbox = Sandbox::with_quickstart();
    let said = sandbox.mist(&["run", "quickstart.ron", "--quiet", "--no-results"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    assert_eq!(sandbox.entries(""), ["quickstart.ron"]);
}

#[test]
fn json_is_the_summary_file() {
    let sandbox = Sandbox::with_quickstart();
    let out = sandbox.ok(&["run", "quickstart.ron", "--format", "json"]);
    assert_eq!(out, sandbox.read("results/quickstart/summary.json"));
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["requests"]["completed"], 300);
    assert!(json["latency"]["ttft"]["p99_ms"].as_f64().unwrap() > 1.0);
}

#[test]
fn vllm_has_the_keys_of_a_measured_result() {
    let sandbox = Sandbox::with_quickstart();
    let out = sandbox.ok(&["run", "quickstart.ron", "--format", "vllm", "--no-results"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&json["completed"], &json["failed"]), (&300.into(), &0.into()));
    for key in
        ["duration", "request_throughput", "mean_ttft_ms", "p99_tpot_ms", "median_itl_ms", "p90_e2el_ms"]
    {
        assert!(json[key].as_f64().is_some_and(|value| value > 0.0), "{key}: {out}");
    }
}

#[test]
fn set_changes_the_run() {
    let sandbox = Sandbox::with_quickstart();
    let sets = ["workload[0].requests=20", "workload[0].lengths=Fixed(prompt: 100, output: 10)", "seed=7"];
    let out = sandbox.ok(&[
        "run",
        "quickstart.ron",
        "--format",
        "json",
        "--set",
        sets[0],
        "--set",
        sets[1],
        "--set",
        sets[2],
    ]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["requests"]["arrived"], 20);
    assert_eq!(json["tokens"]["prompt_tokens"], 2_000);
    assert_eq!(json["tokens"]["output_tokens"], 200);
    assert_eq!(sandbox.json("results/quickstart/provenance.json")["seed"], 7);
}

#[test]
fn requests_too_long_for_a_client_are_rejected_and_the_run_goes_on() {
    let sandbox = Sandbox::with_quickstart();
    let small = "clients[0].runs.gpu_memory_utilization=0.25";
    let json = |lengths: &str, more: &str| -> serde_json::Value {
        let lengths = format!("workload[0].lengths={lengths}");
        let args =
            ["run", "quickstart.ron", "--format", "json", "--set", small, "--set", &lengths, "--set", more];
        serde_json::from_str(&sandbox.ok(&args)).unwrap()
    };
    // Prompts of 40,000 tokens in the mean: some fit the KV cache, which holds about 27,000.
    let mixed =
        json("Normal(prompt: (mean: 40000, std_dev: 20000), output: (mean: 10, std_dev: 1))", "seed=3");
    let requests = &mixed["requests"];
    let reasons = requests["rejected_by_reason"].as_object().unwrap();
    assert_eq!(reasons.keys().collect::<Vec<_>>(), ["kv_capacity"], "{requests}");
    let [completed, rejected] = ["completed", "rejected"].map(|key| requests[key].as_u64().unwrap());
    assert!(completed > 0 && rejected > 0 && completed + rejected == 300, "{requests}");
    let context = json("Fixed(prompt: 3000, output: 100)", "clients[0].runs.max_model_len=3099");
    assert_eq!(context["requests"]["rejected_by_reason"]["context_length"], 300);
    assert_eq!(context["requests"]["completed"], 0);
    let fits = json("Fixed(prompt: 3000, output: 100)", "clients[0].runs.max_model_len=3100");
    assert_eq!(fits["requests"]["completed"], 300);
}

/// Each rejection lets the next one in at the same instant.
#[test]
fn a_closed_loop_of_rejections_ends() {
    let sandbox = Sandbox::with_quickstart();
    let sets = [
        "workload[0].requests=20000",
        "workload[0].arrivals=ClosedLoop(concurrency: 1)",
        "workload[0].lengths=Fixed(prompt: 200000, output: 1)",
        "coordinator.latency=s(0)",
    ];
    let args = ["run", "quickstart.ron", "--no-results"].into_iter();
    let args: Vec<&str> = args.chain(sets.iter().flat_map(|set| ["--set", *set])).collect();
    assert!(sandbox.ok(&args).contains("20,000 arrived = 0 completed + 20,000 rejected"));
}

#[test]
fn whoever_reads_stdout_may_leave() {
    let sandbox = Sandbox::with_quickstart();
    let mut child = Command::new(env!("CARGO_BIN_EXE_mist"))
        .args(["run", "quickstart.ron"])
        .current_dir(sandbox.path(""))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{err}");
    assert!(err.starts_with("results in ") && err.lines().count() == 1, "{err}");
    assert!(sandbox.path("results/quickstart/summary.json").exists());
}

#[cfg(unix)]
#[test]
fn an_interrupt_leaves_nothing() {
    let sandbox = Sandbox::with_edited("requests: 5000,", "requests: 1000000000,");
    let mut child = Command::new(env!("CARGO_BIN_EXE_mist"))
        .args(["run", "quickstart.ron"])
        .current_dir(sandbox.path(""))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Once its folder is there it runs.
    while !sandbox.path("results").exists() || sandbox.entries("results").is_empty() {
        assert_eq!(child.try_wait().unwrap(), None);
        std::thread::sleep(Duration::from_millis(5));
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

#[test]
fn help_and_version_go_to_stdout() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.ok(&["--version"]), concat!("mist ", env!("CARGO_PKG_VERSION"), "\n"));
    for verb in ["run", "check", "explain", "list", "trace", "derive"] {
        assert!(sandbox.ok(&["--help"]).contains(&format!("\n  {verb} ")));
        assert!(sandbox.ok(&[verb, "--help"]).contains(&format!("Usage: mist {verb}")));
    }
}

#[test]
fn a_class_of_which_nothing_completes_is_part_of_the_verdict() {
    let long = "workload: [(name: \"long\", model: \"Llama-3.1-8B\", requests: 20, \
                arrivals: Poisson(rate: per_s(5)), lengths: Fixed(prompt: 200000, output: 9)),";
    let sandbox = Sandbox::with_edited("workload: [", long);
    let out = sandbox.ok(&["run", "quickstart.ron", "--set", "workload[1].requests=3000"]);
    let verdict = out.split_once("Verdict").unwrap().1.split_once("Requests").unwrap().0;
    let verdict = verdict.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(verdict, "STABLE: requests do not pile up; but NOTHING COMPLETED of `long`");
    let summary = sandbox.json("results/quickstart/summary.json");
    assert_eq!(summary["stability"]["nothing_completed_of"], serde_json::json!(["long"]));
}
