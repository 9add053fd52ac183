//! The longest cached prefix first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Order, PackingPolicy, Waiting};

/// From so many waiting requests on, SGLang takes them as they come.
const MOST_SORTED: usize = 128;

/// The longest cached prefix first, so that what is cached is used before it is evicted; looked at again
/// before each step, and first come, first served while more than 128 wait.
///
/// Mirrors `--schedule-policy lpm` of SGLang 0.4 and 0.5:
/// <https://github.com/sgl-project/sglang/blob/v0.5.0/python/sglang/srt/managers/schedule_policy.py>.
/// Left out: putting off requests that share a prefix with one that waits (in-batch prefix caching). Equals
/// go by arrival, where SGLang leaves them in the order that the last sorting made.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LongestPrefixMatch {}

impl PackingPolicy for LongestPrefixMatch {
    fn order(&self) -> Order {
        Order::Changing { most: MOST_SORTED }
    }

    fn key(&self, waiting: &Waiting) -> i128 {
        -i128::from(waiting.cached_tokens)
    }

    fn reads_cached_tokens(&self) -> bool {
        true
    }
}
