//! Weights that lie in the host's memory, and weights that are narrower in memory than in products.

use mist::metrics::RequestRecord;
use mist::simulation::{Outcome, RunError, Simulation};

use crate::scenarios::run;

/// One request after the other on one H100.
fn scenario(model: &str, settings: &str) -> String {
    format!(
        "(mist: 1, seed: 3, \
         platforms: [(name: \"p\", nodes: [(name: \"gpu\", hardware: \"H100-SXM5-80GB\")])], \
         clients: [(name: \"c\", cluster: Take(platform: \"p\", nodes: [(\"gpu\", 1)]), \
           runs: Llm(model: \"{model}\", {settings}))], \
         workload: [(name: \"w\", model: \"{model}\", requests: 5, arrivals: Uniform(rate: per_s(0.1)), \
           lengths: Fixed(prompt: 200, output: 20))])"
    )
}

fn served(model: &str, settings: &str) -> (Outcome, Vec<RequestRecord>) {
    run(&Simulation::new(), &scenario(model, settings))
}

fn refusal(model: &str, settings: &str) -> String {
    match Simulation::new().read(scenario(model, settings), "weights.ron") {
        Err(RunError::Scenario(invalid)) => format!("{:?}", invalid.problems()),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("accepted: {settings}"),
    }
}

/// Every token waits until what is away has come over the link: 32 GiB at 64 GB/s at most.
#[test]
fn what_lies_in_the_host_makes_room_and_takes_time() {
    let without = refusal("Llama-3.1-70B", "weights: fp8, gpu_memory_utilization: 0.8");
    assert!(without.contains("does not fit"), "{without}");
    let (_, rows) =
        served("Llama-3.1-70B", "weights: fp8, gpu_memory_utilization: 0.8, cpu_offload: gib(32)");
    let gib = 1024.0_f64.powi(3);
    for row in &rows {
        let tpot = (row.e2e().as_secs_f64() - row.ttft().as_secs_f64()) / 19.0;
        assert!(tpot > 32.0 * gib / 64e9 && tpot < 32.0 * gib / 40e9, "{tpot}");
    }
}

#[test]
fn the_room_is_what_was_moved_away() {
    let tokens = |settings: &str| {
        let run = Simulation::new().read(scenario("Llama-3.1-8B", settings), "weights.ron").unwrap();
        let facts = run.deployment().groups[0].facts();
        let fact = facts.iter().map(|fact| &fact.value).find(|what| what.contains("blocks of")).unwrap();
        let tokens = fact.split(", ").find_map(|part| part.strip_suffix(" tokens")).unwrap();
        tokens.parse::<f64>().unwrap()
    };
    let more = tokens("cpu_offload: gib(4)") - tokens("");
    // 128 KiB of KV a token.
    assert!((more - 32_768.0).abs() <= 16.0, "{more}");
}

#[test]
fn no_more_is_moved_away_than_there_is() {
    let too_much = refusal("Llama-3.1-8B", "cpu_offload: gib(20)");
    assert!(
        too_much.contains("cpu_offload") && too_much.contains("20.00 GiB are more than the 14.96 GiB"),
        "{too_much}"
    );
}

/// As gpt-oss runs on Hopper, which does not multiply in 4 bit.
#[test]
fn narrow_weights_may_be_multiplied_in_16_bit() {
    let narrow = refusal("gpt-oss-120b", "weights: fp4");
    assert!(narrow.contains("weights") && narrow.contains("add `activations: bf16`"), "{narrow}");
    let tpot = |model: &str, settings: &str| served(model, settings).0.summary.latency.tpot.unwrap().mean_ms;
    let narrow = tpot("gpt-oss-20b", "weights: fp4, activations: bf16");
    assert!(narrow < 0.9 * tpot("gpt-oss-20b", "weights: bf16"), "{narrow}");
    assert!(tpot("gpt-oss-120b", "weights: fp4, activations: bf16") > narrow);
}

#[test]
fn products_are_not_narrower_than_their_weights() {
    let narrower = refusal("Llama-3.1-8B", "weights: bf16, activations: fp8");
    assert!(
        narrower.contains("runs.activations") && narrower.contains("not multiplied in fp8"),
        "{narrower}"
    );
}
