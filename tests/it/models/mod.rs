//! Several models on one client.

mod traces;

use std::fmt::Write;

use mist::clients::llm::{LlmClient, Shelf};
use mist::engine::Executor;
use mist::metrics::RequestRecord;
use mist::request::{Request, Stage};
use mist::simulation::{Outcome, RunError, Simulation};

use crate::scenarios::{Rows, read, run};
use crate::theory::server::simulation;

const MODELS: [&str; 3] = ["Qwen2.5-0.5B", "Llama-3.2-1B", "Qwen3-0.6B"];

/// Clients of several models with these settings beside them, and one class of traffic a model.
fn scenario(seed: u64, clients: u32, settings: &str, rate: f64, requests: u32, pipeline: &str) -> String {
    let mut text = format!(
        "(mist: 1, seed: {seed}, \
         platforms: [(name: \"p\", nodes: [(name: \"gpu\", hardware: \"H100-SXM5-80GB\", count: 9)])], \
         coordinator: (routing: LeastOutstanding), \
         clients: [(name: \"shared\", count: {clients}, cluster: Take(platform: \"p\", nodes: [(\"gpu\", 1)]), \
           runs: Llm(model: \"{}\", also: [\"{}\", \"{}\"], {settings})), \
           (name: \"own\", cluster: Take(platform: \"p\", nodes: [(\"gpu\", 1)]), \
           runs: Llm(model: \"{}\"))], workload: [",
        MODELS[0], MODELS[1], MODELS[2], MODELS[2],
    );
    for (at, model) in MODELS.iter().enumerate() {
        write!(
            text,
            "(name: \"w{at}\", model: \"{model}\", requests: {requests}, {pipeline} \
              arrivals: Poisson(rate: per_s({rate})), \
              lengths: Normal(prompt: (mean: 200, std_dev: 50), output: (mean: 40, std_dev: 30))),"
        )
        .unwrap();
    }
    text + "])"
}

fn digest((outcome, rows): (Outcome, Vec<RequestRecord>)) -> String {
    format!("{}{rows:?}", serde_json::to_string(&outcome.summary).unwrap())
}

/// Several stages, some on another model: KV is kept across visits, and lost across swaps.
const STAGES: &str = "pipeline: [Prefill, Reason(tokens: Exactly(20)), Classify(model: \"Llama-3.2-1B\"), \
    Reason(tokens: Exactly(10)), BestOf(n: 3, run: [Decode, Score(model: \"Qwen3-0.6B\")])],";

const SETTINGS: [&str; 4] =
    ["", "stay: ms(700)", "swap: ms(30), max_num_seqs: 2", "swap: s(0), stay: ms(50)"];

#[test]
fn strides_executors_and_order_change_nothing() {
    for seed in 0..24 {
        let settings = SETTINGS[seed as usize % 4];
        let (clients, rate) = (1 + seed as u32 % 3, [0.5, 4.0, 30.0][seed as usize % 3]);
        let pipeline = if seed % 2 == 0 { "" } else { STAGES };
        let text = scenario(seed, clients, settings, rate, 30, pipeline);
        let expected = digest(run(&Simulation::new(), &text));
        for other in [
            Simulation::new().strides(false),
            Simulation::new().executor(Executor::Stock),
            Simulation::new().shuffle(seed),
        ] {
            assert_eq!(digest(run(&other, &text)), expected, "{text}");
        }
    }
}

#[test]
fn every_request_ends_and_every_client_does_its_part() {
    for seed in 0..16 {
        let pipeline = if seed % 2 == 0 { "" } else { STAGES };
        let text = scenario(seed, 2, SETTINGS[seed as usize / 2 % 4], 6.0, 40, pipeline);
        let mut run = read(&Simulation::new(), &text);
        let rows = Rows::of(&mut run);
        while run.sim().run_some(mist::units::SimTime::MAX, 7).unwrap() {
            let now = run.sim().now();
            let world = run.sim().world_mut();
            let shelves = world.query::<(bevy_ecs::entity::Entity, &LlmClient, &Shelf)>();
            let loaded: Vec<_> = { shelves }
                .iter(world)
                .map(|(client, llm, shelf)| {
                    let idle = !llm.is_busy() && shelf.loaded().is_some();
                    assert!(!idle || shelf.waiting() == 0, "idle while others wait at {now:?}");
                    let used = llm.scheduler().kv().used();
                    assert!(shelf.loaded().is_some() || llm.scheduler().is_empty() || used == 0);
                    (client, shelf.loaded())
                })
                .collect();
            // What has begun and is not done is of the model whose turn it is.
            for stage in world.query::<&Stage>().iter(world) {
                let begun = stage.first_token <= now && stage.first_token < mist::units::SimTime::MAX;
                if let Some((_, turn)) = loaded.iter().find(|(client, _)| begun && *client == stage.client) {
                    assert_eq!(*turn, Some(stage.model), "two models at a time at {now:?}");
                }
            }
        }
        let world = run.sim().world_mut();
        assert_eq!(world.query::<&Request>().iter(world).count(), 0);
        for llm in world.query::<&LlmClient>().iter(world) {
            assert_eq!(llm.scheduler().kv().used(), 0, "KV is left over");
        }
        let rows = rows.take();
        let summary = run.run().unwrap().summary;
        assert_eq!(summary.requests.completed, 120);
        assert!(summary.utilisation.model_swaps.unwrap().count > 10);
        if pipeline.is_empty() {
            // The client of one model, the last, serves no other.
            assert!(rows.iter().all(|row| row.client < 2 || row.source == 2));
            assert!(
                rows.iter().any(|row| row.client == 2)
                    && rows.iter().any(|row| row.source == 2 && row.client < 2)
            );
        }
    }
}

