//! What requests of a class of traffic have in common: prompts that begin alike, and conversations.

#![allow(clippy::doc_markdown)] // product names are not code, and users read these comments

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Count, Duration, Problem, WorkloadSpec};

/// A part that prompts begin with, the same for several requests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum PrefixSpec {
    /// One of so many system prompts.
    System {
        /// Tokens of each, 1 to 1e9; required. Mirrors `--random-prefix-len` of `vllm bench serve`.
        tokens: u32,
        /// How many there are, 1 or more; a request has one of them. Default: 1. Mirrors
        /// `--prefix-repetition-num-prefixes` of `vllm bench serve`.
        #[serde(default = "one")]
        count: u32,
        /// How unevenly they are used. Default: `Uniform`.
        #[serde(default)]
        popularity: Popularity,
    },
    /// Some of so many documents, one after the other in the order in which they are drawn, such as those that
    /// a search has found.
    Documents {
        /// Tokens of each, 1 to 1e9; required.
        tokens: u32,
        /// How many there are, 1 or more; required.
        count: u32,
        /// How unevenly they are used. Default: `Uniform`.
        #[serde(default)]
        popularity: Popularity,
        /// How many of them a request has, all different, 1 to 1000; one that is drawn twice gives place to the
        /// next less popular one. Default: 1.
        #[serde(default = "one")]
        draw: u32,
    },
}

/// How unevenly things are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum Popularity {
    /// All alike.
    #[default]
    Uniform,
    /// By Zipf's law, such as `Zipf(1.1)`: the n-th is used as often as n to the power of −1.1; 0 to 20.
    Zipf(f64),
}

impl Popularity {
    /// The exponent of the power law.
    pub const fn exponent(self) -> f64 {
        match self {
            Self::Uniform => 0.0,
            Self::Zipf(exponent) => exponent,
        }
    }
}

/// Conversations of several turns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionSpec {
    /// How many turns a conversation has, 1 to 10000, such as `Geometric(mean: 4)`; required. Mirrors the
    /// turns of vLLM's `benchmark_serving_multi_turn.py`.
    pub turns: Count,
    /// From the end of an answer to the next question, such as `Exponential(mean: s(20))`. Default: no time.
    #[serde(default = "no_time")]
    pub think: Duration,
    /// Tokens of prompt and answer that a turn may have; the conversation ends before a later turn that would
    /// have more. Default: the longest that the clients of its model take.
    #[serde(default)]
    pub max_context: Option<u32>,
}

const fn one() -> u32 {
    1
}

const fn no_time() -> Duration {
    Duration::Exactly(crate::units::Span::from_secs(0.0))
}

/// Most tokens of a prefix, and most choices of one.
const MOST: u32 = 1_000_000_000;
/// Most tokens that all prefixes of a class may have together: they have names.
const MOST_NAMED: u64 = 1 << 47;
/// Most documents of a request.
const MOST_DRAWN: u32 = 1_000;
/// Most turns of a conversation.
const MOST_TURNS: f64 = 10_000.0;

/// What is wrong with what the requests of a class share; paths count from the class.
pub(crate) fn check_shared(class: &WorkloadSpec) -> Vec<Problem> {
    let mut problems = Vec::new();
    if class.trace.is_some() {
        let fields = [("prefix", class.prefix.is_empty()), ("sessions", class.sessions.is_none())];
        for (field, absent) in fields {
            if !absent {
                let message = format!("`{field}` has no effect beside a `trace`");
                let help = "a trace says itself what its prompts share and which requests follow others; leave \
                            out either";
                problems.push(Problem::new(field, message).help(help));
            }
        }
        return problems;
    }
    let (mut named, mut longest) = (0_u64, 0_u64);
    for (at, part) in class.prefix.iter().enumerate() {
        let (tokens, count, draw) = part.amounts();
        named = named.saturating_add(u64::from(tokens) * u64::from(count));
        longest += u64::from(tokens) * u64::from(draw);
        if let Some((field, message)) = part.fault() {
            problems.push(Problem::new(format!("prefix[{at}].{field}"), message));
        }
    }
    if longest > u64::from(MOST) {
        let message = format!("a prompt begins with at most {MOST} tokens, found {longest}");
        problems.push(Problem::new("prefix", message));
    } else if named > MOST_NAMED {
        let message = format!("all prefixes together have at most {MOST_NAMED} tokens, found {named}");
        problems.push(Problem::new("prefix", message));
    }
    for (field, message) in class.sessions.iter().filter_map(SessionSpec::fault) {
        problems.push(Problem::new(format!("sessions.{field}"), message));
    }
    problems
}

impl PrefixSpec {
    /// Tokens of each, how many there are, and how many a request has.
    const fn amounts(&self) -> (u32, u32, u32) {
        match *self {
            Self::System { tokens, count, .. } => (tokens, count, 1),
            Self::Documents { tokens, count, draw, .. } => (tokens, count, draw),
        }
    }

