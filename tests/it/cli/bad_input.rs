//! Bad input: what is wrong, where, and what would be right; exit code 2, and nothing left behind.

use super::Sandbox;

/// What is said of the quickstart after an edit.
fn refused_with(from: &str, to: &str) -> String {
    Sandbox::with_edited(from, to).refused(&["run", "quickstart.ron"])
}

/// What is said of the quickstart with a `--set`.
fn refused_set(set: &str) -> String {
    Sandbox::with_quickstart().refused(&["run", "quickstart.ron", "--set", set])
}

#[track_caller]
fn assert_says(err: &str, parts: &[&str]) {
    for part in parts {
        assert!(err.contains(part), "`{part}` is not in:\n{err}");
    }
}

/// The line that holds `text` in the quickstart, as messages give it.
fn place(text: &str) -> String {
    let before = super::QUICKSTART.split(text).next().unwrap();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("--> quickstart.ron:{line}:{column}\n")
}

#[test]
fn an_unknown_field() {
    let err = refused_with("requests: 5000", "reqests: 5000");
    assert_says(&err, &["error: unknown field `reqests`\n", &place("requests: 5000"), "^^^^^^^\n"]);
    assert_says(&err, &["= field: workload[0]\n", "help: did you mean `requests`? Allowed: "]);
}

#[test]
fn an_unknown_model() {
    let err = refused_with("model: \"Llama-3.1-8B\",       //", "model: \"Llama-3.1-9B\",       //");
    assert_says(&err, &["error: unknown model `Llama-3.1-9B`\n", "= field: clients[0].runs.model\n"]);
    assert_says(&err, &["help: did you mean `Llama-3.1-8B`"]);
    let err = refused_set("workload[0].model=Llama-3-80B");
    assert_says(&err, &["unknown model `Llama-3-80B`", "did you mean `Llama-3-8B`"]);
    let err = refused_set("workload[0].model=Llama-3.1-70B");
    assert_says(&err, &["no client serves `Llama-3.1-70B`", "--set workload[0].model=Llama-3.1-70B"]);
}

#[test]
fn an_unknown_gpu() {
    let err = refused_with("H100-SXM5-80GB", "H100");
    assert_says(&err, &["error: unknown accelerator `H100`\n", "= field: platforms[0].nodes[0].hardware\n"]);
    assert_says(&err, &[&place("\"H100-SXM5-80GB\""), "help: did you mean `H100-SXM5-80GB`"]);
}

#[test]
fn arrivals_that_the_clock_cannot_hold() {
    let err = refused_with("per_s(70)", "per_s(5e-7)");
    assert_says(&err, &["5e-7"]);
    let slow = "workload[0].arrivals=Poisson(rate: per_s(1e-6))";
    let many = "workload[0].requests=1000000";
    let err = Sandbox::with_quickstart().refused(&["run", "quickstart.ron", "--set", slow, "--set", many]);
    assert_says(&err, &["1000000 requests take 31688 years to arrive", "field: workload[0].arrivals"]);
    let years = ["workload[0].arrivals=OnOff(on: s(1), off: h(270000), on_rate: per_s(1))"];
    assert_says(&refused_set(years[0]), &["a request arrives more than 292 years after the start"]);
}

#[test]
fn settings_that_do_not_go_together_are_shown_at_the_one_to_blame() {
    let err = Sandbox::with_edited("[(\"gpu\", 1)]", "[(\"gpu\", 3)]").refused(&[
        "run",
        "quickstart.ron",
        "--set",
        "clients[0].count=1",
        "--set",
        "clients[0].runs.tensor_parallel=3",
    ]);
    assert_says(&err, &["32 attention heads do not divide over 3", "field: clients[0].runs.tensor_parallel"]);
    let err = refused_set("clients[0].runs.weights=fp4");
    assert_says(&err, &["H100-SXM5-80GB has no fp4 arithmetic rate", "field: clients[0].runs.weights"]);
}

#[test]
fn lengths_have_one_spread() {
    let lengths = |spread: &str| {
        refused_set(&format!(
            "workload[0].lengths=Normal(prompt: (mean: 9{spread}), output: (mean: 9, variance: 4))"
        ))
    };
    let both = lengths(", std_dev: 2, variance: 4");
    assert_says(&both, &["says again what `std_dev` says", "= field: workload[0].lengths.prompt.variance\n"]);
    let neither = lengths("");
    assert_says(&neither, &["needs a `std_dev` or a `variance`", "= field: workload[0].lengths.prompt\n"]);
}

