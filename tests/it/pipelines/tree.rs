//! Random pipelines, as a user would write them: raw trees, and how they are made to make sense.

use proptest::prelude::*;

/// A part of a random pipeline; what it lacks to make sense is put in when it is written.
#[derive(Clone, Debug)]
pub enum Node {
    /// A prefill if there must be one or if `anew`, reasoning, an answer.
    Generate {
        anew: bool,
        other: bool,
        reason: Option<&'static str>,
        answer: Option<&'static str>,
    },
    Pass {
        scores: bool,
    },
    Call {
        us: u32,
        adds: u32,
    },
    Bake {
        us: u32,
    },
    Stamp {
        us: u32,
        random: bool,
        adds: u32,
    },
    Parallel(Vec<Vec<Node>>),
    Repeat {
        times: Option<&'static str>,
        until: Option<&'static str>,
        run: Vec<Node>,
    },
    Branch {
        cases: Vec<(&'static str, Vec<Node>)>,
        otherwise: Vec<Node>,
    },
    Search {
        prefix: bool,
        width: u32,
        keep: u32,
        rounds: u32,
        run: Vec<Node>,
    },
    Choose {
        when: &'static str,
    },
    Exit,
}

const TOKENS: [&str; 7] = [
    "Exactly(1)",
    "Exactly(2)",
    "Exactly(9)",
    "Share(0.5)",
    "Share(1)",
    "Uniform(from: 1, to: 20)",
    "Uniform(from: 0, to: 3)",
];
const TIMES: [&str; 6] = [
    "Exactly(1)",
    "Exactly(2)",
    "Exactly(3)",
    "Uniform(from: 0, to: 2)",
    "Uniform(from: 1, to: 3)",
    "Geometric(mean: 1.5)",
];
const WHEN: [&str; 6] = [
    "Chance(0.5)",
    "Chance(0.3)",
    "Score(below: 0.4)",
    "Score(from: 0.5)",
    "ContextTokens(below: 60)",
    "GeneratedTokens(from: 12)",
];

fn leaves() -> impl Strategy<Value = Node> {
    let tokens = || prop::sample::select(TOKENS.to_vec());
    let generate =
        (any::<bool>(), prop::bool::weighted(0.2), prop::option::of(tokens()), tokens(), any::<bool>());
    let generate = generate.prop_map(|(anew, other, reason, answer, thinks)| {
        let answer = (reason.is_none() || !thinks).then_some(answer);
        Node::Generate { anew, other, reason, answer }
    });
    prop_oneof![
        6 => generate,
        2 => any::<bool>().prop_map(|scores| Node::Pass { scores }),
        2 => (0_u32..3_000, 0_u32..20).prop_map(|(us, adds)| Node::Call { us, adds }),
        2 => (1_u32..4_000).prop_map(|us| Node::Bake { us }),
        2 => (1_u32..4_000, any::<bool>(), 0_u32..10)
            .prop_map(|(us, random, adds)| Node::Stamp { us, random, adds }),
        1 => prop::sample::select(WHEN.to_vec()).prop_map(|when| Node::Choose { when }),
        1 => Just(Node::Exit),
    ]
}

/// Pipelines of up to about fifteen parts, three deep.
pub fn pipelines() -> impl Strategy<Value = Vec<Node>> {
    let node = leaves().prop_recursive(3, 14, 3, |inner| {
        let list = move |least: usize| prop::collection::vec(inner.clone(), least..=3);
        let when = || prop::sample::select(WHEN.to_vec());
        let times = prop::option::weighted(0.8, prop::sample::select(TIMES.to_vec()));
        let search = (any::<bool>(), 2_u32..=4, 1_u32..=4, 1_u32..=3, list(1));
        prop_oneof![
            2 => prop::collection::vec(list(1), 2..=3).prop_map(Node::Parallel),
            2 => (times, prop::option::of(when()), list(1))
                .prop_map(|(times, until, run)| Node::Repeat { times, until, run }),
            2 => (prop::collection::vec((when(), list(0)), 1..=2), list(0))
                .prop_map(|(cases, otherwise)| Node::Branch { cases, otherwise }),
            3 => search.prop_map(|(prefix, width, keep, rounds, run)| {
                Node::Search { prefix, width, keep: keep.min(width), rounds, run }
            }),
        ]
    });
    prop::collection::vec(node, 1..=4)
}

/// The models in play: the request's own, and another one.
pub const MODELS: [&str; 2] = ["Qwen2.5-0.5B", "Qwen3-0.6B"];

/// The pipeline in RON.
pub fn ron(nodes: &[Node]) -> String {
    let mut parts = Vec::new();
    write(nodes, false, false, &mut parts);
    let generates = |part: &String| part.contains("Decode") || part.contains("Reason");
    if !parts.iter().any(generates) {
        parts.retain(|part| part != "Exit");
        parts.push("Prefill".into());
        parts.push("Decode".into());
    }
    format!("[{}]", parts.join(", "))
}

/// Writes a list; tells whether KV is there after it, on every way through.
fn write(nodes: &[Node], mut kv: bool, joins: bool, parts: &mut Vec<String>) -> bool {
    let list = |nodes: &[Node], kv: bool, joins: bool| {
        let mut parts = Vec::new();
        let kv = write(nodes, kv, joins, &mut parts);
        (parts, kv)
    };
    for node in nodes {
        match node {
            Node::Generate { anew, other, reason, answer } => {
                if *anew || !kv {
                    let named = format!("Prefill(model: \"{}\")", MODELS[1]);
                    parts.push(if *other { named } else { "Prefill".to_owned() });
                }
                parts.extend(reason.map(|tokens| format!("Reason(tokens: {tokens})")));
                parts.extend(answer.map(|tokens| format!("Decode(tokens: {tokens})")));
                kv = true;
            }
            Node::Pass { scores } => {
                let name = if *scores { "Score" } else { "Classify" };
                parts.push(format!("{name}(model: \"{}\")", MODELS[1]));
            }
            Node::Call { us, adds } => {
                parts.push(format!("ToolCall(takes: Exactly(us({us})), adds: Exactly({adds}))"));
            }
            Node::Bake { us } => parts.push(format!("Bake(us: {us})")),
            Node::Stamp { us, random, adds } => {
                parts.push(format!("Stamp(us: {us}, random: {random}, adds: {adds})"));
            }
            Node::Parallel(branches) => {
                let branches: Vec<String> = branches
                    .iter()
                    .map(|branch| {
                        let (mut parts, _) = list(branch, kv, true);
                        if parts.is_empty() {
                            parts.push(CALL.into());
                        }
                        format!("[{}]", parts.join(", "))
                    })
                    .collect();
                parts.push(format!("Parallel(branches: [{}])", branches.join(", ")));
            }
            Node::Repeat { times, until, run } => {
                let (mut inside, after) = list(run, kv, joins);
                if inside.last().is_some_and(|last| last == "Exit") {
                    inside.pop();
                }
                inside.push(CALL.into());
                // Without a bound, a coin ends it; a condition might never hold.
                let bound = match (times, until) {
                    (None, _) => "until: Chance(0.5)".to_owned(),
                    (Some(times), None) => format!("times: {times}"),
                    (Some(times), Some(until)) => format!("times: {times}, until: {until}"),
                };
                parts.push(format!("Repeat(run: [{}], {bound})", inside.join(", ")));
                let never = times.is_some_and(|times| times.contains("(0)") || times.contains("from: 0"));
                kv = if never { kv && after } else { after };
            }
            Node::Branch { cases, otherwise } => {
                let mut every = true;
                let mut one = |run: &[Node]| {
                    let (parts, kv) = list(run, kv, joins);
                    every &= kv || parts.last().is_some_and(|last| last == "Exit");
                    parts.join(", ")
                };
                let cases: Vec<String> =
                    cases.iter().map(|(when, run)| format!("(when: {when}, run: [{}])", one(run))).collect();
                let otherwise = one(otherwise);
                parts.push(format!("Branch(cases: [{}], otherwise: [{otherwise}])", cases.join(", ")));
                kv = every;
            }
            Node::Search { prefix, width, keep, rounds, run } => {
                let goes_on = matches!(run[0], Node::Generate { anew: false, .. });
                if *prefix && goes_on {
                    parts.push("Prefill".to_owned());
                    kv = true;
                }
                let (mut inside, after) = list(run, kv, true);
                if !inside.last().is_some_and(|last| last.starts_with("Score") || last.starts_with("Stamp")) {
                    inside.push(format!("Score(model: \"{}\")", MODELS[1]));
                }
                let inside = inside.join(", ");
                parts.push(if *rounds == 1 {
                    format!("BestOf(n: {width}, run: [{inside}])")
                } else {
                    format!("TreeSearch(width: {width}, keep: {keep}, rounds: {rounds}, run: [{inside}])")
                });
                kv = after;
            }
            Node::Choose { when } => {
                parts.push(format!("ChooseModel(cases: [(when: {when}, model: \"{}\")])", MODELS[1]));
                // Somebody must take it.
                parts.extend(["Prefill", "Decode(tokens: Exactly(2))"].map(str::to_owned));
                kv = true;
            }
            Node::Exit if joins => {}
            Node::Exit => {
                parts.push("Exit".into());
                return kv;
            }
        }
    }
    kv
}

const CALL: &str = "ToolCall(takes: Exactly(us(10)))";
