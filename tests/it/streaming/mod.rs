//! Answers behind a front end: what has not come to its reader has not come.

use mist::metrics::{BoundBy, RequestRecord};
use mist::simulation::{Outcome, RunError, Simulation};

use crate::scenarios::run;

/// Thirty requests at once to one H100, each token of an answer handed on in 1.5 ms.
fn scenario(client: &str, class: &str, horizon: &str) -> String {
    format!(
        "(mist: 1, seed: 3, {horizon} \
         platforms: [(name: \"p\", nodes: [(name: \"gpu\", hardware: \"H100-SXM5-80GB\")])], \
         clients: [(name: \"c\", cluster: Take(platform: \"p\", nodes: [(\"gpu\", 1)]), \
           runs: Llm(model: \"Llama-3.1-8B\", front_end: (token: us(1500)), {client}))], \
         workload: [(name: \"w\", model: \"Llama-3.1-8B\", requests: 30, arrivals: AllAtOnce, {class} \
           lengths: Fixed(prompt: 100, output: 80))])"
    )
}

fn served(class: &str, horizon: &str) -> (Outcome, Vec<RequestRecord>) {
    run(&Simulation::new(), &scenario("", class, horizon))
}

#[test]
fn the_answer_comes_behind_the_first_token_and_all_of_the_reasoning() {
    let (outcome, rows) = served("pipeline: [Prefill, Reason(tokens: Exactly(50)), Decode],", "");
    for row in &rows {
        assert!(row.first_token < row.answer && row.answer < row.done, "{row:?}");
        // 30 tokens of 50 that are handed on one by one before it.
        assert!(row.ttfat() > row.ttft() && row.ttfat().as_secs_f64() > 50.0 * 30.0 * 1.4e-3, "{row:?}");
    }
    let reason = outcome.summary.stages.iter().find(|stage| stage.name == "Reason").unwrap();
    assert_eq!(reason.requests, 30);
}

#[test]
fn what_is_on_its_way_when_the_clock_stops_has_not_come() {
    let (all, _) = served("", "");
    assert_eq!(all.summary.requests.completed, 30);
    assert_eq!(all.summary.bottleneck.bound_by, BoundBy::FrontEnd);
    // The engine is done by then, but 45 ms a round of tokens are handed on.
    let (outcome, rows) = served("", "horizon: s(2),");
    assert!(
        outcome.summary.requests.in_flight > 0 && rows.iter().all(|row| row.done.as_ns() <= 2_000_000_000)
    );
}

#[test]
fn what_it_does_not_go_with_is_refused() {
    for (client, why) in [
        ("role: Prefill,", "has no effect with `role: Prefill`"),
        ("also: [\"Qwen3-8B\"],", "is not known with several models"),
        ("role: Decode, lends: true,", "KV of guests would wait"),
    ] {
        match Simulation::new().read(scenario(client, "", ""), "streaming.ron") {
            Err(RunError::Scenario(invalid)) => {
                let found = format!("{:?}", invalid.problems());
                assert!(found.contains("clients[0].runs.front_end") && found.contains(why), "{found}");
            }
            other => panic!("{client}: {:?}", other.map(|_| ())),
        }
    }
}