#[cfg(unix)]
#[test]
fn a_device_without_an_end() {
    let err = Sandbox::new().refused(&["check", "/dev/zero"]);
    assert_says(&err, &["cannot read the scenario `/dev/zero`: longer than 16 MiB"]);
    assert_says(&refused_set("catalog=\"/dev\""), &["/dev"]);
}

#[test]
fn unknown_policies() {
    for (set, what, meant) in [
        ("coordinator.routing=LeastOutstandin", "routing policy", "LeastOutstanding"),
        ("clients[0].runs.batching=Chunk", "batching policy", "Chunked"),
        ("clients[0].runs.runtime=Analytic", "runtime model", "Analytical"),
        ("clients[0].runs=Lm", "client kind", "Llm"),
        ("workload[0].arrivals=Poison(rate: per_s(3))", "arrival process", "Poisson"),
        ("workload[0].lengths=AzureConf", "length distribution", "AzureConv"),
    ] {
        let err = refused_set(set);
        assert_says(&err, &[&format!("error: unknown {what} `"), &format!("did you mean `{meant}`?")]);
        assert_says(&err, &[&format!("1 | --set {set}\n")]);
    }
}

#[test]
fn an_unknown_price() {
    let err = refused_with("usd_per_hour: 27.52", "price: \"p5.48xlarg\"");
    assert_says(&err, &["error: unknown price `p5.48xlarg`", "did you mean `p5.48xlarge`"]);
}

#[test]
fn rates_that_are_no_rates() {
    for rate in ["-70", "NaN", "0", "inf"] {
        let err = refused_with("per_s(70)", &format!("per_s({rate})"));
        assert_says(&err, &["error: a rate must be finite and above zero, found ", &place("per_s(70)")]);
        assert_says(&err, &["= field: workload[0].arrivals.rate\n"]);
    }
}

#[test]
fn fractions_that_are_none() {
    for (policy, watermark) in [
        ("Continuous", "-0.1"),
        ("Continuous", "1.5"),
        ("Continuous", "NaN"),
        ("Chunked", "1"),
        ("Chunked", "2"),
    ] {
        let err = refused_set(&format!("clients[0].runs.batching={policy}(watermark: {watermark})"));
        let said = format!("error: watermark must be 0 to below 1, found {watermark}");
        assert_says(&err, &[&said, "runs.batching.watermark\n"]);
    }
    let err = refused_set("clients[0].runs.gpu_memory_utilization=1.1");
    assert_says(&err, &["must be above 0 and at most 1, found 1.1", "runs.gpu_memory_utilization\n"]);
}

#[test]
fn counts_beyond_any_count() {
    let sandbox = Sandbox::with_quickstart();
    let traffic = "(name: \"a\", model: \"Llama-3.1-8B\", requests: 18446744073709551615, \
                   arrivals: Poisson(rate: per_s(1)), lengths: AzureConv)";
    let both = format!("workload=[{traffic},{}]", traffic.replace("\"a\"", "\"b\""));
    sandbox.ok(&["run", "quickstart.ron", "--set", &both, "--set", "horizon=s(1)"]);
}

#[test]
fn no_clients() {
    let err = refused_with("count: 4, // how", "count: 0, // how");
    assert_says(&err, &["error: must be at least 1, found 0\n", "= field: clients[0].count\n"]);
    assert_says(&refused_set("clients=[]"), &["error: at least one client is needed, found none\n"]);
}

#[test]
fn more_clients_than_there_are_nodes() {
    let err = refused_set("clients[0].count=5");
    assert_says(&err, &["wants 5 `gpu` nodes of platform `server`", "only 4 `gpu` are left"]);
    assert_says(&err, &["help: 4 such clients fit"]);
}

#[test]
fn a_model_that_does_not_fit_says_by_how_much_and_what_would() {
    let sandbox = Sandbox::with_quickstart();
    let both = ["clients[0].runs.model=Llama-3.1-70B", "workload[0].model=Llama-3.1-70B"];
    let err = sandbox.refused(&["run", "quickstart.ron", "--set", both[0], "--set", both[1]]);
    assert_says(&err, &["error: the model does not fit: 131.4 GiB of weights", "short by 61.6 GiB"]);
    assert_says(&err, &["tensor_parallel: 2 or 8-bit weights would fit", "= field: clients[0].runs.model\n"]);
}

