//! Conditions: what a branch, a loop or a choice of model turns on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::Payload;

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum When {
    /// A coin with this chance, 0 to 1; the chances of the cases of one branch add up.
    Chance(f64),
    /// Tokens of the text so far, the prompt and what stages made of it.
    ContextTokens {
        /// At least as many. Default: 0.
        #[serde(default)]
        from: u32,
        /// Fewer than these. Default: no bound.
        #[serde(default)]
        below: Option<u32>,
    },
    /// Tokens generated so far.
    GeneratedTokens {
        /// At least as many. Default: 0.
        #[serde(default)]
        from: u32,
        /// Fewer than these. Default: no bound.
        #[serde(default)]
        below: Option<u32>,
    },
    /// The score that the latest scoring stage gave, 0 to 1.
    Score {
        /// At least as much. Default: 0.
        #[serde(default)]
        from: f32,
        /// Less than this. Default: no bound.
        #[serde(default)]
        below: Option<f32>,
    },
}

impl When {
    /// What is wrong with it.
    pub fn fault(self) -> Option<String> {
        match self {
            Self::Chance(chance) if !(0.0..=1.0).contains(&chance) => {
                Some(format!("a chance must be 0 to 1, found {chance}"))
            }
            Self::ContextTokens { from, below: Some(below) }
            | Self::GeneratedTokens { from, below: Some(below) }
                if below <= from =>
            {
                Some(format!("never holds: `from` is {from} and `below` {below}"))
            }
            Self::Score { from, .. } if !(0.0..=1.0).contains(&from) => {
                Some(format!("a score is 0 to 1, found `from: {from}`"))
            }
            Self::Score { below: Some(below), .. } if below > 1.0 => {
                Some(format!("a score is 0 to 1, found `below: {below}`"))
            }
            Self::Score { from, below: Some(below) } if below <= from || below.is_nan() => {
                Some(format!("never holds: `from` is {from} and `below` {below}"))
            }
            _ => None,
        }
    }

    /// Whether it can never hold.
    pub fn is_never(self) -> bool {
        self == Self::Chance(0.0)
    }

    /// The chance it gives a draw of its own.
    pub const fn chance(self) -> f64 {
        match self {
            Self::Chance(chance) => chance,
            _ => 0.0,
        }
    }

    /// Whether it holds. `drawn` is uniform on [0, 1), less the chances of the cases before.
    pub fn holds(self, payload: &Payload, drawn: f64) -> bool {
        let within = |tokens: u32, from: u32, below: Option<u32>| {
            tokens >= from && below.is_none_or(|below| tokens < below)
        };
        match self {
            Self::Chance(chance) => drawn < chance,
            Self::ContextTokens { from, below } => within(payload.context_tokens, from, below),
            Self::GeneratedTokens { from, below } => within(payload.generated_tokens, from, below),
            Self::Score { from, below } => {
                payload.score >= from && below.is_none_or(|below| payload.score < below)
            }
        }
    }
}
