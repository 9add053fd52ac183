//! Priority classes, with ageing.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{PackingPolicy, Waiting};
use crate::units::{SimSpan, Span};

/// The most urgent first: by the `priority` of a class of traffic, lower values first, then by arrival.
/// Where memory is short, the least urgent that runs is preempted, the latest among equals.
///
/// Mirrors `--scheduling-policy priority` of vLLM V1, 0.10 to 0.19
/// (<https://github.com/vllm-project/vllm/blob/v0.10.0/vllm/v1/core/sched/request_queue.py>), which has no
/// ageing: with a steady stream of urgent requests others starve there. Nobody that runs is preempted only
/// to let in somebody more urgent, as in V1; vLLM v0 did that.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Priority {
    /// For how long a request waits until it counts as one class more urgent, such as `s(5)`: one of
    /// priority 2 goes ahead of all of priority 0 that come 10 s later. Above 0. Default: none, as in vLLM.
    #[serde(deserialize_with = "ageing")]
    pub ageing: Option<Span>,
}

/// Reads a span above 0: with 0 all would count alike, whatever their priority.
fn ageing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Span>, D::Error> {
    let ageing = Option::<Span>::deserialize(deserializer)?;
    if ageing.is_some_and(|ageing| ageing.to_sim() == SimSpan::ZERO) {
        return Err(de::Error::custom("ageing must be above 0, found 0 s: all priorities would count alike"));
    }
    Ok(ageing)
}

impl PackingPolicy for Priority {
    /// At any time *t* a request counts as `priority − (t − arrived) / ageing`; times `ageing`, and without
    /// the *t* that all share, that is a key which stays.
    fn key(&self, waiting: &Waiting) -> i128 {
        let arrived = i128::from(waiting.arrived.as_ns());
        let priority = i128::from(waiting.priority);
        match self.ageing {
            Some(ageing) => priority * i128::from(ageing.to_sim().as_ns()) + arrived,
            // Two of different priority can never have arrived so far apart.
            None => (priority << 64) + arrived,
        }
    }

    fn preempts_largest(&self) -> bool {
        true
    }

    fn reads_priority(&self) -> bool {
        true
    }
}