#[test]
fn a_trace_that_is_not_there() {
    let err = refused_with("Poisson(rate: per_s(70))", "Trace(path: \"gone.csv\")");
    assert_says(&err, &["error: cannot open ", "gone.csv: No such file", "= field: workload[0].arrivals\n"]);
    assert_says(&err, &[&place("Poisson(rate")]);
}

#[test]
fn a_malformed_row_is_found_in_the_middle_of_the_run() {
    let sandbox = Sandbox::new();
    sandbox.write("quickstart.ron", &super::QUICKSTART.replace("AzureConv", "Trace(path: \"trace.csv\")"));
    let row = |at| if at == 150 { "many,7".to_owned() } else { format!("{at},7") };
    sandbox.write_trace("trace.csv", (0..200).map(row));
    let err = sandbox.refused(&["run", "quickstart.ron"]);
    let place = format!("error: {}:152: column `ContextTokens`: ", sandbox.path("trace.csv").display());
    assert_says(&err, &[&place, "`many`"]);
    // The same where the arrivals read it, and in its very first row.
    let arrivals = "workload[0].arrivals=Trace(path: \"trace.csv\")";
    assert_says(&sandbox.refused(&["run", "quickstart.ron", "--set", arrivals]), &[&place]);
    sandbox.write("trace.csv", "TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,1,1\n");
    let err = sandbox.refused(&["run", "quickstart.ron", "--set", arrivals]);
    assert_says(&err, &["trace.csv:2: column `TIMESTAMP`: "]);
}

#[test]
fn a_workload_without_an_end() {
    let err = refused_with("requests: 5000,", "");
    assert_says(&err, &["error: this workload never ends", "help: say how many `requests` arrive"]);
}

#[test]
fn a_scenario_of_a_newer_version() {
    let err = refused_with("mist: 1,", "mist: 2,");
    assert_says(&err, &["error: written for scenario language 2, this MIST reads 1; upgrade\n"]);
}

#[test]
fn a_scenario_that_is_none() {
    let sandbox = Sandbox::new();
    assert_says(
        &sandbox.refused(&["run", "gone.ron"]),
        &["cannot read the scenario `gone.ron`: No such file"],
    );
    assert_says(&sandbox.refused(&["check", "."]), &["cannot read the scenario `.`: "]);
    sandbox.write("a.ron", "this is prose");
    assert_says(&sandbox.refused(&["check", "a.ron"]), &["a.ron"]);
}

#[test]
fn a_set_that_sets_nothing() {
    let err = refused_set("workload[0].reqests=5");
    assert_says(&err, &["error: `workload[0]` has no field `reqests`\n", "did you mean `requests`?"]);
    assert_says(&err, &["1 | --set workload[0].reqests=5\n"]);
    assert_says(&refused_set("workload[7].requests=5"), &["`workload` has no element 7"]);
    assert_says(&refused_set("seed"), &["this sets no value", "write `--set path=value`"]);
    assert_says(
        &refused_set("seed=one"),
        &["error: expected a whole number, 0 to 18446744073709551615, found `one`", "1 | --set seed=one\n"],
    );
}

#[test]
fn a_folder_that_cannot_hold_results() {
    let sandbox = Sandbox::with_quickstart();
    let run = |results: &str| sandbox.refused(&["run", "quickstart.ron", "--results", results]);
    assert_says(&run("no/such"), &["cannot put results into no/such: no is not a folder; create it first"]);
    let file = run("quickstart.ron/results");
    assert_says(&file, &["quickstart.ron is not a folder; create it first"]);
    assert_says(&run("quickstart.ron"), &["quickstart.ron exists and is not a result of MIST"]);
    assert_says(&run(".."), &["`--results ..` does not name a folder"]);
    std::fs::create_dir_all(sandbox.path("mine/own")).unwrap();
    assert_says(&run("mine"), &["mine exists and is not a result of MIST"]);

    sandbox.write("results", "a file where the default folder should be");
    let err = sandbox.refused(&["run", "quickstart.ron"]);
    assert_says(&err, &["cannot put results into results/quickstart: results is not a folder"]);
}

