//! Everything wrong with a scenario is said at once, in the order of the file, each fault once.

use super::{QUICKSTART, Sandbox};

/// The headline and the field of each error of the quickstart after edits.
fn errors(edits: &[(&str, &str)]) -> Vec<String> {
    let text = edits.iter().fold(QUICKSTART.to_owned(), |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text.replace(from, to)
    });
    let sandbox = Sandbox::new();
    sandbox.write("quickstart.ron", &text);
    let err = sandbox.refused(&["check", "quickstart.ron"]);
    headlines(&err)
}

fn headlines(err: &str) -> Vec<String> {
    err.lines().filter_map(|line| line.strip_prefix("error: ")).map(str::to_owned).collect()
}

#[test]
fn faults_of_every_sort_are_said_together() {
    let found = errors(&[
        ("seed: 42,", "sed: 42,"),
        ("hardware: \"H100-SXM5-80GB\"", "hardware: \"H100-SXM5-80G\""),
        ("usd_per_hour: 27.52,", "usd_per_hour: -1, price: \"p5.48xlarg\","),
        ("tensor_parallel: 1, ", "tensor_paralel: 1, block_size: 0, weights: \"bf16\","),
        (
            "batching: Chunked(max_num_batched_tokens: 8192)",
            "batching: Chuncked(max_num_batched_tokens: \"8192\")",
        ),
        ("latency: us(200),", "latency: 200,"),
        ("model: \"Llama-3.1-8B\",             //", "model: \"Llama-3.1-9B\", colour: Red, //"),
        ("Poisson(rate: per_s(70))", "Poisson(rate: ms(70))"),
        ("lengths: AzureConv,", "lengths: \"AzureConv\","),
        ("slo: (ttft: s(1), tpot: ms(30))", "slo: (ttft: 0.5, tpot: ms(-30), ttft: s(1))"),
    ]);
    assert_eq!(
        found,
        [
            "unknown field `sed`",
            "unknown accelerator `H100-SXM5-80G`",
            "a price must be finite and not negative, found -1",
            "unknown price `p5.48xlarg`",
            "unknown field `tensor_paralel`",
            "block_size must be 1 to 1024, found 0",
            "expected a name without quotes, found the text `\"bf16\"`",
            "unknown batching policy `Chuncked`",
            "expected a whole number, 1 to 4294967295, found the text `\"8192\"`",
            "expected a length of time with its unit, found the number 200",
            "unknown model `Llama-3.1-9B`",
            "unknown field `colour`",
            "`ms` is no unit of a rate",
            "expected a length distribution, found the text `\"AzureConv\"`",
            "expected a length of time with its unit, found the number 0.5",
            "a length of time must be finite and not negative, found -30",
            "field `ttft` is given twice",
        ]
    );
}

#[test]
fn a_fault_is_said_once() {
    for (from, to) in [
        // What refers to the misspelt name, or hangs on the value, is not held against the user.
        ("name: \"server\", //", "nmae: \"server\", //"),
        ("name: \"server\", //", "name: server, //"),
        ("count: 4, // how many such clients", "count: four, // how many such clients"),
        ("count: 4)]", "count: -4)]"),
        ("hardware: \"H100-SXM5-80GB\"", "hardware: \"H200\""),
        ("hardware: \"H100-SXM5-80GB\", ", ""),
        ("name: \"gpu\", hardware", "hardware"),
        ("model: \"Llama-3.1-8B\",       //", "modl: \"Llama-3.1-8B\",       //"),
        ("model: \"Llama-3.1-8B\",       //", "//"),
        ("model: \"Llama-3.1-8B\",       //", "model: \"Llama-3.1-88B\",       //"),
        ("runs: Llm(", "runs: Lm("),
        ("cluster: Take(platform: \"server\", nodes: [(\"gpu\", 1)])", "cluster: \"server\""),
        ("clients: [", "clinets: ["),
        ("requests: 5000,", "requests: many,"),
        ("arrivals: Poisson(rate: per_s(70))", "arrivals: Poisson(rate: 70)"),
        ("mist: 1, ", "mst: 1, "),
        ("mist: 1, ", "mist: 2, "),
        ("mist: 1, ", ""),
        ("seed: 42,", "seed: 42"),
        ("seed: 42,", "seed: 42; "),
        // Nor is what a value comes to beside others, where its name alone is wrong.
        ("max_num_batched_tokens: 8192", "max_num_batched_token: 128"),
        ("max_num_seqs: 256, ", "max_num_seq: 10000,"),
        ("max_num_seqs: 256, ", "max_num_seqs: 256, max_num_batched_token: 128,"),
        ("max_num_seqs: 256, ", "max_num_seqs: 256, num_gpu_block: 100000000,"),
        (
            "lengths: AzureConv",
            "lengths: LogNormal(prompt: (median: 90, sigma: 1, max: 5000), output: (median: 20, sigma: 1))",
        ),
        ("count: 4, // how many such clients", "count: 4 // how many such clients"),
        ("max_num_batched_tokens: 8192", "max_num_batched_tokens: 0"),
        ("seed: 42,", "horizon: 0,"),
    ] {
        let found = errors(&[(from, to)]);
        assert_eq!(found.len(), 1, "{to}: {found:?}");
    }
}

