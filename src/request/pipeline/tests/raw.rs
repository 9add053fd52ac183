//! Random pipelines.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
pub enum Raw {
    Generate { anew: bool, reason: Option<u32>, answer: Option<u32> },
    Score,
    Wait(u32),
    Append(u32),
    Parallel(Vec<Vec<Raw>>),
    Repeat(u32, Option<u32>, Vec<Raw>),
    Branch(u32, Vec<Raw>, Vec<Raw>),
    Search { prefix: bool, width: u32, keep: u32, rounds: u32, run: Vec<Raw> },
    Choose(u32),
    Exit,
}

pub fn raws() -> impl Strategy<Value = Vec<Raw>> {
    let generate = (any::<bool>(), prop::option::of(0_u32..4), prop::option::of(1_u32..6)).prop_map(
        |(anew, reason, answer)| {
            let nothing = reason.unwrap_or(0) == 0;
            Raw::Generate { anew, reason, answer: answer.or(nothing.then_some(2)) }
        },
    );
    let leaf = prop_oneof![
        5 => generate,
        1 => Just(Raw::Score),
        1 => (0_u32..3_000).prop_map(Raw::Wait),
        1 => (0_u32..40).prop_map(Raw::Append),
        1 => (0_u32..150).prop_map(Raw::Choose),
        1 => Just(Raw::Exit),
    ];
    let node = leaf.prop_recursive(3, 20, 3, |inner| {
        let list = move |least: usize| prop::collection::vec(inner.clone(), least..=3);
        prop_oneof![
            prop::collection::vec(list(1), 2..=3).prop_map(Raw::Parallel),
            (0_u32..4, prop::option::of(0_u32..200), list(1))
                .prop_map(|(n, until, run)| Raw::Repeat(n, until, run)),
            (0_u32..150, list(0), list(0)).prop_map(|(below, yes, no)| Raw::Branch(below, yes, no)),
            (any::<bool>(), 2_u32..4, 1_u32..4, 1_u32..4, list(1)).prop_map(
                |(prefix, width, keep, rounds, run)| {
                    Raw::Search { prefix, width, keep: keep.min(width), rounds, run }
                }
            ),
        ]
    });
    prop::collection::vec(node, 1..=4)
}

fn named(name: &str, step: Step) -> Named {
    Named { name: name.to_owned(), path: format!("[{name}]"), step }
}

fn below(tokens: u32) -> When {
    When::ContextTokens { from: 0, below: Some(tokens.max(1)) }
}

fn microseconds(us: u32) -> Duration {
    Duration::Exactly(Span::from_secs(f64::from(us) / 1e6))
}

/// Makes sense of a raw list: tells whether KV is there after it.
fn build(raws: &[Raw], mut kv: bool, joins: bool, steps: &mut Vec<Named>) -> bool {
    let list = |raws: &[Raw], kv: bool, joins: bool| {
        let mut steps = Vec::new();
        let kv = build(raws, kv, joins, &mut steps);
        (steps, kv)
    };
    let tick = || named("Wait", Step::Wait { takes: microseconds(5), adds: Tokens::Exactly(0) });
    for raw in raws {
        match raw {
            Raw::Generate { anew, reason, answer } => {
                if *anew || !kv {
                    steps.push(named("Prefill", Step::Prefill(None)));
                }
                steps.extend(reason.map(|tokens| named("Reason", Step::Reason(Tokens::Exactly(tokens)))));
                steps.extend(answer.map(|tokens| named("Decode", Step::Decode(Tokens::Exactly(tokens)))));
                kv = true;
            }
            Raw::Score => steps.push(named("Score", Step::Pass { model: "0".into(), scores: true })),
            Raw::Wait(us) => {
                let (takes, adds) = (microseconds(*us), Tokens::Exactly(us % 7));
                steps.push(named("Wait", Step::Wait { takes, adds }));
            }
            Raw::Append(tokens) => steps.push(named("Append", Step::stage(Append(*tokens)))),
            Raw::Parallel(branches) => {
                let branch = |raws: &Vec<Raw>| {
                    let (mut steps, _) = list(raws, kv, true);
                    steps.push(tick());
                    steps
                };
                steps.push(named("Parallel", Step::Parallel(branches.iter().map(branch).collect())));
            }
            Raw::Repeat(times, until, run) => {
                let (mut run, after) = list(run, kv, joins);
                if matches!(run.last(), Some(Named { step: Step::Exit, .. })) {
                    run.pop();
                }
                run.push(tick());
                let until = until.map(|from| When::ContextTokens { from, below: None });
                steps.push(named("Repeat", Step::Repeat { run, times: Some(Count::Exactly(*times)), until }));
                kv = if *times == 0 { kv && after } else { after };
            }
            Raw::Branch(tokens, yes, no) => {
                let ((yes, after), (no, after_no)) = (list(yes, kv, joins), list(no, kv, joins));
                let exits = |steps: &[Named]| matches!(steps.last(), Some(Named { step: Step::Exit, .. }));
                kv = (after || exits(&yes)) && (after_no || exits(&no));
                steps.push(named(
                    "Branch",
                    Step::Branch { cases: vec![(below(*tokens), yes)], otherwise: no },
                ));
            }
            Raw::Search { prefix, width, keep, rounds, run } => {
                if *prefix && matches!(run[0], Raw::Generate { anew: false, .. }) {
                    steps.push(named("Prefill", Step::Prefill(None)));
                    kv = true;
                }
                let (mut run, after) = list(run, kv, true);
                run.push(named("Score", Step::Pass { model: "0".into(), scores: true }));
                steps
                    .push(named("Search", Step::Search { width: *width, keep: *keep, rounds: *rounds, run }));
                kv = after;
            }
            Raw::Choose(tokens) => {
                let cases = vec![(below(*tokens), "1".to_owned())];
                steps.push(named("Choose", Step::ChooseModel { cases, otherwise: None }));
                // Somebody may take it.
                steps.push(named("Append", Step::stage(Append(0))));
            }
            Raw::Exit if joins => {}
            Raw::Exit => {
                steps.push(named("Exit", Step::Exit));
                return kv;
            }
        }
    }
    kv
}

/// A pipeline that compiles, whatever was drawn.
pub fn pipeline(raws: &[Raw]) -> Vec<Named> {
    let mut steps = Vec::new();
    build(raws, false, false, &mut steps);
    if !steps.iter().any(|named| matches!(named.step, Step::Decode(_) | Step::Reason(_))) {
        steps.retain(|named| !matches!(named.step, Step::Exit));
        steps.push(named("Prefill", Step::Prefill(None)));
        steps.push(named("Decode", Step::Decode(Tokens::Share(1.0))));
    }
    steps
}