    /// The field that is wrong, and what is wrong with it.
    fn fault(&self) -> Option<(&'static str, String)> {
        let (Self::System { popularity, .. } | Self::Documents { popularity, .. }) = *self;
        let (tokens, count, draw) = self.amounts();
        let outside = |field, most: u32, found: u32| {
            (!(1..=most).contains(&found)).then(|| (field, format!("must be 1 to {most}, found {found}")))
        };
        let most_drawn = count.min(MOST_DRAWN);
        let drawn = || {
            (draw > most_drawn || draw == 0).then(|| {
                ("draw", format!("must be 1 to {most_drawn} of {count} different ones, found {draw}"))
            })
        };
        let exponent = popularity.exponent();
        let law = || {
            (!(0.0..=20.0).contains(&exponent))
                .then(|| ("popularity", format!("the exponent must be 0 to 20, found {exponent}")))
        };
        let idle = || {
            let idle = popularity != Popularity::Uniform && count == 1;
            idle.then(|| ("popularity", "has no effect where there is only one".to_owned()))
        };
        let amounts = outside("tokens", MOST, tokens).or_else(|| outside("count", MOST, count));
        amounts.or_else(drawn).or_else(law).or_else(idle)
    }
}

impl SessionSpec {
    /// The field that is wrong, and what is wrong with it.
    fn fault(&self) -> Option<(&'static str, String)> {
        let none = self.turns.may_be_none().then(|| "a conversation has at least 1 turn".to_owned());
        let most = match self.turns {
            Count::Exactly(turns) | Count::Uniform { to: turns, .. } => f64::from(turns),
            Count::Geometric { mean } => mean,
        };
        let many = (most > MOST_TURNS).then(|| format!("must be at most {MOST_TURNS}, found {most}"));
        let turns = self.turns.fault().or(none).or(many).map(|what| ("turns", what));
        let think = || self.think.fault().map(|what| ("think", what));
        let context = || {
            (self.max_context == Some(0)).then(|| ("max_context", "must be at least 1, found 0".to_owned()))
        };
        turns.or_else(think).or_else(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::sample;

    fn faults(prefix: &str, sessions: &str) -> Vec<String> {
        let mut class = sample::scenario().workload[0].clone();
        class.prefix = ron::from_str(prefix).unwrap();
        class.sessions = (!sessions.is_empty()).then(|| ron::from_str(sessions).unwrap());
        check_shared(&class).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_sound_has_no_faults() {
        let prefix =
            "[System(tokens: 2000), Documents(count: 100, tokens: 3000, popularity: Zipf(1.1), draw: 5)]";
        assert!(faults(prefix, "(turns: Geometric(mean: 4), think: Exponential(mean: s(20)))").is_empty());
        assert!(faults("[]", "(turns: Exactly(10000), max_context: Some(1))").is_empty());
    }

    #[test]
    fn faults_are_named_with_their_fields() {
        for (prefix, fault) in [
            ("System(tokens: 0)", "prefix[0].tokens: must be 1 to 1000000000, found 0"),
            ("System(tokens: 1, count: 0)", "prefix[0].count: must be 1 to 1000000000, found 0"),
            (
                "System(tokens: 1, popularity: Zipf(1))",
                "prefix[0].popularity: has no effect where there is only one",
            ),
            (
                "System(tokens: 1, count: 2, popularity: Zipf(21))",
                "prefix[0].popularity: the exponent must be 0 to 20, found 21",
            ),
            (
                "Documents(tokens: 1, count: 3, draw: 4)",
                "prefix[0].draw: must be 1 to 3 of 3 different ones, found 4",
            ),
            (
                "Documents(tokens: 1000000000, count: 2, draw: 2)",
                "prefix: a prompt begins with at most 1000000000 tokens, found 2000000000",
            ),
            (
                "Documents(tokens: 1000000000, count: 1000000)",
                "prefix: all prefixes together have at most 140737488355328 tokens, found 1000000000000000",
            ),
        ] {
            assert_eq!(faults(&format!("[{prefix}]"), ""), [fault]);
        }
        for (sessions, fault) in [
            ("(turns: Exactly(0))", "sessions.turns: a conversation has at least 1 turn"),
            ("(turns: Exactly(10001))", "sessions.turns: must be at most 10000, found 10001"),
            ("(turns: Uniform(from: 3, to: 2))", "sessions.turns: `from` is 3, above `to`, 2"),
            (
                "(turns: Exactly(2), max_context: Some(0))",
                "sessions.max_context: must be at least 1, found 0",
            ),
        ] {
            assert_eq!(faults("[]", sessions), [fault]);
        }
    }
}