#[test]
fn what_is_set_is_said_with_the_rest() {
    let sandbox = Sandbox::with_edited("hardware: \"H100-SXM5-80GB\"", "hardware: \"H100\"");
    let err = sandbox.refused(&["check", "quickstart.ron", "--set", "workload[0].arrivals.rate=per_s(0)"]);
    assert_eq!(
        headlines(&err),
        ["unknown accelerator `H100`", "a rate must be finite and above zero, found 0"]
    );
    // A `--set` takes the place of what is wrong in a choice.
    let sandbox = Sandbox::with_edited("Poisson(rate: per_s(70))", "Poisson(rate: per_s(-70))");
    sandbox.ok(&["check", "quickstart.ron", "--set", "workload[0].arrivals.rate=per_s(70)"]);
}

#[test]
fn messages_say_how_to_write_it() {
    for (from, to, help) in [
        ("ttft: s(1)", "ttft: 0.5", "write `s(0.5)` or `ms(500)`"),
        ("ttft: s(1)", "ttft: 500", "write `s(0.5)` or `ms(500)`"),
        ("ttft: s(1)", "ttft: 500ms", "write `ms(500)`"),
        ("ttft: s(1)", "ttft: \"500 ms\"", "write `ms(500)`"),
        ("ttft: s(1)", "ttft: sec(1)", "did you mean `s`?"),
        ("ttft: s(1)", "ttft: \"s(1)\"", "write `s(1)`"),
        ("ttft: s(1)", "ttft: per_s(1)", "write `ns(…)`, `us(…)`, `ms(…)`, `s(…)`, `min(…)`, `h(…)`"),
        ("per_s(70)", "70", "write `per_s(70)` or `per_min(70)`"),
        ("per_s(70)", "ms(3)", "write `per_s(…)`, `per_min(…)`"),
        ("name: \"server\", //", "name: server, //", "write `\"server\"`"),
        ("requests: 5000", "requests: \"5000\"", "write `5000`"),
        ("requests: 5000", "requests: 5e3", "write `5000`"),
        ("max_num_seqs: 256,", "max_num_seqs: 256, weights: bf17,", "did you mean `bf16`?"),
        ("max_num_seqs: 256,", "max_num_seqs: 256, weights: \"fp8\",", "write `fp8`"),
        ("[(\"gpu\", 1)]", "(\"gpu\", 1)", "write `[(\"gpu\", 1)]`"),
        ("routing: LeastOutstanding", "routing: \"LeastOutstanding\"", "write `LeastOutstanding`"),
        ("slo: (ttft: s(1), tpot: ms(30))", "slo: s(1)", "write `(name: value, …)`"),
        (
            "max_num_batched_tokens: 8192",
            "max_num_batched_token: 128",
            "did you mean `max_num_batched_tokens`?",
        ),
        (
            "max_num_seqs: 256,",
            "max_num_seqs: 256, max_num_batched_token: 128,",
            "it belongs into `batching`: write `batching: Chunked(max_num_batched_tokens: 8192)`",
        ),
    ] {
        let err = Sandbox::with_edited(from, to).refused(&["check", "quickstart.ron"]);
        assert!(err.contains(&format!("= help: {help}")), "{to}:\n{err}");
        assert_eq!(headlines(&err).len(), 1, "{to}:\n{err}");
    }
}

#[test]
fn ranges_say_what_is_allowed() {
    for (from, to, message) in [
        (
            "max_num_seqs: 256,",
            "prefill_max_requests: 0,",
            "expected a whole number, 1 to 4294967295, found `0`",
        ),
        ("requests: 5000,", "priority: 40000,", "expected a whole number, -32768 to 32767, found `40000`"),
        ("requests: 5000,", "priority: 1.5,", "expected a whole number, -32768 to 32767, found `1.5`"),
        ("seed: 42,", "horizon: s(0),", "the horizon must be above zero, found 0 s"),
        (
            "max_num_batched_tokens: 8192",
            "max_num_batched_tokens: 0",
            "expected a whole number, 1 to 4294967295, found `0`",
        ),
        (
            "lengths: AzureConv,",
            "lengths: AzureConv, pipeline: [Branch(cases: [(when: Chance(0.7), run: [Prefill, Decode]), \
             (when: Chance(0.6), run: [Prefill, Decode])], otherwise: [Prefill, Decode])],",
            "the chances add up to 1.3: at most 1 in all, the rest is for `otherwise`",
        ),
    ] {
        assert_eq!(errors(&[(from, to)]), [message], "{to}");
    }
}
