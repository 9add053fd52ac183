//! KV retrieval, and text before and after generation, in whole runs: against hand-computed times and
//! queueing theory.

use mist::metrics::Summary;
use mist::simulation::Simulation;
use mist::stats::Interval;

/// Student's t at 99.9 % over that at 95 %, for 19 degrees of freedom.
const WIDER: f64 = 3.883 / 2.093;

/// KV of one token of Llama-3.1-8B in 16 bit (bytes).
const KV_BYTES: f64 = 131_072.0;

/// One GPU that generates, and one processor that runs `client`.
fn run(client: &str, pipeline: &str, load: &str, seed: u64) -> Summary {
    let text = format!(
        r#"(mist: 1, seed: {seed},
            platforms: [(name: "box", nodes: [
                (name: "gpu", hardware: "H100-SXM5-80GB"), (name: "cpu", hardware: "EPYC 9654 (Genoa 96c)"),
            ])],
            clients: [
                (name: "llm", cluster: Take(platform: "box", nodes: [("gpu", 1)]), runs: Llm(model: "Llama-3.1-8B")),
                (name: "other", cluster: Take(platform: "box", nodes: [("cpu", 1)]), runs: {client}),
            ],
            workload: [(name: "w", model: "Llama-3.1-8B", pipeline: {pipeline}, {load})])"#
    );
    let run = Simulation::new().read(text, "tasks.ron").unwrap_or_else(|error| panic!("{error}"));
    run.run().unwrap().summary
}

/// Mean time in a stage and mean wait for it (ms).
fn stage(summary: &Summary, name: &str) -> (f64, f64) {
    let stage = summary.stages.iter().find(|stage| stage.name == name);
    let stage = stage.unwrap_or_else(|| panic!("no stage `{name}` among {:?}", summary.stages));
    (stage.mean_ms, stage.mean_waiting_ms)
}

/// Mean time to the first token (ms).
fn ttft(summary: &Summary) -> f64 {
    summary.latency.ttft.as_ref().unwrap().mean_ms
}

/// One request at a time.
const ALONE: &str =
    "requests: 50, arrivals: Uniform(rate: per_s(1)), lengths: Fixed(prompt: 4001, output: 8)";
const KV: &str = "[KvRetrieval(prefix: Tokens(4000)), Prefill, Decode]";

fn nvme(hit_rate: f64, more: &str) -> String {
    format!(
        "KvStore(tiers: [(name: \"NVMe\", lookup: us(50), bandwidth: gb_per_s(7), hit_rate: {hit_rate})]{more})"
    )
}

#[test]
fn a_retrieval_takes_what_the_formula_says_and_spares_the_prefill() {
    let plain = run(&nvme(1.0, ""), "[Prefill, Decode]", ALONE, 1);
    let found = run(&nvme(1.0, ""), KV, ALONE, 1);
    let by_hand_ms = (50e-6 + 4000.0 * KV_BYTES / 7e9) * 1e3;
    let (retrieval, waiting) = stage(&found, "KvRetrieval");
    assert!((retrieval - by_hand_ms).abs() < 1e-6 && waiting == 0.0, "{retrieval} ms, by hand {by_hand_ms}");
    // One token is left of 4,001.
    let (all, one) = (ttft(&plain), stage(&found, "Prefill").0);
    assert!(one < all / 5.0, "{one} ms instead of {all}");
    assert!((ttft(&found) - retrieval - one).abs() < 1e-6);

    // Found nowhere: no time, and the prefill computes all of it.
    let missed = run(&nvme(0.0, ", mode: Sampled"), KV, ALONE, 1);
    assert!(stage(&missed, "KvRetrieval").0 < 2e-6);
    assert!((stage(&missed, "Prefill").0 - all).abs() < 1e-6);
    let paid = run(&nvme(0.0, ", missed_lookups: Paid"), KV, ALONE, 1);
    assert!((stage(&paid, "KvRetrieval").0 - 0.05).abs() < 1e-6);
}

#[test]
fn expected_and_sampled_runs_agree_in_the_mean() {
    let mode = |mode: &str| {
        let client = format!(
            r#"KvStore(mode: {mode}, tiers: [
                (name: "DRAM", lookup: ns(80), bandwidth: gb_per_s(150), hit_rate: 0.5),
                (name: "NVMe", lookup: us(50), bandwidth: gb_per_s(7), hit_rate: 0.6)])"#
        );
        let load =
            "requests: 400, arrivals: Uniform(rate: per_s(2)), lengths: Fixed(prompt: 4001, output: 2)";
        let runs: Vec<Summary> = (0..20).map(|seed| run(&client, KV, load, seed)).collect();
        ["KvRetrieval", "Prefill"].map(|name| {
            let means: Vec<f64> = runs.iter().map(|run| stage(run, name).0).collect();
            Interval::of(&means).unwrap()
        })
    };
    let (expected, sampled) = (mode("Expected"), mode("Sampled"));
    let bytes = 4000.0 * KV_BYTES;
    let by_hand_ms = (0.5 * (80e-9 + bytes / 150e9) + 0.5 * 0.6 * (50e-6 + bytes / 7e9)) * 1e3;
    assert!((expected[0].mean - by_hand_ms).abs() < 1e-6 && expected[0].max - expected[0].min < 1e-6);
    assert!((sampled[0].mean - by_hand_ms).abs() <= WIDER * sampled[0].half_width().unwrap());
    let apart = (expected[1].mean - sampled[1].mean).abs();
    assert!(
        apart <= WIDER * (expected[1].half_width().unwrap() + sampled[1].half_width().unwrap()),
        "{apart} ms"
    );
}

