//! Conversations: every turn's prompt is all that was said before, with a new question behind it.
//!
//! ```text
//!  turn 1   prefix │ question 1                                  ─▶ answer 1
//!  turn 2   prefix │ question 1   answer 1   question 2          ─▶ answer 2
//!  turn 3   prefix │ question 1   answer 1   question 2   answer 2   question 3
//!                  └ named one after the other: one run of names ┘
//! ```
//!
//! A conversation is drawn whole when it begins, so what it says does not depend on how it is served. The last
//! question of one and the answer to it are nobody's history, and have no names.
//!
//! Left out: what stages of a pipeline add to a prompt, and answers of which a part is forgotten, such as
//! reasoning: the history is prompts and answers as the workload draws them.

use smallvec::SmallVec;

use super::naming::Names;
use super::{Lengths, SourceError};
use crate::engine::Stream;
use crate::request::Text;
use crate::scenario::{Count, Duration, SessionSpec};
use crate::units::SimSpan;

/// A request that was drawn: some time after the one before it in its conversation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Turn {
    pub think: SimSpan,
    pub lengths: Lengths,
    pub text: Option<Text>,
}

/// The turns of a conversation, the first one first. Most often it is alone.
pub(super) type Turns = SmallVec<[Turn; 1]>;

/// Draws the conversations of a class.
pub(super) struct Sessions {
    turns: Count,
    think: Duration,
    /// Most tokens of prompt and answer of a turn that is not the first.
    max_context: u32,
    draws: Stream,
    /// Tokens of conversations that have names.
    named: u64,
    /// Conversations that were drawn.
    pub drawn: u64,
    /// Those of them that the context had no room for.
    pub cut: u64,
}

impl Sessions {
    /// Of a class whose sessions are sound; `longest` is what its clients take.
    pub fn new(spec: &SessionSpec, longest: u32, draws: Stream) -> Self {
        let SessionSpec { turns, think, max_context } = *spec;
        let max_context = max_context.unwrap_or(longest);
        Self { turns, think, max_context, draws, named: 0, drawn: 0, cut: 0 }
    }

    /// The next conversation. It begins with `prefix`, and has at most `left` turns after the first, which it
    /// takes from them; none if there are no more lengths.
    pub fn draw(
        &mut self,
        prefix: &Text,
        names: Names,
        left: &mut u64,
        mut next: impl FnMut() -> Result<Option<Lengths>, SourceError>,
    ) -> Result<Turns, SourceError> {
        let mut turns = Turns::new();
        // How much was said before each turn, and how much with its own question.
        let mut spoken = SmallVec::<[(u64, u64); 8]>::new();
        let mut history = 0;
        for at in 0..self.turns.draw(&mut self.draws).max(1) {
            if at > 0 && *left == 0 {
                break;
            }
            let Some(Lengths { prompt_tokens, output_tokens }) = next()? else {
                *left = 0;
                break;
            };
            let asked = history + u64::from(prompt_tokens);
            let prompt = prefix.tokens() + asked;
            if at > 0 && prompt + u64::from(output_tokens) > u64::from(self.max_context) {
                self.cut += 1;
                break;
            }
            let think = if at > 0 { self.think.draw(&mut self.draws) } else { SimSpan::ZERO };
            let prompt_tokens = u32::try_from(prompt).unwrap_or(u32::MAX);
            turns.push(Turn { think, lengths: Lengths { prompt_tokens, output_tokens }, text: None });
            spoken.push((history, asked));
            *left -= u64::from(at > 0);
            history = asked + u64::from(output_tokens);
        }
        self.drawn += u64::from(!turns.is_empty());
        let last = turns.len().saturating_sub(1);
        for (at, (turn, (history, asked))) in turns.iter_mut().zip(&spoken).enumerate() {
            let mut text = prefix.clone();
            // What a later turn goes on with has names.
            let named = if at < last { *asked } else { *history };
            text.push(names.session(self.named), u32::try_from(named).unwrap_or(u32::MAX));
            if at < last {
                text = text.answered(names.session(self.named + asked));
            }
            turn.text = Some(text).filter(|text| text.tokens() > 0);
        }
        self.named += spoken.last().map_or(0, |(history, _)| *history);
        Ok(turns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Streams;
    use crate::units::Span;

    /// The turns of conversations of `turns`, whose questions have 10, 11, … tokens and answers 5 each.
    fn draw(turns: Count, max_context: Option<u32>, left: &mut u64, count: usize) -> (Sessions, Vec<Turns>) {
        let think = Duration::Exactly(Span::from_secs(2.0));
        let spec = SessionSpec { turns, think, max_context };
        let mut sessions = Sessions::new(&spec, 1000, Streams::new(1).stream("sessions", 0));
        let mut prompt_tokens = 9;
        let mut next = || {
            prompt_tokens += 1;
            Ok(Some(Lengths { prompt_tokens, output_tokens: 5 }))
        };
        let mut prefix = Text::default();
        prefix.push(100, 3);
        let names = Names::of_source(0);
        let draw = |_| sessions.draw(&prefix, names, left, &mut next).unwrap();
        let drawn = (0..count).map(draw).collect();
        (sessions, drawn)
    }

    #[test]
    fn a_turn_begins_with_all_that_was_said() {
        let (sessions, drawn) = draw(Count::Exactly(3), None, &mut 99, 2);
        let prompts: Vec<u32> = drawn[0].iter().map(|turn| turn.lengths.prompt_tokens).collect();
        assert_eq!(prompts, [3 + 10, 3 + 10 + 5 + 11, 3 + 10 + 5 + 11 + 5 + 12]);
        for pair in drawn.iter().flat_map(|turns| turns.windows(2)) {
            let [mut said, after] = [&pair[0], &pair[1]].map(|turn| turn.text.clone().unwrap());
            said.push(said.answer().unwrap(), pair[0].lengths.output_tokens);
            let names = |text: &Text| -> Vec<u64> {
                text.runs().iter().flat_map(|run| run.first..run.first + u64::from(run.tokens)).collect()
            };
            assert!(names(&after).starts_with(&names(&said)), "{after:?} {said:?}");
        }
        // What is behind the last answer that is gone on with is named for nobody.
        let last = drawn[0][2].text.as_ref().unwrap();
        assert_eq!((last.tokens(), last.answer()), (3 + 10 + 5 + 11 + 5, None));
        assert_eq!(sessions.named, 31 + 13 + 5 + 14 + 5);
        assert_eq!(drawn[1][0].text.as_ref().unwrap().runs()[1].first, Names::of_source(0).session(31));
        assert_eq!((drawn[0][0].think, drawn[0][1].think), (SimSpan::ZERO, SimSpan::from_ns(2_000_000_000)));
    }

    #[test]
    fn the_context_and_the_number_of_requests_cut_it_short() {
        let (sessions, drawn) = draw(Count::Exactly(9), Some(50), &mut 99, 1);
        // 13 + 5, 29 + 5, 46 + 5.
        assert_eq!((drawn[0].len(), sessions.cut, sessions.drawn), (2, 1, 1));
        let mut left = 3;
        let (sessions, drawn) = draw(Count::Exactly(3), None, &mut left, 2);
        assert_eq!((drawn[0].len(), drawn[1].len(), left, sessions.cut), (3, 2, 0, 0));
    }
}
