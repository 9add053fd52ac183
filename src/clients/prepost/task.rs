//! Operations on text: what they cost and what they make of the lengths.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TextCosts;

/// Lengths of a request's text (tokens).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    /// All of its text: the prompt and, once there is one, the answer.
    pub context: u32,
    /// The answer so far.
    pub answer: u32,
}

/// An operation on text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum TextTask {
    /// Normalises the text: case, Unicode forms, punctuation, blanks.
    Normalize,
    /// Turns the text into tokens.
    Tokenize,
    /// Fills a prompt that is shorter up to a length; the model computes the filling too.
    Pad {
        /// The length (tokens), at least 1.
        to: u32,
    },
    /// Cuts a prompt that is longer down to a length.
    Truncate {
        /// The length (tokens), at least 1.
        to: u32,
    },
    /// Adds to the prompt: a system prompt, or knowledge from a store.
    Augment {
        /// How much it adds (tokens).
        tokens: u32,
    },
    /// Enhances the answer: citations, links, Markdown made into HTML.
    Enhance {
        /// How much it adds (tokens). Default: 0.
        #[serde(default)]
        tokens: u32,
    },
    /// Turns the answer's tokens into text.
    Detokenize,
}

impl TextTask {
    /// What it is called in reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Normalize => "normalize",
            Self::Tokenize => "tokenize",
            Self::Pad { .. } => "pad",
            Self::Truncate { .. } => "truncate",
            Self::Augment { .. } => "augment",
            Self::Enhance { .. } => "enhance",
            Self::Detokenize => "detokenize",
        }
    }

    /// Whether it does something to an answer, and to nothing else.
    pub const fn is_of_answers(&self) -> bool {
        matches!(self, Self::Enhance { .. } | Self::Detokenize)
    }

    /// What is wrong with it, if anything.
    pub fn wrong(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Pad { to: 0 } | Self::Truncate { to: 0 } => {
                Some(("to", "a prompt has at least one token".to_owned()))
            }
            _ => None,
        }
    }

    /// How long it takes one core (s).
    pub fn seconds(&self, costs: &TextCosts, text: Lengths) -> f64 {
        let after = self.apply(text);
        match self {
            Self::Normalize => costs.normalize.of(text.context),
            Self::Tokenize => costs.tokenize.of(text.context),
            Self::Pad { .. } => costs.pad.of(after.context),
            Self::Truncate { .. } => costs.truncate.of(after.context),
            Self::Augment { tokens } => costs.augment.of(*tokens),
            Self::Enhance { .. } => costs.enhance.of(text.answer),
            Self::Detokenize => costs.detokenize.of(text.answer),
        }
    }

    /// What it makes of the lengths. An answer is never cut: padding and truncating fit the prompt.
    pub fn apply(&self, text: Lengths) -> Lengths {
        let Lengths { context, answer } = text;
        match *self {
            Self::Normalize | Self::Tokenize | Self::Detokenize => text,
            Self::Pad { to } => Lengths { context: context.max(to), answer },
            Self::Truncate { to } => Lengths { context: context.min(to.max(answer)), answer },
            Self::Augment { tokens } => Lengths { context: context.saturating_add(tokens), answer },
            Self::Enhance { tokens } => {
                Lengths { context: context.saturating_add(tokens), answer: answer.saturating_add(tokens) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROMPT: Lengths = Lengths { context: 1000, answer: 0 };

    #[test]
    fn costs_by_hand() {
        let costs = TextCosts::default();
        let answered = Lengths { context: 1200, answer: 200 };
        for (task, text, seconds) in [
            (TextTask::Normalize, PROMPT, 70e-6),
            (TextTask::Tokenize, PROMPT, 1.1e-3),
            (TextTask::Pad { to: 4096 }, PROMPT, 8.192e-6),
            (TextTask::Truncate { to: 600 }, PROMPT, 0.3e-6),
            (TextTask::Augment { tokens: 500 }, PROMPT, 1e-3),
            (TextTask::Enhance { tokens: 20 }, answered, 320e-6),
            (TextTask::Detokenize, answered, 17.6e-6),
        ] {
            let cost = task.seconds(&costs, text);
            assert!((cost - seconds).abs() < 1e-12, "{}: {cost}", task.name());
        }
    }

    #[test]
    fn lengths_by_hand() {
        let context = |task: TextTask| task.apply(PROMPT).context;
        assert_eq!([TextTask::Normalize, TextTask::Tokenize, TextTask::Detokenize].map(context), [1000; 3]);
        assert_eq!([100, 4096].map(|to| context(TextTask::Pad { to })), [1000, 4096]);
        assert_eq!([100, 4096].map(|to| context(TextTask::Truncate { to })), [100, 1000]);
        assert_eq!(context(TextTask::Augment { tokens: 50 }), 1050);
        let enhanced = TextTask::Enhance { tokens: 20 }.apply(Lengths { context: 1200, answer: 200 });
        assert_eq!(enhanced, Lengths { context: 1220, answer: 220 });
        assert!(TextTask::Pad { to: 0 }.wrong().is_some() && TextTask::Normalize.wrong().is_none());
    }

    fn task() -> impl Strategy<Value = TextTask> {
        prop_oneof![
            Just(TextTask::Normalize),
            Just(TextTask::Tokenize),
            Just(TextTask::Detokenize),
            (1..10_000_u32).prop_map(|to| TextTask::Pad { to }),
            (1..10_000_u32).prop_map(|to| TextTask::Truncate { to }),
            any::<u32>().prop_map(|tokens| TextTask::Augment { tokens }),
            any::<u32>().prop_map(|tokens| TextTask::Enhance { tokens }),
        ]
    }

    proptest! {
        #[test]
        fn longer_texts_cost_no_less(task in task(), context in 1..100_000_u32, more in 0..100_000_u32) {
            let costs = TextCosts::default();
            let cost = |context| task.seconds(&costs, Lengths { context, answer: context / 2 });
            prop_assert!(cost(context + more) >= cost(context));
        }

        #[test]
        fn a_text_never_loses_its_answer_nor_vanishes(
            task in task(),
            context in 1..=u32::MAX,
            answered in 0.0..1.0,
        ) {
            let text = Lengths { context, answer: (f64::from(context) * answered) as u32 };
            let after = task.apply(text);
            prop_assert!(after.context >= 1 && after.answer <= after.context && after.answer >= text.answer);
        }
    }
}
