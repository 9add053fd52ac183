//! Random pipelines walked in a world of endless clients, against a direct reading of the tree.

mod raw;
mod text;
mod world;

use bevy_ecs::entity::Entity;
use proptest::prelude::*;

use self::raw::{Raw, pipeline, raws};
use self::text::Text;
use self::world::walk;
use super::step::{Named, Step};
use super::*;
use crate::engine::{Stream, Streams, uniform};
use crate::request::{KvHandle, Payload, Rejection, StageKind};
use crate::scenario::Problem;
use crate::units::{SimSpan, SimTime, Span};

/// Pool 0 runs everything of model 0; model 1 is prefilled in pool 1 and decoded in pool 2; pool 3 crops.
struct Town;

impl Directory for Town {
    fn pool(&self, _: &str, _: Option<&str>) -> Result<u16, Problem> {
        Ok(3)
    }

    fn model(&self, name: &str) -> Result<u16, Problem> {
        name.parse().map_err(|_| Problem::new("", "no such model"))
    }
}

fn models() -> Vec<Served> {
    let served = |name: &str, prefill, decode| Served {
        name: name.to_owned(),
        prefill,
        decode,
        max_model_len: 100,
        kv_bytes_per_token: 1.0,
    };
    vec![served("0", 0, 0), served("1", 1, 2)]
}

/// Adds tokens to the text.
#[derive(Clone, Copy)]
struct Append(u32);

impl StageKind for Append {
    fn client(&self) -> &'static str {
        "Append"
    }

    fn finish(&self, payload: &mut Payload, _: &mut Stream) {
        payload.context_tokens += self.0;
    }
}

const STEP_US: u64 = 1_000;
const APPEND_US: u64 = 70;
const PROMPT: u32 = 20;
const ANSWER: u32 = 3;

/// What the stage called `Append` adds stands in its name, for the reading of the tree.
fn label(steps: &mut [Named]) {
    for named in steps {
        match &mut named.step {
            Step::Stage(stage) => {
                let append = (stage.as_ref() as &dyn std::any::Any).downcast_ref::<Append>();
                named.name = append.expect("the only stage").0.to_string();
            }
            Step::Parallel(branches) => branches.iter_mut().for_each(|branch| label(branch)),
            Step::Repeat { run, .. } | Step::Search { run, .. } => label(run),
            Step::Branch { cases, otherwise } => {
                for (_, run) in cases {
                    label(run);
                }
                label(otherwise);
            }
            _ => {}
        }
    }
}

fn check(raws: &[Raw]) {
    let mut steps = pipeline(raws);
    label(&mut steps);
    let mut text = Text {
        now: 0,
        context: PROMPT,
        generated: 0,
        kv: 0,
        model: 0,
        serving: 0,
        sampled: 0,
        first: u64::MAX,
        answer: u64::MAX,
        last: u64::MAX,
        count: 0,
        work: 0,
        over: false,
    };
    text.read(&steps);
    let (journey, end) = walk(&steps, None);
    let us = |at: SimTime| if at == SimTime::MAX { u64::MAX } else { at.as_ns() / 1_000 };
    let TokenTimes { first, answer, last, count } = journey.times();
    let payload = journey.payload();
    assert_eq!((us(end), payload.context_tokens), (text.now, text.context));
    assert_eq!((payload.generated_tokens, journey.generated()), (text.generated, text.work));
    assert_eq!((us(first), us(last), count), (text.first, text.last, text.count));
    assert_eq!(us(answer), text.answer, "the first token of the answer");
    let laps = journey.laps().iter().fold(SimSpan::ZERO, |sum, lap| sum + lap.total());
    assert_eq!(laps, end.since(SimTime::ZERO), "the times of the stages add up");
    for seed in 0..4 {
        let (journey, end) = walk(&steps, Some(Streams::new(seed).stream("chaos", 0)));
        if journey.rejection().is_none() {
            let laps = journey.laps().iter().fold(SimSpan::ZERO, |sum, lap| sum + lap.total());
            assert_eq!(laps, end.since(SimTime::ZERO), "the times of the stages add up");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_walk_is_what_the_tree_says(raws in raws()) {
        check(&raws);
    }
}
