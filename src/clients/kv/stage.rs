//! `KvRetrieval(…)`: the stage that gets the KV of a prefix from where it is kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;
use crate::request::{Around, StageKind};
use crate::scenario::Problem;
use crate::units::Fraction;

/// Gets the KV of the start of a request's text out of a `KvStore`, so that the prefill that follows
/// skips it; where the store does not have it, the prefill computes it anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KvRetrieval {
    /// What of the text can be reused.
    pub prefix: Prefix,
}

/// What of a request's text can be reused.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum Prefix {
    /// This share of the text so far, 0 to 1, from its start: `Share(0.9)`.
    Share(Fraction),
    /// So many tokens from its start, or all if it is shorter: `Tokens(2048)`.
    Tokens(u32),
    /// An earlier context of so many tokens, which comes before the text and makes it longer, as an earlier
    /// turn of a conversation does: `History(4096)`.
    History(u32),
}

impl Prefix {
    /// Tokens that it adds before the text.
    pub const fn added(self) -> u32 {
        match self {
            Self::History(tokens) => tokens,
            Self::Share(_) | Self::Tokens(_) => 0,
        }
    }

    /// Tokens that can be reused of a text of `context` tokens, to which [`Self::added`] come. At least one
    /// token is left to compute, as in vLLM: the answer's first token is sampled from it.
    pub fn reusable(self, context: u32) -> u32 {
        let tokens = match self {
            Self::Share(share) => (f64::from(context) * share.get() + 0.5) as u32,
            Self::Tokens(tokens) | Self::History(tokens) => tokens,
        };
        tokens.min(context.saturating_add(self.added()).saturating_sub(1))
    }
}

impl StageKind for KvRetrieval {
    fn client(&self) -> &'static str {
        "KvStore"
    }

    fn is_output(&self) -> bool {
        false
    }

    fn puts_into_prompt(&self) -> bool {
        self.prefix.added() > 0
    }

    fn brings_kv(&self) -> bool {
        true
    }

    fn check(&self, _: &Catalog) -> Vec<Problem> {
        match self.prefix {
            Prefix::Share(share) if share.get() == 0.0 => {
                vec![
                    Problem::new("prefix", "nothing of the text is to be retrieved")
                        .help("leave the stage out"),
                ]
            }
            Prefix::Tokens(0) | Prefix::History(0) => {
                vec![Problem::new("prefix", "no tokens are to be retrieved").help("leave the stage out")]
            }
            _ => Vec::new(),
        }
    }

    fn check_among(&self, around: Around) -> Vec<Problem> {
        if around.prefilled {
            return Vec::new();
        }
        let message = "the KV that this stage brings is never used: no `Prefill` follows";
        vec![Problem::new("", message).help("put it before a `Prefill`, or leave it out")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_always_left_to_compute() {
        let share = |share: f64| Prefix::Share(Fraction::try_from(share).unwrap());
        for (prefix, context, reusable) in [
            (share(0.9), 1000, 900),
            (share(0.25), 2, 1),
            (share(1.0), 1000, 999),
            (share(0.0), 1000, 0),
            (Prefix::Tokens(600), 1000, 600),
            (Prefix::Tokens(600), 600, 599),
            (Prefix::Tokens(600), 1, 0),
            (Prefix::Tokens(600), 0, 0),
            (Prefix::History(4096), 100, 4096),
            (Prefix::History(4096), 0, 4095),
            (Prefix::History(u32::MAX), 100, u32::MAX - 1),
        ] {
            assert_eq!(prefix.reusable(context), reusable, "{prefix:?} of {context}");
        }
    }
}
