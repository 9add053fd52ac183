//! `mist check` and `mist explain`: what was understood, and what may be written.

use super::Sandbox;

#[test]
fn check_says_what_was_understood_and_runs_nothing() {
    let sandbox = Sandbox::with_quickstart();
    let out = sandbox.ok(&["check", "quickstart.ron"]);
    for line in [
        "quickstart is ready to run\n",
        "  price               $27.52 an hour\n",
        "  server              1 machine with 4 × H100-SXM5-80GB (`gpu`)\n",
        "    in use            4 of 4 `gpu`\n",
        "  llama               4 × Llm, each on 1 `gpu` of `server`\n",
        "    serves            Llama-3.1-8B on 1 × H100-SXM5-80GB\n",
        "    memory per device 71.6 GiB usable, 15.0 GiB weights\n",
        "  policy              LeastOutstanding\n",
        "  latency             200 µs\n",
        "  Llama-3.1-8B        4 clients: llama\n",
        "  chat                300 requests for Llama-3.1-8B\n",
        "    arrivals          Poisson(rate: per_s(70.0), rescale: false)\n",
        "    targets           TTFT ≤ 1 s, TPOT ≤ 30 ms\n",
    ] {
        assert!(out.contains(line), "{line} is not in:\n{out}");
    }
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    assert_eq!(sandbox.entries(""), ["quickstart.ron"]);
}

#[test]
fn check_takes_sets_and_finds_what_is_wrong() {
    let sandbox = Sandbox::with_quickstart();
    let more = ["horizon=min(2)", "clients[0].count=3"];
    let out = sandbox.ok(&["check", "quickstart.ron", "--set", more[0], "--set", more[1]]);
    assert!(
        out.contains("  ends                when every request has left, at 120 s at the latest\n"),
        "{out}"
    );
    assert!(out.contains("    in use            3 of 4 `gpu`\n"), "{out}");
    sandbox.refused(&["check", "quickstart.ron", "--set", "clients[0].count=0"]);
}

#[test]
fn blocks_may_be_stated() {
    let sandbox = Sandbox::with_quickstart();
    let set = |blocks: &str| format!("clients[0].runs.Llm.num_gpu_blocks={blocks}");
    let few = sandbox.ok(&["check", "quickstart.ron", "--set", &set("100")]);
    assert!(few.contains("    KV cache          100 blocks of 16, 1600 tokens\n"), "{few}");
    assert!(!few.contains("memory holds"), "{few}");
    // As vLLM's override, beyond the share of memory that the engine is to use, but not beyond memory.
    let many = sandbox.ok(&["check", "quickstart.ron", "--set", &set("30000")]);
    assert!(many.contains("num_gpu_blocks is 30000, more than the "), "{many}");
    let too_many = sandbox.refused(&["check", "quickstart.ron", "--set", &set("1000000")]);
    assert!(
        too_many.contains(
            "error: 1000000 KV blocks do not fit: beside weights and activations device memory holds "
        ),
        "{too_many}"
    );
    assert!(too_many.contains("help: write `num_gpu_blocks: "), "{too_many}");
    assert!(too_many.contains("= field: clients[0].runs.num_gpu_blocks\n"), "{too_many}");
    let none = sandbox.refused(&["check", "quickstart.ron", "--set", &set("0")]);
    assert!(none.contains("num_gpu_blocks must be 1 to 1099511627776, found 0"), "{none}");
}

#[test]
fn host_memory_that_holds_no_whole_context_is_warned_of() {
    let sandbox = Sandbox::with_quickstart();
    let check = |memory: &str| {
        let set = format!("clients[0].runs.preemption=Swap(host_memory: {memory})");
        sandbox.ok(&["check", "quickstart.ron", "--set", &set])
    };
    let small = check("mib(64)");
    assert!(small.contains("host_memory holds 512 tokens of KV: longer sequences that"), "{small}");
    assert!(!check("gib(40)").contains("host_memory holds"));
}

#[test]
fn every_scenario_that_ships_is_sound() {
    let sandbox = Sandbox::new();
    sandbox.write_trace("AzureLLMInferenceTrace_conv.csv", ["374,44".into()]);
    let row = "{\"timestamp\": 0, \"input_length\": 9, \"output_length\": 5, \"hash_ids\": [0]}";
    sandbox.write("conversation_trace.jsonl", row);
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "ron") {
            continue; // the reference; the examples, which a test runs
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        sandbox.write(name, &std::fs::read_to_string(&path).unwrap());
        let out = sandbox.ok(&["check", name]);
        assert!(
            out.starts_with(&format!("{} is ready to run\n", path.file_stem().unwrap().display())),
            "{out}"
        );
        assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    }
}