#[test]
fn text_is_cut_before_it_is_computed_and_lengthened_after() {
    let load = "requests: 20, arrivals: Uniform(rate: per_s(1)), lengths: Fixed(prompt: 3000, output: 100)";
    let pipeline = "[Preprocess(tasks: [Tokenize, Truncate(to: 800), Augment(tokens: 200)]), Prefill, Decode, \
                     Postprocess(tasks: [Detokenize, Enhance(tokens: 20)])]";
    let summary = run("PrePost()", pipeline, load, 1);
    let by_hand_ms = (3000.0 * 1.1e-6 + 800.0 * 0.5e-9 + 1e-3) * 1e3;
    assert!((stage(&summary, "Preprocess").0 - by_hand_ms).abs() < 1e-6);
    let by_hand_ms = 100.0 * (88e-9 + 1.6e-6) * 1e3;
    assert!((stage(&summary, "Postprocess").0 - by_hand_ms).abs() < 1e-6, "{:?}", summary.stages);
    let same = "requests: 20, arrivals: Uniform(rate: per_s(1)), lengths: Fixed(prompt: 1000, output: 100)";
    let plain = run("PrePost()", "[Prefill, Decode]", same, 1);
    assert!((ttft(&plain) - stage(&summary, "Prefill").0).abs() < 1e-6);
}

/// One core, Poisson arrivals, equal work: M/D/1, whose wait is ρs/2(1 − ρ) by Pollaczek and Khinchine.
#[test]
fn requests_wait_for_a_core_as_in_theory() {
    let load = "requests: 4000, arrivals: Poisson(rate: per_s(600)), lengths: Fixed(prompt: 1, output: 1)";
    let pipeline = "[Preprocess(tasks: [Augment(tokens: 1)]), Prefill, Decode]";
    let waits: Vec<f64> =
        (0..20).map(|seed| stage(&run("PrePost(cores: 1)", pipeline, load, seed), "Preprocess").1).collect();
    let interval = Interval::of(&waits).unwrap();
    let theory_ms = 0.6 * 1.0 / (2.0 * 0.4);
    let off = (interval.mean - theory_ms).abs();
    assert!(off <= WIDER * interval.half_width().unwrap(), "{} ms, in theory {theory_ms}", interval.mean);
    // As many cores as requests: nobody waits.
    assert!(stage(&run("PrePost(cores: 4000)", pipeline, load, 0), "Preprocess").1 == 0.0);
}

#[test]
fn what_cannot_be_is_refused() {
    let refused = |client: &str, pipeline: &str| {
        let text = format!(
            r#"(mist: 1,
                platforms: [(name: "box", nodes: [
                    (name: "gpu", hardware: "H100-SXM5-80GB", count: 2), (name: "cpu", hardware: "EPYC 9654 (Genoa 96c)"),
                ])],
                clients: [
                    (name: "llm", cluster: Take(platform: "box", nodes: [("gpu", 1)]), runs: Llm(model: "Llama-3.1-8B")),
                    (name: "other", {client}),
                ],
                workload: [(name: "w", model: "Llama-3.1-8B", pipeline: {pipeline}, {ALONE})])"#
        );
        match Simulation::new().read(text, "tasks.ron") {
            Ok(_) => panic!("{client} with {pipeline} was accepted"),
            Err(error) => error.to_string(),
        }
    };
    let cpu = |runs: &str| format!("cluster: Take(platform: \"box\", nodes: [(\"cpu\", 1)]), runs: {runs}");
    for (client, pipeline, says) in [
        (cpu(&nvme(1.0, "")), "[KvRetrieval(prefix: Share(1.5)), Prefill, Decode]", "from 0 to 1, found 1.5"),
        (
            cpu(&nvme(1.0, "")),
            "[KvRetrieval(prefix: Tokens(0)), Prefill, Decode]",
            "no tokens are to be retrieved",
        ),
        (cpu(&nvme(1.0, "")), "[KvRetrieval(prefix: Tokens(5))]", "pipeline"),
        (cpu("KvStore(tiers: [])"), KV, "at least one tier"),
        (cpu(&nvme(1.0, ", max_batch: 0")), KV, "at least one retrieval"),
        (cpu("PrePost(cores: 0)"), KV, "expected 1 to 65536 cores, found 0"),
        (cpu("PrePost()"), "[Preprocess(tasks: []), Prefill, Decode]", "nothing is to be done"),
        (
            cpu("PrePost()"),
            "[Preprocess(tasks: [Tokenize, Pad(to: 0)]), Prefill, Decode]",
            "at least one token",
        ),
        (
            "cluster: Take(platform: \"box\", nodes: [(\"gpu\", 1)]), runs: PrePost()".to_owned(),
            "[Preprocess(tasks: [Tokenize]), Prefill, Decode]",
            "is an accelerator",
        ),
    ] {
        let said = refused(&client, pipeline);
        assert!(said.contains(says), "`{says}` is not in: {said}");
    }
}
