//! Conversations: every turn comes when it should, and a user has one of them at a time.

use mist::metrics::RequestRecord;
use mist::simulation::Simulation;
use mist::units::{SimSpan, SimTime};

use crate::scenarios::run;

/// Questions of 100 tokens with answers of 10, on two clients.
fn conversations(requests: u32, arrivals: &str, sessions: &str, model_len: u32) -> Vec<RequestRecord> {
    let text = format!(
        "(mist: 1, seed: 3, \
         platforms: [(name: \"p\", nodes: [(name: \"gpu\", hardware: \"H100-SXM5-80GB\", count: 2)])], \
         clients: [(name: \"c\", count: 2, cluster: Take(platform: \"p\", nodes: [(\"gpu\", 1)]), \
           runs: Llm(model: \"Qwen2.5-0.5B\", max_model_len: {model_len}))], \
         workload: [(name: \"w\", model: \"Qwen2.5-0.5B\", requests: {requests}, arrivals: {arrivals}, \
           lengths: Fixed(prompt: 100, output: 10), prefix: [System(tokens: 30)], sessions: ({sessions}))])"
    );
    run(&Simulation::new(), &text).1
}

/// Which turn of its conversation it is, from 0.
fn turn(row: &RequestRecord) -> u32 {
    assert_eq!((row.prompt_tokens - 130) % 110, 0, "the history is questions and answers");
    (row.prompt_tokens - 130) / 110
}

/// Every later turn takes up exactly one earlier one, the time of thinking after it was over.
fn take_up(rows: &[RequestRecord], think: SimSpan) -> usize {
    let mut ends: Vec<(u32, SimTime)> = rows.iter().map(|row| (turn(row), row.done)).collect();
    let later = rows.iter().filter(|row| turn(row) > 0);
    for row in later.clone() {
        let before =
            ends.iter().position(|(turn_, done)| turn_ + 1 == turn(row) && *done + think == row.arrived);
        ends.swap_remove(before.unwrap_or_else(|| panic!("{row:?} follows nothing")));
    }
    later.count()
}

#[test]
fn a_turn_comes_when_the_user_has_thought_about_the_answer() {
    for (arrivals, requests) in [("Poisson(rate: per_s(20))", 500), ("ClosedLoop(concurrency: 7)", 300)] {
        let sessions = "turns: Geometric(mean: 3), think: Exactly(ms(40))";
        let rows = conversations(requests, arrivals, sessions, 8_000);
        assert_eq!(rows.len() as u32, requests, "`requests` counts turns");
        assert!(take_up(&rows, SimSpan::from_ns(40_000_000)) > 250 * requests as usize / 500);
    }
}

#[test]
fn a_conversation_keeps_its_user_until_it_ends() {
    let think = SimSpan::from_ns(1_000_000_000);
    let rows =
        conversations(60, "ClosedLoop(concurrency: 3)", "turns: Exactly(4), think: Exactly(s(1))", 8_000);
    assert_eq!(take_up(&rows, think), 45);
    // Nobody thinks between two conversations, so three are under way all the time.
    let mut firsts: Vec<SimTime> = rows.iter().filter(|row| turn(row) == 0).map(|row| row.arrived).collect();
    let mut lasts: Vec<SimTime> = rows.iter().filter(|row| turn(row) == 3).map(|row| row.done).collect();
    firsts.sort_unstable();
    lasts.sort_unstable();
    assert_eq!(firsts[..3], [SimTime::ZERO; 3]);
    assert_eq!(firsts[3..], lasts[..12]);
}

#[test]
fn a_conversation_ends_before_the_context_does() {
    // 130 + 10, 240 + 10, 350 + 10: a fourth turn would be 470 tokens.
    for (model_len, stated) in [(400, ""), (8_000, ", max_context: 400")] {
        let sessions = format!("turns: Exactly(9), think: Exactly(ms(1)){stated}");
        let rows = conversations(30, "Poisson(rate: per_s(20))", &sessions, model_len);
        let longest = rows.iter().map(turn).max();
        assert_eq!((rows.len(), longest), (30, Some(2)), "nothing is turned away");
    }
}

#[test]
fn a_turn_that_is_turned_away_is_the_last() {
    // What is said to fit does not: every second turn is turned away, and the third never comes.
    let sessions = "turns: Exactly(3), think: Exactly(ms(1)), max_context: 1000";
    let rows = conversations(30, "Poisson(rate: per_s(20))", sessions, 200);
    assert_eq!(rows.len(), 10);
    assert!(rows.iter().all(|row| turn(row) == 0));
}
