//! Same seed, same results, to the byte, whatever runs the systems and in whatever order.

mod plugins;

use mist::engine::Executor;
use mist::simulation::Simulation;

use crate::scenarios::{Case, fixed_cases, on_random_cases, run};
use crate::theory;

/// Everything a run says: the summary in JSON and a line for each request.
fn digest(simulation: &Simulation, text: &str) -> String {
    let (outcome, rows) = run(simulation, text);
    let summary = serde_json::to_string_pretty(&outcome.summary).unwrap();
    rows.iter().fold(summary, |text, row| format!("{text}\n{row:?}"))
}

/// The case run whole, and stopped where it hurts: at an instant that lies in the middle of strides.
fn texts(case: &Case) -> [String; 2] {
    let whole = case.ron("Analytical()", None);
    let (_, rows) = run(&Simulation::new(), &whole);
    [whole, case.ron("Analytical()", Some(case.stop(&rows)))]
}

#[test]
fn strides_and_executors_change_nothing() {
    on_random_cases(500, |case| {
        for text in texts(case) {
            let expected = digest(&Simulation::new(), &text);
            let same = |simulation: Simulation, what: &str| {
                assert_eq!(digest(&simulation, &text), expected, "{what} changes the result of {text}");
            };
            same(Simulation::new(), "running again");
            same(Simulation::new().strides(false), "one tick a step");
            same(Simulation::new().executor(Executor::Stock), "the stock executor");
            same(Simulation::new().executor(Executor::Stock).strides(false), "stock, one tick a step");
        }
    });
}

/// Steps of a whole millisecond, so that steps of several clients end and requests come at one instant.
#[test]
fn strides_change_nothing_where_everything_falls_together() {
    on_random_cases(300, |case| {
        let text = case.ron("Constant(step: ms(1))", None);
        let constant = theory::server::simulation;
        let dimmed = || constant().with(plugins::blackout);
        assert_eq!(digest(&constant(), &text), digest(&constant().strides(false), &text), "{text}");
        assert_eq!(digest(&dimmed(), &text), digest(&dimmed().strides(false), &text), "{text}");
    });
}

/// What comes to a client when a step ends there: a departure elsewhere, at that very instant, lets it
/// come after the next step has begun.
#[test]
fn an_arrival_brought_about_at_the_end_of_a_step_waits_for_the_next() {
    let arrivals = "ClosedLoop(concurrency: 4)";
    for seed in 0..20 {
        let text = format!(
            "(mist: 1, seed: {seed}, \
             platforms: [(name: \"p\", nodes: [(name: \"gpu\", hardware: \"H100-SXM5-80GB\", count: 4)])], \
             clients: [(name: \"c\", count: 4, cluster: Take(platform: \"p\", nodes: [(\"gpu\", 1)]), \
               runs: Llm(model: \"Qwen2.5-0.5B\"))], \
             workload: [(name: \"w\", model: \"Qwen2.5-0.5B\", requests: 40, arrivals: {arrivals}, \
               lengths: Normal(prompt: (mean: 100, std_dev: 0), output: (mean: 50, std_dev: 20)))])"
        );
        let strides = digest(&Simulation::new(), &text);
        assert_eq!(strides, digest(&Simulation::new().strides(false), &text), "{text}");
    }
}

#[test]
fn no_order_of_systems_within_the_declared_one_matters() {
    for case in fixed_cases(12) {
        for text in texts(&case) {
            let expected = digest(&Simulation::new(), &text);
            for seed in 0..32 {
                let executor = if seed % 2 == 0 { Executor::Gated } else { Executor::Stock };
                let shuffled = Simulation::new().shuffle(seed).executor(executor);
                assert_eq!(digest(&shuffled, &text), expected, "seed {seed} changes the result of {text}");
            }
        }
    }
}

#[test]
fn plugins_can_be_added_in_any_order() {
    for case in fixed_cases(10) {
        for text in texts(&case) {
            let alone = digest(&Simulation::new(), &text);
            let onlookers = Simulation::new().with(plugins::census).with(plugins::names);
            assert_eq!(digest(&onlookers, &text), alone, "onlookers change the result of {text}");
            let mut digests = plugins::orders().map(|simulation| digest(&simulation, &text));
            let first = digests.next().expect("there are orders");
            assert!(digests.all(|digest| digest == first), "the order of plugins matters in {text}");
        }
    }
}

#[test]
fn simulations_do_not_disturb_each_other() {
    let texts: Vec<String> = fixed_cases(40).iter().flat_map(texts).collect();
    let alone: Vec<String> = texts.iter().map(|text| digest(&Simulation::new(), text)).collect();
    std::thread::scope(|scope| {
        for first in 0..4 {
            let (texts, alone) = (&texts, &alone);
            scope.spawn(move || {
                for at in 0..texts.len() {
                    let at = (at + first * texts.len() / 4) % texts.len();
                    assert_eq!(digest(&Simulation::new(), &texts[at]), alone[at], "{}", texts[at]);
                }
            });
        }
    });
}

/// A behaviour that changes what steps cost in mid-stride meets the same steps without strides.
#[test]
fn strides_change_nothing_for_a_behaviour() {
    on_random_cases(150, |case| {
        for text in texts(case) {
            let dimmed = || Simulation::new().with(plugins::brownout);
            assert_eq!(digest(&dimmed(), &text), digest(&dimmed().strides(false), &text), "{text}");
        }
    });
}

/// The scenario that a run says it ran gives the same results.
#[test]
fn resolved_scenarios_run_to_the_same_results() {
    for case in fixed_cases(40) {
        for text in texts(&case) {
            let (outcome, _) = run(&Simulation::new(), &text);
            assert_eq!(digest(&Simulation::new(), &outcome.resolved), digest(&Simulation::new(), &text));
        }
    }
}