#[test]
fn a_name_that_leads_out_of_the_results() {
    for name in ["../escape", "a/b", ".."] {
        let err = refused_with("name: \"quickstart\"", &format!("name: {name:?}"));
        assert_says(&err, &["cannot be the name of a results folder", "--results DIR"]);
    }
    assert_says(
        &refused_with("name: \"quickstart\"", "name: \" \""),
        &["a name is needed", "= field: name\n"],
    );
}

#[test]
fn a_catalog_that_is_none() {
    let err = refused_with("seed: 42,", "seed: 42, catalog: \"mine\",");
    assert_says(&err, &["= field: catalog\n"]);
    let sandbox = Sandbox::with_edited("seed: 42,", "seed: 42, catalog: \".\",");
    let err = sandbox.refused(&["run", "quickstart.ron"]);
    assert_says(&err, &["none of hardware.ron, models.ron and prices.ron is here"]);
}

#[test]
fn arguments_that_make_no_sense() {
    let sandbox = Sandbox::with_quickstart();
    for (args, said) in [
        (&["rum", "quickstart.ron"][..], "unrecognized subcommand 'rum'"),
        (&["run"], "<FILE>"),
        (&["run", "quickstart.ron", "--format", "xml"], "[possible values: table, json, vllm]"),
        (&["run", "quickstart.ron", "--executor", "fast"], "[possible values: gated, stock]"),
        (&["run", "quickstart.ron", "--results", "a", "--no-results"], "cannot be used with"),
        (&["run", "quickstart.ron", "--sett", "a=1"], "a similar argument exists: '--set'"),
        (&["list", "toasters"], "[possible values: hardware, models, prices, profiles]"),
    ] {
        assert_says(&sandbox.refused(args), &[said]);
    }
    assert_eq!(sandbox.mist(&[]).code, Some(2));
}

#[test]
fn what_batching_and_packing_do_not_know() {
    let err = refused_with("requests: 5000", "requests: 5000, priority: -1");
    assert_says(
        &err,
        &["has no effect: no client packs its requests by priority", "write `packing: Priority`"],
    );
    let err = refused_set("clients[0].runs.packing=LPM");
    assert_says(&err, &["unknown packing policy `LPM`", "LongestPrefixMatch"]);
    let err = refused_set("clients[0].runs.batching=Sglang");
    assert_says(&err, &["unknown batching policy `Sglang`", "did you mean `SGLang`?"]);
    let err = refused_set("clients[0].runs.batching=SGLang(schedule_conservativeness: 0)");
    assert_says(&err, &["must be above 0 and finite, found 0"]);
    let err = refused_set("clients[0].runs.batching=Chunked(reserve: Promt)");
    assert_says(&err, &["Promt", "Prompt"]);
}

#[test]
fn settings_without_effect() {
    let client = |field: &str| format!("clients[0].runs.{field}");
    let share = "has no effect: prefill and decode share their clients";
    let role = "leave it out, or give clients a `role`";
    for (field, value, said, help) in [
        ("coordinator.decode_choice", "AtArrival", share, role),
        (
            "coordinator.routing",
            "MixedPool",
            "MixedPool has nobody to borrow from: prefill and decode share their clients",
            "write `routing: TokenJsq`, or give clients a `role`",
        ),
        (&client("num_reserved_decode_tokens"), "16", share, role),
        (
            &client("packing"),
            "LongestPrefixMatch",
            "has no effect: no KV is there before a request comes",
            "write `prefix_caching: Radix` or `BlockHash`, or another `packing`",
        ),
    ] {
        let err = refused_set(&format!("{field}={value}"));
        assert_says(&err, &[&format!("error: {said}\n"), help, &format!("= field: {field}\n")]);
    }
    for batching in ["Static", "Orca"] {
        let swap = client("preemption=Swap(host_memory: gib(4))");
        let batching = format!("{}={batching}", client("batching"));
        let err = Sandbox::with_quickstart().refused(&[
            "run",
            "quickstart.ron",
            "--set",
            &swap,
            "--set",
            &batching,
        ]);
        assert_says(
            &err,
            &["has no effect: batching ", " never preempts", "= field: clients[0].runs.preemption"],
        );
    }
    let err = refused_set("clients[0].runs.packing=Priority(ageing: s(0))");
    assert_says(&err, &["ageing must be above 0, found 0 s", "= field: clients[0].runs.packing.ageing\n"]);
}