/// One request at a time: begins when its turn comes, after a swap if the one before it was of another
/// model, and takes a step a token.
#[test]
fn requests_one_by_one_pay_for_every_change_of_models() {
    for (seed, rate) in [(1, 0.1), (2, 1.0), (3, 5.0)] {
        let text = format!(
            "(mist: 1, seed: {seed}, \
             platforms: [(name: \"p\", nodes: [(name: \"gpu\", hardware: \"H100-SXM5-80GB\")])], \
             clients: [(name: \"c\", cluster: Take(platform: \"p\", nodes: [(\"gpu\", 1)]), \
               runs: Llm(model: \"{0}\", also: [\"{1}\"], swap: ms(300), max_num_seqs: 1, \
                 batching: Chunked(max_num_batched_tokens: 64), runtime: Constant(step: ms(1))))], \
             workload: [(name: \"a\", model: \"{0}\", requests: 100, arrivals: Poisson(rate: per_s({rate})), \
               lengths: Geometric(mean: 50)), \
               (name: \"b\", model: \"{1}\", requests: 100, arrivals: Poisson(rate: per_s({rate})), \
               lengths: Geometric(mean: 50))])",
            MODELS[0], MODELS[1],
        );
        let (outcome, mut rows) = run(&simulation(), &text);
        rows.sort_by_key(|row| row.id);
        let (mut free, mut loaded, mut swaps) = (0, 0, 0);
        for row in &rows {
            let mut start = free.max(row.arrived.as_ns());
            if row.source != loaded {
                (loaded, swaps, start) = (row.source, swaps + 1, start + 300_000_000);
            }
            free = start + u64::from(row.output_tokens) * 1_000_000;
            assert_eq!((row.started.as_ns(), row.done.as_ns()), (start, free), "request {}", row.id);
        }
        let summary = outcome.summary;
        let found = summary.utilisation.model_swaps.unwrap();
        assert_eq!((rows.len(), found.count), (200, swaps));
        let share = swaps as f64 * 0.3 / summary.duration_s;
        assert!((found.accelerator_frac - share).abs() < 1e-9);
        assert!(found.accelerator_frac <= summary.utilisation.accelerator_busy_frac);
    }
}

/// What stays for some time serves more of its requests in a row.
#[test]
fn a_model_that_stays_is_changed_less_often() {
    let swaps = |settings: &str| {
        let text = scenario(5, 1, settings, 20.0, 200, "");
        run(&Simulation::new(), &text).0.summary.utilisation.model_swaps.unwrap().count
    };
    let (at_once, later) = (swaps("swap: ms(100)"), swaps("swap: ms(100), stay: s(2)"));
    assert!(2 * later < at_once, "{later} against {at_once}");
}

/// By default a change takes the weights over the link to the host: 0.494 B parameters of 2 bytes at 64 GB/s.
#[test]
fn weights_come_over_the_link_to_the_host() {
    let text = scenario(1, 1, "", 0.01, 1, "");
    let (outcome, mut rows) = run(&Simulation::new(), &text);
    rows.sort_by_key(|row| row.id);
    let queueing = rows.iter().map(|row| row.queueing().as_secs_f64()).fold(0.0, f64::max);
    assert!((0.015..0.06).contains(&queueing), "{queueing}");
    assert!(outcome.summary.utilisation.model_swaps.unwrap().count >= 1);
}

#[test]
fn what_makes_no_sense_is_said_where_it_stands() {
    let wrong = |settings: &str| {
        let text = scenario(1, 1, settings, 1.0, 1, "").replacen(
            "also: [\"Llama-3.2-1B\", \"Qwen3-0.6B\"], ",
            "",
            1,
        );
        match Simulation::new().read(text, "case.ron") {
            Err(RunError::Scenario(invalid)) => format!("{:?}", invalid.problems()),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("{settings} is in order"),
        }
    };
    assert!(wrong("swap: s(1)").contains("clients[0].runs.swap"));
    assert!(wrong("stay: s(1)").contains("has no effect"));
    let room = wrong("also: [\"Llama-3.2-1B\"], num_reserved_decode_tokens: 16, ");
    assert!(room.contains("num_reserved_decode_tokens") && room.contains("several models"), "{room}");
    let twice = wrong("also: [\"Llama-3.2-1B\", \"Qwen2.5-0.5B\"]");
    assert!(twice.contains("clients[0].runs.also[1]") && twice.contains("named twice"), "{twice}");
    let unknown = wrong("also: [\"Llama-3.2-1\"]");
    assert!(unknown.contains("clients[0].runs.also[0]") && unknown.contains("Llama-3.2-1B"), "{unknown}");
}
