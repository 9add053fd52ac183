//! The time that KV takes from one client to another has a row of its own, and all rows add up.

use std::ops::ControlFlow;

use mist::metrics::StageRecord;
use mist::simulation::Simulation;
use mist::units::SimSpan;

use crate::use_cases::Laps;

const SCENARIO: &str = "(mist: 1, \
    platforms: [(name: \"p\", nodes: [(name: \"gpu\", hardware: \"L40S\", count: 2)])], \
    clients: [\
      (name: \"first\", cluster: Take(platform: \"p\", nodes: [(\"gpu\", 1)]), \
       runs: Llm(model: \"Qwen2.5-0.5B\", role: Prefill)), \
      (name: \"second\", cluster: Take(platform: \"p\", nodes: [(\"gpu\", 1)]), \
       runs: Llm(model: \"Qwen2.5-0.5B\", role: Decode, num_gpu_blocks: 30))], \
    coordinator: (kv_transfer: (bandwidth: tb_per_s(1e6), latency: ms(1))), \
    workload: [(name: \"w\", model: \"Qwen2.5-0.5B\", requests: 200, pipeline: PIPELINE, \
      arrivals: Poisson(rate: per_s(40)), lengths: Fixed(prompt: 100, output: 30))])";

/// The rows of a run, which add up for every request, and the KV transfers among its stages.
fn run(pipeline: &str) -> (Vec<String>, Vec<StageRecord>, Laps) {
    let laps = Laps::default();
    let mut run = Simulation::new().read(SCENARIO.replace("PIPELINE", pipeline), "kv.ron").unwrap();
    run.log_stages(u64::MAX);
    let outcome = run.run_with(Some(Box::new(laps.clone())), |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(outcome.summary.requests.completed, 200);
    let mean: f64 = outcome.summary.stages.iter().map(|stage| stage.mean_ms).sum();
    assert!((mean / outcome.summary.latency.e2e.unwrap().mean_ms - 1.0).abs() < 1e-9);
    let mut moves = outcome.stages;
    moves.retain(|stage| stage.stage == "KV transfer");
    (outcome.summary.stages.into_iter().map(|stage| stage.name).collect(), moves, laps)
}

#[test]
fn kv_transfers_have_a_row_between_prefill_and_decode() {
    let (names, moves, laps) = run("[Prefill, Decode]");
    assert_eq!(names, ["Prefill", "KV transfer", "Decode"]);
    assert_eq!(moves.len(), 200);
    assert!(laps.0.lock().unwrap().values().all(|(row, _)| row.read_tokens == 100));
    let mut waited = 0;
    for (stage, (_, laps)) in moves.iter().zip(laps.0.lock().unwrap().values()) {
        // A millisecond, and a nanosecond or so for the bytes; the client has room for few at a time.
        let takes = stage.done.since(stage.started);
        assert!(takes >= SimSpan::from_ns(1_000_000) && takes < SimSpan::from_ns(1_000_100));
        assert_eq!((laps[1].waited, laps[1].served), (stage.started.since(stage.routed), takes));
        assert_eq!(stage.client, "second[0]");
        waited += u32::from(stage.started > stage.routed);
    }
    assert!(waited > 0, "some wait for room");
}

#[test]
fn branches_that_each_take_kv_along_have_one_row_too() {
    let (names, moves, _) =
        run("[Prefill, Parallel(branches: [[Decode], [Reason(tokens: Exactly(4)), Decode]])]");
    assert_eq!(names, ["Prefill", "KV transfer", "Decode", "Reason"]);
    assert_eq!(moves.len(), 400);
    let (names, ..) =
        run("[Prefill, Decode, ToolCall(takes: Exactly(ms(2)), adds: Exactly(7)), Prefill, Decode]");
    assert_eq!(names, ["Prefill", "KV transfer", "Decode", "ToolCall"]);
}

#[test]
fn where_no_kv_can_move_there_is_no_row_for_it() {
    let other = "(name: \"other\", cluster: Take(platform: \"p\", nodes: [(\"gpu\", 1)]), \
                 runs: Llm(model: \"Llama-3.2-1B\")), (name: \"first\"";
    let scenario = SCENARIO.replace("count: 2", "count: 3").replace("(name: \"first\"", other);
    let names = |model: &str, pipeline: &str| -> Vec<String> {
        let class = format!("model: \"{model}\", requests: 20");
        let scenario = scenario.replace("model: \"Qwen2.5-0.5B\", requests: 200", &class);
        let scenario = scenario.replace("PIPELINE", pipeline);
        let run = Simulation::new().read(scenario, "kv.ron").unwrap();
        let outcome = run.run_with(None, |_| ControlFlow::Continue(())).unwrap();
        outcome.summary.stages.into_iter().map(|stage| stage.name).collect()
    };
    let wait = "[ToolCall(takes: Exactly(ms(2))), Prefill, Decode]";
    assert_eq!(names("Llama-3.2-1B", wait), ["ToolCall", "Prefill", "Decode"]);
    assert_eq!(names("Qwen2.5-0.5B", wait), ["ToolCall", "Prefill", "KV transfer", "Decode"]);
    let choose = "[ChooseModel(cases: [(when: Chance(0.5), model: \"Qwen2.5-0.5B\")]), Prefill, Decode]";
    assert_eq!(names("Llama-3.2-1B", choose), ["Prefill", "KV transfer", "Decode"]);
}