#[test]
fn explain_knows_every_field_and_choice() {
    let sandbox = Sandbox::new();
    for field in ["platforms", "clients", "coordinator", "workload", "horizon"] {
        assert!(sandbox.ok(&["explain"]).contains(&format!("\n    {field}: ")));
    }
    let arrivals = sandbox.ok(&["explain", "workload.arrivals"]);
    assert!(arrivals.contains("\n    Poisson ") && arrivals.contains("\n    ClosedLoop "), "{arrivals}");
    let nested = sandbox.ok(&["explain", "clients[0].runs.batching.max_num_batched_tokens"]);
    assert!(nested.contains("--max-num-batched-tokens"), "{nested}");
    let err = sandbox.refused(&["explain", "workload.arrival"]);
    assert!(
        err.contains("`workload` has no field `arrival`") && err.contains("did you mean `arrivals`?"),
        "{err}"
    );
}

#[test]
fn what_a_replay_leaves_out_is_said() {
    let sandbox = Sandbox::with_edited("requests: 5000,", "trace: (path: \"t.jsonl\"), // ");
    let kept = sandbox.read("quickstart.ron");
    let drawn =
        |line: &&str| !["arrivals:", "lengths:"].iter().any(|field| line.trim_start().starts_with(field));
    sandbox.write("quickstart.ron", &kept.lines().filter(drawn).collect::<Vec<_>>().join("\n"));
    sandbox.write(
        "t.jsonl",
        "{\"mist_trace\":1,\"foreign_models\":true}\n{\"arrival_ns\":0,\"prompt_tokens\":9,\"output_tokens\":3,\"model\":\"m\",\"images\":2}\n",
    );
    let out = sandbox.ok(&["check", "quickstart.ron"]);
    assert!(
        out.contains("\nNotes\n  workload[0].trace ") && out.contains("foreign models, images\n"),
        "{out}"
    );
    for more in [&[][..], &["--replications", "2"]] {
        let said = sandbox.mist(&[&["run", "quickstart.ron", "--no-results"], more].concat());
        assert!(said.err.starts_with("note: workload[0].trace: ") && said.code == Some(0), "{said:?}");
    }
    let quiet = sandbox.mist(&["run", "quickstart.ron", "--no-results", "--quiet"]);
    assert_eq!((quiet.code, quiet.err.as_str()), (Some(0), ""));
}

#[test]
fn guesses_about_a_model_are_told_by_check_and_run() {
    let config = include_str!("../../../src/catalog/hugging_face/fixtures/llama-3.1-8b.json");
    let config = config.replace("\"llama\"", "\"foo\"").replace("num_key_value_heads", "num_key_value_head");
    let sandbox = Sandbox::new();
    sandbox.write("foo.json", &config);
    let scenario = super::QUICKSTART.replace("Llama-3.1-8B", "foo.json").replace("5000", "5");
    sandbox.write("quickstart.ron", &scenario);
    let check = sandbox.ok(&["check", "quickstart.ron"]);
    let run = sandbox.mist(&["run", "quickstart.ron", "--no-results"]).err;
    for said in [check, run] {
        let plain = said.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [
            "vLLM would not start",
            "foo.json: model_type `foo` is not known: taken for a decoder like Llama",
            "`num_key_value_head` has no effect; did you mean `num_key_value_heads`?",
        ] {
            assert!(plain.contains(part), "{part}: {said}");
        }
    }
}

#[test]
fn gpt_2_generates_text() {
    let sandbox = Sandbox::new();
    let config = r#"{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_layer": 12, "n_head": 12,
        "n_embd": 768, "n_positions": 1024, "vocab_size": 50257, "activation_function": "gelu_new"}"#;
    sandbox.write("gpt2.json", config);
    let scenario = super::QUICKSTART.replace("Llama-3.1-8B", "gpt2.json");
    sandbox.write("quickstart.ron", &scenario);
    sandbox.ok(&["check", "quickstart.ron"]);
}

/// 100 blocks of 16 in each of four copies: no 6,000 tokens, though all four together hold them.
#[test]
fn every_copy_of_attention_must_hold_the_longest_sequence() {
    let sandbox = Sandbox::new();
    let client = "platforms: [(name: \"p\", nodes: [(name: \"gpu\", hardware: \"H100-SXM5-80GB\", count: 4)])], \
         clients: [(name: \"c\", cluster: Take(platform: \"p\", nodes: [(\"gpu\", 4)]), \
           runs: Llm(model: \"Qwen3-30B-A3B\", data_parallel: 4, num_gpu_blocks: 400, max_model_len: 6000))]";
    let scenario = format!(
        "(mist: 1, {client}, workload: [(name: \"w\", model: \"Qwen3-30B-A3B\", requests: 1, arrivals: AllAtOnce, \
         lengths: Fixed(prompt: 500, output: 20))])"
    );
    sandbox.write("copies.ron", &scenario);
    let said = sandbox.ok(&["check", "copies.ron"]);
    let plain = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "400 blocks of 16, 6400 tokens in 4 copies",
        "vLLM would not start: that of each copy must hold max_model_len; set it to 1600 or less",
    ] {
        assert!(plain.contains(part), "{said}");
    }
}