#[test]
fn settings_without_effect_where_prefill_and_decode_are_apart() {
    let path = format!("{}/scenarios/examples/disaggregated.ron", env!("CARGO_MANIFEST_DIR"));
    let sandbox = Sandbox::new();
    sandbox.write("apart.ron", &std::fs::read_to_string(path).unwrap());
    for (set, said, help) in [
        (
            "clients[0].runs.lends=true",
            "has no effect: the routing policy LeastOutstanding borrows no clients",
            "leave it out, or write `routing: MixedPool` in `coordinator`",
        ),
        (
            "clients[0].runs.num_reserved_decode_tokens=16",
            "has no effect with `role: Prefill`: no KV comes here",
            "leave it out; clients that decode have it",
        ),
        (
            "clients[1].runs.prefill_max_requests=4",
            "has no effect with `role: Decode`: its prompts are computed elsewhere",
            "leave it out",
        ),
        (
            "coordinator.routing=MixedPool",
            "MixedPool has nobody to borrow: no client lends itself",
            "write `lends: true` in clients of `role: Prefill` or `Decode`, or `routing: TokenJsq`",
        ),
        (
            "clients[0].runs.packing=LongestPrefixMatch",
            "has no effect: no KV is there before a request comes",
            "write `prefix_caching: Radix` or `BlockHash`, or another `packing`",
        ),
    ] {
        let err = sandbox.refused(&["check", "apart.ron", "--set", set]);
        let field = set.split('=').next().unwrap();
        assert_says(&err, &[said, help, &format!("= field: {field}\n")]);
    }
    let err = sandbox.refused(&["check", "apart.ron", "--set", "clients[1].runs.kv_cache=fp8"]);
    let said = "is fp8, but KV comes in bf16 from `prefill`, clients[0]";
    assert_says(&err, &[said, "such as `kv_cache: bf16`", "= field: clients[1].runs.kv_cache\n"]);
    assert_eq!(err.matches("error: ").count(), 1, "{err}");
    sandbox.ok(&["check", "apart.ron", "--set", "clients[1].runs.block_size=64"]);
    sandbox.ok(&["check", "apart.ron", "--set", "clients[1].runs.num_reserved_decode_tokens=16"]);
    sandbox.ok(&["check", "apart.ron", "--set", "clients[1].runs.packing=LongestPrefixMatch"]);
    let err = sandbox.refused(&["check", "apart.ron", "--set", "clients[0].runs.role=Both"]);
    let (said, help) =
        ("has nothing to do: those of `role: Both` decode what they prefill", "`role: Prefill`");
    assert_says(&err, &[said, help, "= field: clients[1].runs.role\n"]);
}

#[test]
fn what_is_wrong_with_how_a_trace_is_read() {
    let (before, rest) = super::QUICKSTART.split_once("requests: 5000,").unwrap();
    let after = rest.split_once("slo: (").unwrap().1;
    let sandbox = Sandbox::new();
    sandbox.write(
        "rows.jsonl",
        "{\"timestamp\":0,\"input_length\":9,\"output_length\":2,\"hash_ids\":[1,2,3]}\n",
    );
    let refused = |options: &str| {
        let trace = format!("{before}trace: (path: \"rows.jsonl\", {options}), slo: ({after}");
        sandbox.write("quickstart.ron", &trace);
        sandbox.refused(&["run", "quickstart.ron", "--no-results"])
    };
    let err = refused("format: \"moncake\"");
    assert_says(&err, &["error: unknown trace format `moncake`\n", "= field: workload[0].trace.format\n"]);
    assert_says(&err, &["help: did you mean `mooncake`? Allowed: `native`, `azure`"]);
    let err = refused("block_tokens: 0");
    assert_says(&err, &["error: must be 1 or more, found 0\n", "= field: workload[0].trace.block_tokens\n"]);
    let err = refused("format: \"mooncake\"");
    assert_says(&err, &["rows.jsonl:1: 3 `hash_ids` for an `input_length` of 9: blocks of 512 tokens"]);
}
