//! What a prompt consists of, as far as prefix caching goes: names of tokens, in runs.

use bevy_ecs::component::Component;
use smallvec::SmallVec;

/// Consecutive tokens with consecutive names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The name of its first token.
    pub first: u64,
    /// How many tokens, at least 1.
    pub tokens: u32,
}

/// The names of the tokens of a prompt, from its start: two prompts have a prefix in common as far as
/// their names agree. Lies beside a [`Request`](super::Request) whose prompt may share something; the
/// tokens of one without a text, and those behind the end of a text, are nobody else's.
///
/// What is shared is few and long, a system prompt, a document, the history of a session, so a text is
/// kept as runs and never expanded.
#[derive(Component, Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    runs: SmallVec<[Run; 2]>,
    /// The name of the first token of the answer, whose tokens are named one after the other; none if
    /// nobody will ever go on with it.
    answer: Option<u64>,
}

impl Text {
    /// Appends `tokens` tokens that are named from `first` on.
    pub fn push(&mut self, first: u64, tokens: u32) {
        if tokens == 0 {
            return;
        }
        if let Some(last) = self.runs.last_mut()
            && last.first.wrapping_add(last.tokens.into()) == first
            && let Some(joined) = last.tokens.checked_add(tokens)
        {
            last.tokens = joined;
        } else {
            self.runs.push(Run { first, tokens });
        }
    }

    /// The same, with an answer whose tokens are named from `first` on.
    #[must_use]
    pub fn answered(self, first: u64) -> Self {
        Self { answer: Some(first), ..self }
    }

    /// The runs, in the order of the prompt; none continues the one before it.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The name of the first token of the answer, if someone may go on with it.
    pub const fn answer(&self) -> Option<u64> {
        self.answer
    }

    /// Tokens that have names.
    pub fn tokens(&self) -> u64 {
        self.runs.iter().map(|run| u64::from(run.tokens)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_go_on_are_joined() {
        let mut text = Text::default();
        for (first, tokens) in [(100, 5), (105, 3), (7, 0), (0, 2)] {
            text.push(first, tokens);
        }
        assert_eq!(text.runs(), [Run { first: 100, tokens: 8 }, Run { first: 0, tokens: 2 }]);
        assert_eq!((text.tokens(), text.answer()), (10, None));
        assert_eq!(text.answered(2).answer(), Some(2));
    }
}
